"""The systemd unit: systemd accepts it, and it agrees with its README and with the exporter."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from exporter.flags import flag_parser
from exporter.web.address import ListenAddress
from tests.exporting import write
from tests.processes import run
from tests.programs import program

SYSTEMD = Path(__file__).parents[2] / "deploy/systemd"
UNIT = SYSTEMD / "kraken-custody-exporter.service"
TEMPLATE = SYSTEMD / "kraken-custody-exporter@.service"
README = (SYSTEMD / "README.md").read_text("utf-8")
PROMETHEUS = (SYSTEMD.parent / "prometheus" / "README.md").read_text("utf-8")
PROGRAM = "/opt/kraken-custody-exporter/bin/kraken-custody-exporter"
MOST_EXPOSURE = 15
"""In tenths of systemd's exposure scale, from 0 (sandboxed) to 10; most services of a distribution are at 9 or more."""


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in unit.read_text("utf-8").splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found[name].append(value)
    return found


def yaml_examples() -> list[str]:
    """Return the examples of the README: for one exporter, and for shards."""
    one, shards = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    return [one, shards]


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("systemd-analyze", package="systemd"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def install(unit: Path, directory: Path) -> Path:
    """Return a unit as it would be after its program is installed."""
    installed = directory / unit.name
    text = unit.read_text("utf-8")
    installed.write_text(text.replace(PROGRAM, program("true", package="coreutils")))
    return installed


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    return install(UNIT, tmp_path)


@pytest.mark.parametrize("unit", [UNIT, TEMPLATE], ids=["single", "shard"])
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    installed = install(unit, tmp_path)
    verified = analyze("verify", installed)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_a_setting_that_systemd_does_not_know_would_be_reported(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in analyze("verify", installed).stderr


def test_the_unit_is_sandboxed(installed: Path) -> None:
    rated = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", installed)
    assert rated.returncode == 0, rated.stdout


def test_the_unit_of_a_shard_is_as_sandboxed_and_otherwise_the_same() -> None:
    whole, shard = settings(), settings(TEMPLATE)
    assert shard.pop("EnvironmentFile") == ["/etc/kraken-custody-exporter/shards"]
    flags = "--shard=%i/${SHARDS}"
    assert shard.pop("ExecStartPre") == [f"{PROGRAM} {flags} --config.check"]
    listen = "--web.listen-address=127.0.1.%i:10063"
    assert shard.pop("ExecStart") == [f"{PROGRAM} {flags} {listen}"]
    assert shard.pop("Description") == [f"{whole['Description'][0]}, shard %i"]
    copies = [it.replace("/secrets/%i/", "/secrets/") for it in shard.pop("LoadCredential")]
    assert copies == whole["LoadCredential"]
    assert shard.items() <= whole.items()
    own = {"ExecStartPre", "ExecStart", "Description", "LoadCredential"}
    assert whole.keys() - shard.keys() == own


def test_the_shards_of_the_readme_find_their_keys_where_systemd_copies_them(tmp_path: Path) -> None:
    text = yaml_examples()[1]
    document = yaml.safe_load(text)
    assert "{shard}" in document["api"]["local_address"]
    files = document["credentials"]["treasury"]
    assert sorted(files.values()) == [
        f"/run/credentials/{TEMPLATE.name.replace('@', '@{shard}')}/{name}"
        for name in ("api-key", "api-secret")
    ]
    assert "echo SHARDS=3 >/etc/kraken-custody-exporter/shards\n" in README
    here = {key: f"{tmp_path}/{{shard}}/{key}" for key in files}
    write(tmp_path, document | {"credentials": {"treasury": here}})
    for shard in range(3):
        (tmp_path / str(shard)).mkdir()
        for key in files:
            (tmp_path / str(shard) / key).write_text("dGhlLWFwaS1zZWNyZXQ=", "utf-8")
        assert f"127.0.1.{shard}:10063" in PROMETHEUS
        address = f"--web.listen-address=127.0.1.{shard}:10063"
        flags = f"--shard={shard}/3", address, "--config.check"
        checked = run(*flags, directory=tmp_path)
        assert checked.returncode == 0, checked.stderr


def test_the_unit_can_read_what_process_metrics_need() -> None:
    """Without /proc/stat prometheus-client leaves them out, and restarts would go unnoticed."""
    assert settings()["ProcSubset"] == []


def test_the_drop_in_of_the_readme_is_valid(installed: Path) -> None:
    (text,) = re.findall(r"```ini\n(.*?)```", README, re.DOTALL)
    drop_in = installed.parent / f"{UNIT.name}.d" / "override.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(text.replace(PROGRAM, program("true", package="coreutils")))
    verified = analyze("verify", installed)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_the_port_it_may_bind_is_the_one_it_listens_on() -> None:
    default: ListenAddress = flag_parser().parse_args([]).listen_address
    assert settings()["SocketBindAllow"] == [f"tcp:{default.port}"]


def test_the_configuration_names_the_copies_that_systemd_makes() -> None:
    copies = [value.split(":") for value in settings()["LoadCredential"]]
    text = yaml_examples()[0]
    named = yaml.safe_load(text)["credentials"]["treasury"]
    assert sorted(named.values()) == sorted(
        f"/run/credentials/{UNIT.name}/{name}" for name, _ in copies
    )
    for _, original in copies:
        assert original in README


def test_the_readme_installs_what_the_unit_starts() -> None:
    assert settings()["ExecStart"] == [PROGRAM]
    assert settings()["ExecStartPre"] == [f"{PROGRAM} --config.check"]
    environment = str(Path(PROGRAM).parents[1])
    assert f"python3 -m venv {environment}\n" in README
    (directory,) = settings()["WorkingDirectory"]
    assert f" >{directory}/config.yaml\n" in README
