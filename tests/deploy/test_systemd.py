"""The systemd unit: what systemd itself says of it, and that it agrees with its README and with the exporter."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from exporter.flags import flag_parser
from exporter.web.address import ListenAddress
from tests.programs import program

SYSTEMD = Path(__file__).parents[2] / "deploy/systemd"
UNIT = SYSTEMD / "kraken-custody-exporter.service"
README = (SYSTEMD / "README.md").read_text("utf-8")
PROGRAM = "/opt/kraken-custody-exporter/bin/kraken-custody-exporter"
MOST_EXPOSURE = 15
"""In tenths of systemd's scale from 0 (locked in) to 10; most services of a distribution are at 9 and more."""


def settings() -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in UNIT.read_text("utf-8").splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found[name].append(value)
    return found


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("systemd-analyze", package="systemd"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit as it would be where its program is installed."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace(PROGRAM, program("true", package="coreutils")))
    return unit


def test_systemd_has_nothing_to_say_against_it(installed: Path) -> None:
    verified = analyze("verify", installed)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_a_setting_that_systemd_does_not_know_would_be_told(installed: Path) -> None:
    installed.write_text(installed.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in analyze("verify", installed).stderr


def test_it_is_locked_in(installed: Path) -> None:
    rated = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", installed)
    assert rated.returncode == 0, rated.stdout


def test_it_can_read_what_the_metrics_of_the_process_come_from() -> None:
    """Where there is no /proc/stat, prometheus-client leaves them out, and no restart would be seen."""
    assert settings()["ProcSubset"] == []


def test_the_drop_in_of_the_readme_is_one(installed: Path) -> None:
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
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
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
