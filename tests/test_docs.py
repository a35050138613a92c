"""README and docs/ agree with the code, and their links lead somewhere."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from exporter.flags import flag_parser
from exporter.resources import RESOURCES
from tests.deploy.rules import alerts as alert_rules
from tests.programs import program
from tools.docs import DOCS, GENERATED, ROOT, all_metrics, with_table
from tools.man import MAN_PAGE, man_page

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES: Final = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / ".github" / "SECURITY.md",
        *sorted(DOCS.glob("*.md")),
        *sorted((ROOT / "deploy").rglob("*.md")),
    )
}
PRODUCT: Final = "".join(
    text
    for name, text in PAGES.items()
    if name in {"README.md", "CONTRIBUTING.md"} or name.startswith("docs/")
)


def without_code(text: str) -> str:
    """Return a page without its code blocks, in which nothing is a heading or a link."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#{1,6} +(.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> set[str]:
    """Return where the links and pictures of a page lead, apart from other sites."""
    text = without_code(text)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return {link for link in found if not re.match(r"[a-z]+:", link)}


def is_broken(page: str, link: str) -> bool:
    """Whether a link on a page leads to no file, or to no heading of its file."""
    path, _, anchor = link.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    if not file.exists():
        return True
    return bool(anchor) and anchor not in anchors(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    assert [link for link in links(PAGES[page]) if is_broken(page, link)] == []


@pytest.mark.parametrize(
    "link", ["docs/nothing.md", "docs/http.md#nothing", "#nothing", "docs/configuration.md#flag"]
)
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert is_broken("README.md", link)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_readme_links_every_page_of_docs(page: Path) -> None:
    assert f"docs/{page.name}" in links(README)


@pytest.mark.parametrize("folder", [resource.folder for resource in RESOURCES.values()])
def test_the_paths_of_every_page_of_targets_are_documented(folder: str) -> None:
    assert f"`{folder}" in PAGES["docs/http.md"]


def test_the_readme_can_be_read_in_five_minutes() -> None:
    assert 900 <= len(README.split()) <= 1200


def test_the_first_screen_of_the_readme_has_a_picture_and_says_what_was_not_tried() -> None:
    first_screen = "\n".join(README.splitlines()[:15])
    assert re.search(r"!\[[^]]+\]\(\.github/images/\w+\.png\)", first_screen)
    assert "Not yet tried against the live API" in first_screen


def test_the_readme_names_ten_metrics_to_start_with() -> None:
    section = README.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| `kraken_custody_\w+` \|", section, re.MULTILINE)) == 10


def test_the_readme_counts_the_alerts() -> None:
    assert f"{len(alert_rules())} alerts" in README


@pytest.mark.parametrize(
    ("file", "name", "table"), GENERATED, ids=[name for _, name, _ in GENERATED]
)
def test_a_generated_table_is_up_to_date(file: Path, name: str, table: Callable[[], str]) -> None:
    """If this fails, run `make docs`."""
    text = file.read_text(encoding="utf-8")
    assert with_table(text, name, table()) == text


def test_the_manual_page_is_up_to_date_and_has_every_flag() -> None:
    """If this fails, run `make docs`."""
    page = MAN_PAGE.read_text("utf-8")
    assert page == man_page()
    flags = {action.option_strings[-1] for action in flag_parser()._actions}
    assert set(
        re.findall(r"^\\fB(--\S+?)\\fR", page.replace("\\-", "-"), re.MULTILINE)
    ) == flags - {"--help"}


def test_the_manual_page_can_be_set() -> None:
    groff = program("groff", package="groff-base")
    command = [groff, "-man", "-ww", "-z", "-Tutf8", str(MAN_PAGE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_metric_that_is_mentioned_exists() -> None:
    mentioned = set(re.findall(r"\bkraken_custody_\w+", PRODUCT))
    assert mentioned - {metric.name for metric in all_metrics()} == set()


def test_every_file_that_is_mentioned_exists() -> None:
    mentioned = set(re.findall(r"`((?:exporter|tests|tools|deploy)/[\w/.-]*)`", PRODUCT))
    assert {path for path in mentioned if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize(
    "package", sorted(path.parent.name for path in ROOT.glob("exporter/*/__init__.py"))
)
def test_the_architecture_lists_every_package(package: str) -> None:
    assert f"\n| `exporter/{package}/` |" in PAGES["docs/architecture.md"]


def test_every_make_target_that_is_mentioned_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([\w-]+)", PRODUCT)) | set(
        re.findall(r"^\$ make ([\w-]+)", PRODUCT, re.MULTILINE)
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warn",
    "error": "error",
    "exception": "error",
}
EVENT = re.compile(rf'\blog\.({"|".join(LEVELS)})\(\s*"(\w+)"')


def test_every_log_event_is_listed_with_its_level() -> None:
    sources = [file.read_text(encoding="utf-8") for file in ROOT.glob("exporter/**/*.py")]
    logged = {(name, LEVELS[how]) for text in sources for how, name in EVENT.findall(text)}
    listed = set()
    for row in re.findall(
        r"^\| (`.+) \| (.+) \| .+ \|$", PAGES["docs/log-events.md"], re.MULTILINE
    ):
        names, levels = re.findall(r"`(\w+)`", row[0]), row[1].split(", ")
        listed |= set(zip(names, levels * len(names) if len(levels) == 1 else levels, strict=True))
    # The event log itself names it.
    assert listed - {("log_lines_dropped", "warn")} == logged
