"""`make screenshots`: takes the pictures in README and docs/ from the demo, once something fails in it."""

import tempfile
from pathlib import Path
from typing import Final, Literal, NamedTuple

from playwright.sync_api import sync_playwright

from tests.browser.conftest import FLAGS
from tests.processes import Running, running
from tests.programs import program
from tests.waiting import until

IMAGES: Final = Path(__file__).parents[1] / ".github" / "images"
PATIENCE_SECONDS: Final = 900.0
"""In the demo something fails every few minutes."""
LEAST_POLLS: Final = 20
"""Minimum polls of each vault, so that there is something to see."""


class Shot(NamedTuple):
    """One picture. height: of the screen, in pixels; None for the whole page."""

    name: str
    path: str
    width: int
    height: int | None
    scheme: Literal["light", "dark"]


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder, running("--demo", directory=Path(folder)) as demo:
        failing = until(lambda: _failing(demo), PATIENCE_SECONDS)
        address = demo.wait_for("started")["page"].rstrip("/")
        IMAGES.mkdir(parents=True, exist_ok=True)
        for shot in (
            Shot("status.png", "/", 1440, 900, "light"),
            Shot("status-phone.png", "/", 360, 1240, "dark"),
            Shot("target.png", failing.vault, 1440, None, "light"),
            Shot("organization.png", failing.organization, 1440, None, "light"),
        ):
            _take(address, shot)


class Failing(NamedTuple):
    """The paths of two pages: of a vault that fails, and of its organization."""

    vault: str
    organization: str


def _failing(demo: Running) -> Failing | None:
    """Return the pages of a vault that fails but has balances, once every target was polled often enough."""
    targets = demo.get("/api/v1/targets").json()["data"]["targets"]
    # Lists are polled less often.
    vaults = [target for target in targets if target["kind"] == "vault"]
    if min(vault["polls"] for vault in vaults) < LEAST_POLLS:
        return None
    organizations = {it["org"]: it["page"] for it in targets if it["kind"] == "organization"}
    found = [vault for vault in vaults if vault["state"] == "failing"]
    return Failing(found[0]["page"], organizations[found[0]["org"]]) if found else None


def _take(address: str, shot: Shot) -> None:
    with sync_playwright() as playwright:
        path = program("chromium", package="chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(
            viewport={"width": shot.width, "height": shot.height or 600}, color_scheme=shot.scheme
        )
        page.goto(address + shot.path)
        page.screenshot(path=IMAGES / shot.name, full_page=shot.height is None)
        browser.close()


if __name__ == "__main__":
    main()
