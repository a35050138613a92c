"""The Dockerfile: its text and, if the machine has buildah, the image built from it."""

import json
import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from packaging.utils import canonicalize_name

from exporter import __version__
from tests.deploy.dockerfile import BASE, IMAGE, LINES, REPOSITORY, Buildah, buildah
from tests.waiting import until
from tools.supply.sbom import SBOM

FINAL = LINES[LINES.index("FROM ${PYTHON_IMAGE}") :]
CERTIFICATE = trustme.CA().cert_pem.bytes().decode()
ARGUMENTS = (
    f"--build-arg=PYTHON_IMAGE={BASE}",
    f"--build-arg=CA_CERTIFICATES={CERTIFICATE}",
)
IGNORED = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()


def default(argument: str) -> str:
    """Return the default of a build argument, which is the same in every stage."""
    (value,) = {line.partition("=")[2] for line in LINES if line.startswith(f"ARG {argument}=")}
    return value


def test_all_stages_start_from_the_same_image_with_an_exact_version() -> None:
    bases = [line.split()[1] for line in LINES if line.startswith("FROM ")]
    assert set(bases) == {"${PYTHON_IMAGE}", "libraries", "scratch"}
    assert re.fullmatch(
        r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", default("PYTHON_IMAGE")
    )


def test_python_in_the_image_is_one_that_the_project_supports() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    least = project["requires-python"].removeprefix(">=").split(".")
    version = default("PYTHON_IMAGE").removeprefix("python:").split(".")
    assert tuple(map(int, version[:2])) >= tuple(map(int, least))


def test_nothing_reaches_the_build_but_requirements_and_what_the_wheel_is_made_of() -> None:
    assert IGNORED[0] == "*"
    let_through = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
    assert let_through == [
        *("LICENSE", "README.md", "deploy/requirements.txt", "deploy/requirements-build.txt"),
        *("docs/kraken-custody-exporter.1", "config.example.yaml", "exporter", "pyproject.toml"),
        "tools/build_hooks.py",
    ]
    assert all((REPOSITORY / path).exists() for path in let_through)


def test_packages_come_hashed_and_from_wherever_pip_is_reported_to_look() -> None:
    *from_an_index, from_a_file = (line for line in LINES if "pip --python" in line)
    for install in from_an_index:
        assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install.split())
        (file,) = re.findall(r"/build/(requirements\S*)", install)
        assert "://" not in install + (REPOSITORY / "deploy" / file).read_text("utf-8")
    assert {"--no-index", "--no-deps"} <= set(from_a_file.split())


def test_the_licence_is_that_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    label = f'org.opencontainers.image.licenses="{project["license"]}"'
    assert any(label in line for line in FINAL)


def test_it_runs_as_a_user_that_owns_nothing() -> None:
    assert [line for line in LINES if line.startswith("USER ")] == ["USER 10063:10063"]
    assert not any("--chown" in line for line in LINES)


def test_nothing_runs_in_the_final_stage_and_what_starts_needs_no_shell() -> None:
    assert not any(line.startswith("RUN ") for line in FINAL)
    (entrypoint,) = (line for line in FINAL if line.startswith("ENTRYPOINT "))
    (healthcheck,) = (line for line in FINAL if line.startswith("  CMD "))
    for line in (entrypoint, healthcheck):
        assert line.partition("[")[2].startswith('"/app/bin/python", "-I"')


def test_the_version_is_that_of_the_package() -> None:
    assert default("VERSION") == __version__


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    with buildah(tmp_path_factory.mktemp("buildah")) as tool:
        yield tool


@pytest.fixture(scope="module")
def image(tool: Buildah, tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """A Buildah that has built the Dockerfile, on this machine's Python."""
    tool.make_base(tmp_path_factory.mktemp("base"))
    tool.build(*ARGUMENTS, "--build-arg=REVISION=abc1234", f"--tag={IMAGE}", REPOSITORY)
    return tool


def test_without_a_revision_there_is_no_image(image: Buildah) -> None:
    with pytest.raises(AssertionError, match="Of which revision is this"):
        image.build(*ARGUMENTS, "--tag=localhost/none", REPOSITORY)


def test_a_companys_certificate_is_trusted_while_packages_are_installed(image: Buildah) -> None:
    image.build(*ARGUMENTS, "--target=libraries", "--tag=localhost/libraries", REPOSITORY)
    container = image.do("from", "localhost/libraries")
    command = image.run(container, "/bin/sh", "-c", 'cat "$PIP_CERT"')
    bundle = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert CERTIFICATE.strip() in bundle
    assert Path("/etc/ssl/certs/ca-certificates.crt").read_text().strip() in bundle


@pytest.fixture
def container(image: Buildah) -> str:
    return image.do("from", IMAGE)


def test_what_does_not_belong_into_the_image_does_not_reach_the_build(
    tool: Buildah, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    taken = [
        *("LICENSE", "README.md", "deploy/requirements-build.txt", "deploy/requirements.txt"),
        *("docs/kraken-custody-exporter.1", "exporter/REVISION", "exporter/app.py"),
        *("exporter/web/static/page.css", "pyproject.toml", "tools/build_hooks.py"),
    ]
    left = [
        *("config.yaml", "secrets/api-key", ".git/config", "tests/conftest.py"),
        *("deploy/alertmanager/alertmanager.yml", "docs/http.md", "tools/docs.py"),
        *("exporter/__pycache__/app.pyc", "exporter/web/__pycache__/site.pyc"),
    ]
    for name in taken + left:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).touch()
    (context / ".dockerignore").write_text("\n".join(IGNORED))
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    tool.build(
        f"--file={tmp_path / 'Dockerfile'}",
        f"--output=type=local,dest={tmp_path / 'arrived'}",
        context,
    )
    arrived = [path for path in (tmp_path / "arrived").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path / "arrived")) for path in arrived) == taken


def test_an_engine_reads_what_the_image_says_of_itself(image: Buildah) -> None:
    said = image.configuration()
    assert (said["User"], said["WorkingDir"]) == ("10063:10063", "/etc/kraken-custody-exporter")
    assert "DEFAULT_LISTEN_ADDRESS=:10063" in said["Env"]
    assert list(said["ExposedPorts"]) == ["10063/tcp"]
    assert said["Labels"]["org.opencontainers.image.version"] == __version__
    assert said["Labels"]["org.opencontainers.image.revision"] == "abc1234"
    assert said["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_it_knows_version_and_revision(image: Buildah, container: str) -> None:
    for command in (image.configuration()["Entrypoint"], ["kraken-custody-exporter"]):
        told = subprocess.run(
            image.run(container, *command, "--version"), capture_output=True, text=True, check=True
        )
        assert told.stdout.startswith(f"kraken-custody-exporter {__version__} (revision abc1234,")


def test_a_scanner_finds_the_package_and_what_the_bill_of_materials_lists(
    image: Buildah, container: str
) -> None:
    program = """
from importlib.metadata import distributions
for found in distributions():
    print(found.name, found.version, found.metadata["License-Expression"])
"""
    python = image.configuration()["Entrypoint"][0]
    command = image.run(container, python, "-I", "-c", program)
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"kraken-custody-exporter {__version__} Apache-2.0\n" in listed
    found = {canonicalize_name(line.split()[0]) for line in listed.splitlines()}
    parts = json.loads(SBOM.read_text("utf-8"))["components"]
    assert found == {
        "kraken-custody-exporter",
        *(canonicalize_name(part["name"]) for part in parts),
    }


def test_every_module_can_be_imported_and_was_compiled_and_there_is_no_pip(
    image: Buildah, container: str
) -> None:
    program = """
import importlib, importlib.util, pkgutil, exporter, os
names = [found.name for found in pkgutil.walk_packages(exporter.__path__, "exporter.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
    assert os.path.exists(importlib.util.find_spec(name).cached), name
assert importlib.util.find_spec("pip") is None
print(len(names), os.getuid())
"""
    python = image.configuration()["Entrypoint"][0]
    command = image.run(container, python, "-I", "-c", program)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    modules, user = done.stdout.split()
    packages = list((REPOSITORY / "exporter").rglob("*.py"))
    # Everything except the package itself.
    assert (int(modules), user) == (len(packages) - 1, "10063")


def innermost(process: int) -> int:
    """Return the innermost descendant of a process."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    for child in (child for task in tasks for child in task.read_text().split()):
        return innermost(int(child))
    return process


def test_it_starts_without_a_home_and_is_found_healthy_until_it_stops(
    image: Buildah, container: str, tmp_path: Path
) -> None:
    said = image.configuration()
    log = tmp_path / "log"
    start = (*said["Entrypoint"], "--demo")
    with log.open("w") as stderr:
        exporter = subprocess.Popen(
            image.run(container, *start, DEFAULT_LISTEN_ADDRESS="127.0.0.1:0"), stderr=stderr
        )
    try:
        page = until(lambda: re.search(r"event=started .*page=(\S+)", log.read_text()))[1]
        _, *healthcheck = said["Healthcheck"]["Test"]
        check = image.run(container, *healthcheck, HEALTHCHECK_URL=f"{page}-/healthy")
        assert subprocess.run(check, check=False).returncode == 0
        os.kill(innermost(exporter.pid), signal.SIGTERM)
        assert exporter.wait() == 0
        assert subprocess.run(check, capture_output=True, check=False).returncode == 1
    finally:
        # If buildah were killed, its child processes would continue.
        if exporter.poll() is None:
            os.kill(innermost(exporter.pid), signal.SIGKILL)
            exporter.wait()


def test_without_a_configuration_it_says_where_it_looked(image: Buildah, container: str) -> None:
    command = image.run(container, *image.configuration()["Entrypoint"])
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "config.yaml: no such file: check the path (/etc/kraken-custody-exporter/config.yaml), "
        "or create it: kraken-custody-exporter --config.example shows what belongs here\n"
    )
