"""A Chromium for all tests here, which is Debian's, and a page in it for each."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    ViewportSize,
    sync_playwright,
)

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
    "--in-process-gpu",
    "--renderer-process-limit=1",
)
PATIENCE_MILLISECONDS = 10_000.0
WIDE = ViewportSize(width=1440, height=900)

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


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    context = browser.new_context(**options, viewport=WIDE)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    return context


@pytest.fixture(scope="package")
def contexts(browser: Browser) -> Callable[..., BrowserContext]:
    """Lends the context with these options, one to all tests: each of its own takes a process, and so a second."""

    return cache(partial(new_context, browser))


@pytest.fixture
def visit(
    browser: Browser, contexts: Callable[..., BrowserContext], messages: list[str]
) -> Iterator[Callable[..., Page]]:
    """Opens an address, with options of the browser's context; in the end nothing was complained of.

    is_timeless: time passes in the page only as the test says.
    """
    pages, own = [], []

    def open_address(
        address: str,
        *,
        is_timeless: bool = False,
        viewport: ViewportSize = WIDE,
        **options: Any,
    ) -> Page:
        # A context has one clock.
        if is_timeless:
            own.append(context := new_context(browser, **options))
        else:
            context = contexts(**options)
        page = context.new_page()
        page.set_viewport_size(viewport)
        pages.append(page)
        if is_timeless:
            page.clock.install()

        def heard(message: ConsoleMessage) -> None:
            messages.append(f"{message.type}: {message.text}")

        page.on("console", heard)
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        page.goto(address)
        return page

    yield open_address
    for page in pages:
        page.close()
    for context in own:
        context.close()
    assert messages == []


@pytest.fixture
def opened(scene: Scene, visit: Callable[..., Page]) -> Open:
    """Opens a path of the scene."""
    return lambda path="/", **options: visit(scene.url + path, **options)
