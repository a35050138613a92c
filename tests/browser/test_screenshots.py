"""The pictures in README and docs/; `make screenshots` takes them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *ROOT.glob("docs/*.md"))
PICTURES = sorted(
    {
        name
        for page in PAGES
        for name in re.findall(r"\.github/images/[a-z-]+\.png", page.read_text())
    }
)
MOST_BYTES = 200_000


def test_the_documentation_has_pictures() -> None:
    assert len(PICTURES) >= 3


@pytest.mark.parametrize("picture", PICTURES)
def test_each_picture_is_there_and_small(picture: str) -> None:
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG\r\n")
    assert len(content) < MOST_BYTES


def test_every_picture_is_used() -> None:
    kept = {f".github/images/{path.name}" for path in (ROOT / ".github/images").iterdir()}
    assert kept == set(PICTURES)
