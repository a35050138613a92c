"""Pins match the project's requirements, the bill of materials and the licences are right, and no news is bad news."""

import json
import re
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from threading import Thread
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from exporter import __version__
from tools.supply.licences import CLASSIFIER, is_fit, unfit
from tools.supply.pins import PINS, ROOT, pinned
from tools.supply.sbom import SBOM, tidied
from tools.supply.vulnerabilities import NO_ADVISORIES, Finding, finding, look_up

PINNED = pinned(PINS.read_text("utf-8"))
BOM = json.loads(SBOM.read_text("utf-8"))
HASH = "--hash=sha256:" + "0" * 64


def asked() -> list[Requirement]:
    """Return the project's requirements, with every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in chain(project["dependencies"], *extras)]


def test_what_the_project_asks_for_is_pinned_within_the_range_it_asks_for() -> None:
    assert asked()
    unmet = [
        str(requirement)
        for requirement in asked()
        if PINNED.get(canonicalize_name(requirement.name), "") not in requirement.specifier
    ]
    assert unmet == [], "make requirements sbom"


LOCKS = {
    "requirements-dev.txt": "dev",
    "deploy/requirements-build.txt": "build",
    "deploy/requirements-release.txt": "release",
}
"""The other files of pins, and the dependency group of each."""


def locked(file: str) -> list[Requirement]:
    """Return the pins of a file, some of which are for some Pythons or systems only."""
    text = (ROOT / file).read_text("utf-8")
    entry = re.compile(
        r"(?P<pin>[a-z0-9.-]+==\S+(?: ; [^\\]+)?) (?:\\\n    --hash=sha256:[0-9a-f]{64} ?)+\n"
    )
    found = list(entry.finditer(text))
    assert "".join(match[0] for match in found) == text, "nothing but pins with hashes"
    return [Requirement(match["pin"]) for match in found]


def group(name: str) -> list[Requirement]:
    """Return the requirements of a dependency group, with the groups that it includes."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"][name]
    return [
        requirement
        for entry in entries
        for requirement in (
            [Requirement(entry)] if isinstance(entry, str) else group(entry["include-group"])
        )
    ]


@pytest.mark.parametrize("file", LOCKS)
def test_what_a_group_asks_for_is_pinned_within_the_range_it_asks_for(file: str) -> None:
    pins = locked(file)
    for asked_for in group(LOCKS[file]):
        versions = [
            str(pin.specifier).removeprefix("==")
            for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(asked_for.name)
        ]
        assert versions, f"{asked_for}: make requirements"
        assert all(version in asked_for.specifier for version in versions), "make requirements"


def test_developers_have_what_is_shipped() -> None:
    pins = {
        canonicalize_name(pin.name): str(pin.specifier) for pin in locked("requirements-dev.txt")
    }
    shipped = {name: f"=={version}" for name, version in PINNED.items()}
    assert shipped.items() <= pins.items(), "make requirements"


@pytest.mark.parametrize(
    ("name", "faulty"), [("starlette", "1.3.0"), ("h11", "0.14.0"), ("idna", "3.14")]
)
def test_versions_with_known_faults_are_not_accepted(name: str, faulty: str) -> None:
    (requirement,) = (found for found in asked() if found.name == name)
    assert faulty not in requirement.specifier


@pytest.mark.parametrize(
    "text",
    [
        "httpx==0.28.1\n",
        f"httpx>=0.28.1 \\\n    {HASH}\n",
        f"--index-url elsewhere\nhttpx==0.28.1 \\\n    {HASH}\n",
        f"httpx @ https://elsewhere.test/httpx.whl \\\n    {HASH}\n",
        f"httpx==0.28.1 \\\n    {HASH} --no-verify\n",
    ],
    ids=["no hash", "no version", "a registry", "an address", "an option"],
)
def test_a_pin_is_a_version_with_hashes_and_nothing_else(text: str) -> None:
    assert pinned(f"httpx==0.28.1 \\\n    {HASH} \\\n    {HASH}\n") == {"httpx": "0.28.1"}
    with pytest.raises(ValueError, match="something other than NAME==VERSION with sha256 hashes"):
        pinned(text)


def test_the_bill_of_materials_lists_what_is_pinned() -> None:
    listed = {canonicalize_name(part["name"]): part["version"] for part in BOM["components"]}
    # Packages that only other versions of Python need are not listed.
    conditions = re.findall(
        r"^([a-z0-9-]+)==[^ ]+ ; ([^\\]+)", PINS.read_text("utf-8"), re.MULTILINE
    )
    unneeded = {name for name, condition in conditions if not Marker(condition).evaluate()}
    expected = {name: it for name, it in PINNED.items() if name not in unneeded}
    assert listed == expected, "make sbom"
    assert BOM["metadata"]["component"]["version"] == __version__, "make sbom"


def test_the_bill_of_materials_is_valid_and_knows_what_needs_what() -> None:
    # They take a second to load, which those who run other tests need not wait for.
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(SBOM.read_text("utf-8")) is None
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in BOM["dependencies"]}
    reached, ahead = set[str](), ["root-component"]
    while ahead:
        reference = ahead.pop()
        reached.add(reference)
        ahead += set(needs[reference]) - reached
    parts = {part["bom-ref"] for part in BOM["components"]}
    assert reached == {"root-component", *parts}, "nothing is pinned that nobody needs"


def test_the_bill_of_materials_is_the_same_on_another_day_and_has_no_addresses() -> None:
    text = SBOM.read_text("utf-8")
    assert tidied(json.loads(text)) == text
    assert "timestamp" not in BOM["metadata"]
    assert "serialNumber" not in BOM
    assert text.count("://") == text.count("://cyclonedx.org/schema/") == 1


def test_every_licence_of_what_is_shipped_is_fit() -> None:
    assert unfit(BOM) == {}


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        ("MIT", True),
        ("MIT OR Apache-2.0", True),
        ("MIT AND MPL-2.0", True),
        ("MIT OR GPL-3.0-only", True),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("License :: OSI Approved :: BSD License", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("AGPL-3.0-only OR GPL-3.0-only", False),
        ("(MIT AND GPL-2.0-only) OR LGPL-2.1-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("License :: Other/Proprietary License", False),
        ("all rights (reserved", False),
        ("", False),
    ],
)
def test_a_licence_is_fit_if_it_is_permissive(text: str, fit: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_fit(text) is fit


def test_a_component_with_an_unfit_licence_or_none_is_reported() -> None:
    def part(name: str, *licences: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "licenses": licences}

    parts = [
        part("good", {"license": {"id": "MIT"}}),
        part("bare"),
        part("bad", {"license": {"id": "MIT"}}, {"license": {"name": "Proprietary"}}),
        part(
            "good twice",
            {"license": {"id": "MIT"}},
            {"license": {"name": f"{CLASSIFIER}MIT License"}},
        ),
        part("old", {"license": {"name": f"{CLASSIFIER}BSD License"}}),
        part("old and bad", {"license": {"name": f"{CLASSIFIER}Made-up License"}}),
        part("worse", {"expression": "MIT AND GPL-3.0-only"}),
    ]
    assert unfit({"components": parts}) == {
        "bare": "nothing",
        "bad": "MIT, Proprietary",
        "old and bad": f"{CLASSIFIER}Made-up License",
        "worse": "MIT AND GPL-3.0-only",
    }


FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["1.2", "2.0"]}
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1", "vulns": [FLAW, {"id": "CVE-2026-2", "fix_versions": []}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "good", "said"),
    [
        ([GOOD], True, "no package has a known vulnerability"),
        (
            [GOOD, BAD],
            False,
            (
                "vulnerable: bad 1: PYSEC-2026-1, fixed in 1.2, 2.0\n"
                "vulnerable: bad 1: CVE-2026-2, fixed in no version yet"
            ),
        ),
        ([GOOD, UNKNOWN], False, f"could not be checked: unknown: {NO_ADVISORIES}"),
        ([], False, "could not be checked: pip-audit looked at no package at all"),
    ],
)
def test_only_packages_that_were_all_looked_up_can_be_good(
    packages: list[dict[str, Any]],
    good: bool,  # noqa: FBT001 - a column of the table
    said: str,
) -> None:
    found = finding({"dependencies": packages})
    assert (found.is_good, str(found)) == (good, said)


def test_advisories_that_cannot_be_reached_are_no_good_news() -> None:
    failing = (
        sys.executable,
        "-c",
        "import sys; print('some lines'); sys.exit('a\\nno route to host')",
    )
    found = look_up(command=failing)
    assert found == Finding(problem="no route to host")
    assert not found.is_good


class Advisories(BaseHTTPRequestHandler):
    """Answers like OSV: h11 has a vulnerability, the others have none."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["package"]
        affected = {
            "package": asked,
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
        flaw = {"id": "GHSA-made-up", "affected": [affected]}
        answer = json.dumps({"vulns": [flaw]} if asked["name"] == "h11" else {})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        del format, args


def test_pip_audit_looks_up_what_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        found = look_up(["-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}"])
        server.shutdown()
        thread.join()
    pin = PINNED[canonicalize_name("h11")]
    # Of the others it knows, too, and nothing bad.
    assert found == Finding(vulnerable=(f"h11 {pin}: GHSA-made-up, fixed in 99.0",))
