"""Debian's Chromium for all tests here, and a page in it for each."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    ViewportSize,
    sync_playwright,
)

from tests.browser.scene import Scene, every_state
from tests.programs import program

# It would wait for whatever it requests from the internet.
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
    """An exporter with a target in every state; tests that change it use their own."""
    with every_state() as scene:
        yield scene


@pytest.fixture(scope="package")
def messages() -> list[str]:
    """Messages on the browser's console during the current test; a page must not cause any."""
    return []


@pytest.fixture(scope="package")
def pages(browser: Browser, messages: list[str]) -> Callable[..., Page]:
    """Yields the page with these options, shared by all tests: a new one takes a process, and so half a second."""

    def heard(message: ConsoleMessage) -> None:
        messages.append(f"{message.type}: {message.text}")

    def dismissed(dialog: Dialog) -> None:
        messages.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @cache
    def page_with(*, is_timeless: bool, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        if is_timeless:
            context.clock.install(time=0)
            context.clock.pause_at(1)
        page = context.new_page()
        page.on("console", heard)
        page.on("dialog", dismissed)
        page.on("pageerror", lambda error: messages.append(f"error: {error}"))
        return page

    return page_with


@pytest.fixture
def visit(pages: Callable[..., Page], messages: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens an address, with options of the browser's context; fails at the end if there were messages.

    is_timeless: time passes in the page only when the test advances it.
    """
    visited: list[Page] = []

    def open_address(
        address: str,
        *,
        is_timeless: bool = False,
        viewport: ViewportSize = WIDE,
        **options: Any,
    ) -> Page:
        page = pages(is_timeless=is_timeless, **options)
        visited.append(page)
        page.set_viewport_size(viewport)
        page.goto(address)
        return page

    yield open_address
    for page in visited:
        page.unroute_all()
        page.emulate_media(color_scheme="null", forced_colors="null")
        # It would go on refreshing, and complain during a later test once its scene has ended.
        page.goto("about:blank")
    complaints = messages[:]
    messages.clear()
    assert complaints == []


@pytest.fixture
def opened(scene: Scene, visit: Callable[..., Page]) -> Open:
    """Opens a path of the scene."""
    return lambda path="/", **options: visit(scene.url + path, **options)
