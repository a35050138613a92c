"""The README says what the code does."""

import re

import pytest

from exporter.metrics import catalog
from tools.docs import GROUPS, README, with_tables

TEXT = README.read_text(encoding="utf-8")


def test_the_generated_tables_are_up_to_date() -> None:
    """If this fails, run `make readme`."""
    assert with_tables(TEXT) == TEXT


def test_every_metric_is_in_one_table() -> None:
    listed = [metric for _, metrics in GROUPS for metric in metrics]
    assert sorted(metric.name for metric in listed) == sorted(m.name for m in catalog.ALL)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bkraken_custody_\w+", TEXT))))
def test_every_metric_that_is_mentioned_exists(name: str) -> None:
    assert name in {metric.name for metric in catalog.ALL}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(exporter/[\w/.]+)`", TEXT))))
def test_every_room_that_is_mentioned_exists(path: str) -> None:
    assert (README.parent / path).exists()


def test_every_make_target_that_is_mentioned_exists() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([\w-]+)", TEXT)) | set(
        re.findall(r"^\$ make ([\w-]+)", TEXT, re.MULTILINE)
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
    sources = [file.read_text(encoding="utf-8") for file in README.parent.glob("exporter/**/*.py")]
    logged = {(name, LEVELS[how]) for text in sources for how, name in EVENT.findall(text)}
    listed = set()
    section = TEXT.partition("## Log events\n")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.+) \| (.+) \| .+ \|$", section, re.MULTILINE):
        names, levels = re.findall(r"`(\w+)`", row[0]), row[1].split(", ")
        listed |= set(zip(names, levels * len(names) if len(levels) == 1 else levels, strict=True))
    # It comes from the logs themselves.
    assert listed - {("log_lines_dropped", "warn")} == logged
