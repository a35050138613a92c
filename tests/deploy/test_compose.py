"""The Compose file is valid and sandboxed, for this machine only, and uses the files that other tests cover."""

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exporter import __version__
from exporter.cli import CONFIG_EXAMPLE
from tests.deploy import dockerfile
from tests.deploy.rules import DEPLOY
from tests.exporting import write
from tests.json_schemas import problems
from tests.processes import run
from tests.programs import program

COMPOSE = DEPLOY / "compose"
PAIR = ("first", "second")
ADDRESSES = {
    "127.0.0.1:9093": "alertmanager:9093",
    "127.0.0.1:10063": "kraken-custody-exporter:10063",
    "127.0.0.1:9090": "prometheus:9090",
}
MADE_BY_THE_USER = {"config.yaml", "secrets/api-key", "secrets/api-secret"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


PROJECT: dict[str, Any] = load(COMPOSE / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
MOUNTS = [
    (name, *re.sub(r"\$\{\w+-(.+)\}", r"\1", volume).split(":"))
    for name, service in SERVICES.items()
    for volume in service.get("volumes", ())
]


def at_their_addresses(text: str) -> Any:
    for here, there in ADDRESSES.items():
        text = text.replace(here, there)
    return yaml.safe_load(text)


def test_the_schema_of_compose_accepts_the_file() -> None:
    assert problems("compose-spec", [COMPOSE / "compose.yaml"]) == ""


def test_the_schema_refuses_unknown_keys(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((COMPOSE / "compose.yaml").read_text("utf-8").replace("read_only", "readonly"))
    assert "readonly" in problems("compose-spec", [wrong])


def test_one_variable_decides_between_the_demo_real_balances_and_a_pair() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert {name: names for name, names in profiles.items() if names} == {
        "demo": ["demo"],
        "real": ["real"],
        **{name: ["pair"] for name in (*PAIR, "valkey")},
    }
    assert (COMPOSE / ".env").read_text("utf-8") == "COMPOSE_PROFILES=demo\n"
    different = {"profiles", "command", "configs", "secrets"}
    demo, real = (
        {key: value for key, value in SERVICES[name].items() if key not in different}
        for name in ("demo", "real")
    )
    assert demo == real


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_sandboxed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_for_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_an_exact_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_the_exporter_is_built_from_this_repository_in_its_version() -> None:
    for name in ("demo", "real", *PAIR):
        assert (COMPOSE / SERVICES[name]["build"]["context"]).resolve() == dockerfile.REPOSITORY
        for argument in SERVICES[name]["build"]["args"]:
            assert any(line.startswith(f"ARG {argument}=") for line in dockerfile.LINES)
        assert SERVICES[name]["image"] == f"kraken-custody-exporter:{__version__}"


@pytest.mark.parametrize(("name", "source"), [mount[:2] for mount in MOUNTS])
def test_what_is_mounted_exists_and_is_read_only_or_a_volume(name: str, source: str) -> None:
    (mount,) = (mount for mount in MOUNTS if mount[:2] == (name, source))
    if source.startswith("."):
        assert (COMPOSE / source).exists()
        assert mount[3:] == ("ro",)
    else:
        assert source in PROJECT["volumes"]


def test_the_users_files_are_ignored_by_git_and_documented() -> None:
    files = [file["file"] for kind in ("configs", "secrets") for file in PROJECT[kind].values()]
    assert set(files) == MADE_BY_THE_USER
    git = program("git", package="git")
    ignored = subprocess.run(
        [git, "check-ignore", *files], cwd=COMPOSE, capture_output=True, text=True, check=False
    )
    assert ignored.stdout.split() == files
    readme = (COMPOSE / "README.md").read_text("utf-8")
    assert all(f"`{file}`" in readme for file in files)


def test_configuration_and_secrets_are_where_the_example_has_them() -> None:
    directory = "/etc/kraken-custody-exporter"
    assert f"WORKDIR {directory}" in dockerfile.LINES
    real = SERVICES["real"]
    targets = {file["source"]: file["target"] for file in real["configs"] + real["secrets"]}
    credential = load(CONFIG_EXAMPLE)["credentials"]["treasury"]
    assert targets == {
        "config": f"{directory}/config.yaml",
        "api-key": f"{directory}/{credential['api_key_file']}",
        "api-secret": f"{directory}/{credential['api_secret_file']}",
    }


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("prometheus.yml", "prometheus/prometheus.yml"),
        (
            "datasources/kraken-custody.yaml",
            "grafana/provisioning/datasources/kraken-custody.yaml",
        ),
    ],
)
def test_a_copy_differs_in_addresses_only(copy: str, original: str) -> None:
    expected = at_their_addresses((DEPLOY / original).read_text("utf-8"))
    assert load(COMPOSE / copy) == expected
    assert expected != load(DEPLOY / original)


def test_only_the_two_exporters_of_a_pair_can_reach_their_valkey() -> None:
    first, second = (dict(SERVICES[name]) for name in PAIR)
    assert first.pop("ports") != second.pop("ports")
    assert first == second
    different = {"profiles", "networks", "ports"}
    real = {key: value for key, value in SERVICES["real"].items() if key not in different}
    assert real.items() <= first.items()
    (network,) = SERVICES["valkey"]["networks"]
    assert PROJECT["networks"] == {network: {"internal": True}}
    assert "ports" not in SERVICES["valkey"]
    assert [name for name, it in SERVICES.items() if network in it.get("networks", ())] == [
        *PAIR,
        "valkey",
    ]


def test_the_readme_has_the_lease_of_the_pair(tmp_path: Path) -> None:
    readme = (COMPOSE / "README.md").read_text("utf-8")
    (lease,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    document = load(CONFIG_EXAMPLE) | yaml.safe_load(lease)
    document["credentials"] = {
        "treasury": {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}
    }
    write(tmp_path, document)
    checked = run("--config.check", directory=tmp_path)
    assert checked.returncode == 0, checked.stderr
    host, port = urlsplit(document["lease"]["redis"]["url"]).netloc.split(":")
    assert (host in SERVICES, port) == (True, "6379")


def test_prometheus_scrapes_each_of_a_pair_and_is_otherwise_the_same() -> None:
    both = load(COMPOSE / "prometheus-pair.yml")
    (job,) = both["scrape_configs"]
    assert job.pop("static_configs") == [{"targets": [f"{name}:10063" for name in PAIR]}]
    one = load(COMPOSE / "prometheus.yml")
    del one["scrape_configs"][0]["static_configs"]
    assert both == one
    readme = (COMPOSE / "README.md").read_text("utf-8")
    assert "`PROMETHEUS_CONFIG=prometheus-pair.yml`" in readme


def test_every_address_is_that_of_a_service() -> None:
    names = set(SERVICES)
    for service in SERVICES.values():
        networks = service.get("networks")
        if isinstance(networks, dict):
            names |= set(networks["default"]["aliases"])
    ports = {port.split(":")[2] for it in SERVICES.values() for port in it.get("ports", ())}
    for address in ADDRESSES.values():
        name, port = address.split(":")
        assert name in names
        assert port in ports


def test_prometheus_accepts_its_configuration_where_it_is_mounted(tmp_path: Path) -> None:
    lay_out("prometheus", tmp_path)
    checked = subprocess.run(
        [
            program("promtool", package="prometheus"),
            "check",
            "config",
            tmp_path / "etc/prometheus/prometheus.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS: 6 rule files found" in checked.stdout


def test_alertmanager_accepts_its_configuration_where_it_is_mounted(tmp_path: Path) -> None:
    lay_out("alertmanager", tmp_path)
    checked = subprocess.run(
        [
            program("amtool", package="prometheus-alertmanager"),
            "check-config",
            tmp_path / "etc/alertmanager/alertmanager.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "1 templates" in checked.stdout


def test_grafana_finds_every_dashboard_where_it_is_mounted(tmp_path: Path) -> None:
    lay_out("grafana", tmp_path)
    environment = SERVICES["grafana"]["environment"]
    home = environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(f"{tmp_path}{home}").is_file()
    (provided,) = (tmp_path / "etc/grafana/provisioning/dashboards").iterdir()
    for provider in load(provided)["providers"]:
        assert list(Path(f"{tmp_path}{provider['options']['path']}").glob("*.json"))


def lay_out(name: str, root: Path) -> None:
    """Give a service's mounted files the places below `root` that they have in its container."""
    for owner, source, target, *_ in MOUNTS:
        if owner == name and source.startswith("."):
            place = Path(f"{root}{target}")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to((COMPOSE / source).resolve())
