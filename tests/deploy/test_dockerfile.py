"""The Dockerfile: what it may rely on, and its steps, carried out as far as that goes without an engine."""

import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import __version__
from tests.deploy import dockerfile
from tests.deploy.dockerfile import REPOSITORY, Instruction
from tests.waiting import until

BUILD, FINAL = dockerfile.stages()


def of(name: str, stage: list[Instruction]) -> list[Instruction]:
    return [step for step in stage if step.name == name]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the first stage was carried out."""
    root = tmp_path_factory.mktemp("image")
    dockerfile.build(root)
    return root


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory in which nothing can be written."""
    tmp_path.chmod(0o555)
    yield tmp_path
    tmp_path.chmod(0o755)


def test_both_stages_start_from_the_same_image_with_an_exact_version() -> None:
    assert [stage[0].text for stage in (BUILD, FINAL)] == [
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE}",
    ]
    assert re.fullmatch(
        r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?",
        dockerfile.arguments()["PYTHON_IMAGE"],
    )


def test_python_in_the_image_is_one_that_the_project_supports() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    least = project["requires-python"].removeprefix(">=").split(".")
    version = dockerfile.arguments()["PYTHON_IMAGE"].removeprefix("python:").split(".")
    assert tuple(map(int, version[:2])) >= tuple(map(int, least))


@pytest.mark.parametrize(
    "source", [source for step in of("COPY", BUILD) for source in step.words[:-1]]
)
def test_what_is_copied_exists_and_reaches_the_build(source: str) -> None:
    assert (REPOSITORY / source).exists()
    assert dockerfile.is_in_context(source)


@pytest.mark.parametrize(
    "path",
    [
        "config.yaml",
        "secrets/api-key",
        ".git/config",
        "tests/conftest.py",
        "deploy/alertmanager/alertmanager.yml",
        "exporter/__pycache__",
        "exporter/web/__pycache__",
        "exporter/REVISION",
    ],
)
def test_what_does_not_belong_into_the_image_does_not_reach_the_build(path: str) -> None:
    assert not dockerfile.is_in_context(path)


def test_packages_come_hashed_and_from_wherever_pip_is_told_to_look() -> None:
    (install,) = (step.words for step in of("RUN", BUILD) if "install" in step.words)
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install)
    assert "--index-url" not in install
    requirements = (REPOSITORY / "deploy/requirements.txt").read_text("utf-8")
    assert "://" not in requirements


def test_it_runs_as_somebody_who_owns_nothing() -> None:
    assert [step.text for step in of("USER", FINAL)] == ["10063:10063"]
    assert not any("--chown" in step.text for step in FINAL)


def test_nothing_runs_in_the_final_stage_and_what_starts_needs_no_shell() -> None:
    assert of("RUN", FINAL) == []
    for step in of("ENTRYPOINT", FINAL) + of("HEALTHCHECK", FINAL):
        assert re.search(r'(^|CMD )\["/app/bin/python", "-I"', step.text), step


def test_the_label_has_the_version_of_the_package() -> None:
    assert dockerfile.arguments()["VERSION"] == __version__
    labels = dict(word.split("=", 1) for step in of("LABEL", FINAL) for word in step.words)
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.revision"] == "${REVISION}"


def test_it_knows_version_and_revision(image: Path, elsewhere: Path) -> None:
    command = [*dockerfile.started(image, "ENTRYPOINT"), "--version"]
    told = subprocess.run(
        command, cwd=elsewhere, env={}, capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith(f"kraken-custody-exporter {__version__} (revision abc1234,")


def test_every_module_can_be_imported_and_was_compiled(image: Path, elsewhere: Path) -> None:
    (package,) = image.glob("app/lib/python3.*/site-packages/exporter")
    files = sorted(package.rglob("*.py"))
    compiled = {path.name.split(".")[0] for path in package.rglob("__pycache__/*.pyc")}
    assert {path.stem for path in files} <= compiled
    names = [
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in files
        if path.name != "__main__.py"
    ]
    python = dockerfile.started(image, "ENTRYPOINT")[0]
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    subprocess.run([python, "-I", "-c", program, *names], cwd=elsewhere, env={}, check=True)


def test_the_environment_has_no_pip(image: Path) -> None:
    assert not list(image.glob("app/lib/*/site-packages/pip"))


def test_it_starts_without_a_home_and_is_found_healthy_until_it_stops(
    image: Path, elsewhere: Path
) -> None:
    entrypoint = dockerfile.started(image, "ENTRYPOINT")
    check = dockerfile.started(image, "HEALTHCHECK")
    log = image / "log"
    with log.open("w") as stderr:
        exporter = subprocess.Popen(
            [*entrypoint, "--demo"],
            cwd=elsewhere,
            env={"DEFAULT_LISTEN_ADDRESS": "127.0.0.1:0"},
            stderr=stderr,
        )
    try:
        page = until(lambda: re.search(r"event=started .*page=(\S+)", log.read_text()))[1]
        environment = {"HEALTHCHECK_URL": f"{page}-/healthy"}
        subprocess.run(check, env=environment, check=True)
        exporter.send_signal(signal.SIGTERM)
        assert exporter.wait(timeout=10) == 0
        assert subprocess.run(check, env=environment, check=False).returncode == 1
    finally:
        exporter.kill()
        exporter.wait()


def test_without_a_configuration_it_says_where_it_looked(image: Path, elsewhere: Path) -> None:
    command = dockerfile.started(image, "ENTRYPOINT")
    refused = subprocess.run(
        command, cwd=elsewhere, env={}, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stderr) == (
        2,
        f"config.yaml: no such file: check the path ({elsewhere.resolve()}/config.yaml)\n",
    )
    (directory,) = of("WORKDIR", FINAL)
    assert directory.text == "/etc/kraken-custody-exporter"
