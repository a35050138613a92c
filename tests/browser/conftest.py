"""A Chromium for all tests here, which is Debian's, and a page in it for each."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.browser.scene import Scene, every_state
from tests.programs import program

# What it would ask the internet for, it would wait for.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)
PATIENCE_MILLISECONDS = 10_000.0

Open = Callable[..., Page]
"""Opens a path of the scene, with options of the browser's context."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = program("chromium", package="chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def scene() -> Iterator[Scene]:
    """An exporter with a target in every state; tests that change it want one of their own."""
    with every_state() as scene:
        yield scene


@pytest.fixture
def messages() -> list[str]:
    """What the browser complained of; a page must not make it say anything."""
    return []


@pytest.fixture
def visit(browser: Browser, messages: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens an address, with options of the browser's context; in the end nothing was complained of.

    is_timeless: time passes in the page only as the test says.
    """
    contexts = []

    def open_address(address: str, *, is_timeless: bool = False, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | options)
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        if is_timeless:
            page.clock.install()

        def heard(message: ConsoleMessage) -> None:
            messages.append(f"{message.type}: {message.text}")

        page.on("console", heard)
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        page.goto(address)
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert messages == []


@pytest.fixture
def opened(scene: Scene, visit: Callable[..., Page]) -> Open:
    """Opens a path of the scene."""
    return lambda path="/", **options: visit(scene.url + path, **options)
