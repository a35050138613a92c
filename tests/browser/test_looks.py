"""The look of the pages: accessible, at any width, in light and dark mode."""

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # has no py.typed
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import WIDE, Open
from tests.simulator.calling import ORGANIZATION, PORTFOLIO

VAULT_PAGE = f"/vaults/{PORTFOLIO.organizations[1].vaults[0].id}"
COLD_PAGE = f"/vaults/{PORTFOLIO.organizations[0].vaults[0].id}"
FAILING_PAGE = f"/vaults/{PORTFOLIO.organizations[0].vaults[1].id}"
SHORT_PAGE = f"/vaults/{PORTFOLIO.organizations[0].vaults[4].id}"
ORGANIZATION_PAGE = f"/organizations/{ORGANIZATION.id.replace(' ', '')}"
RUNBOOK_PAGE = "/runbooks/KrakenCustodyTargetFailing"
PAGES = (
    *("/", "/?q=nowhere", VAULT_PAGE, FAILING_PAGE, ORGANIZATION_PAGE),
    *("/events", "/help", "/runbooks", RUNBOOK_PAGE),
)
NARROW = ViewportSize(width=360, height=740)
LOOKS: tuple[tuple[Literal["light", "dark"], ViewportSize], ...] = (
    ("light", WIDE),
    ("dark", NARROW),
)
VIOLATIONS = "axe.run({resultTypes: ['violations']}).then(results => results.violations)"


def violations(page: Page) -> list[str]:
    found = page.evaluate(VIOLATIONS)
    return [f"{it['id']}: {node['html'][:200]}" for it in found for node in it["nodes"]]


@pytest.mark.parametrize("path", PAGES)
def test_no_rule_of_accessibility_is_broken_and_no_page_is_wider_than_the_screen(
    opened: Open, path: str
) -> None:
    # The rules are a script, which the content security policy of the pages would block.
    page = opened(path, bypass_csp=True)
    page.evaluate(Axe().axe_script)
    for scheme, viewport in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(viewport)
        assert violations(page) == []
    for width in (320, 360, 768, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_every_target_can_be_read_at_any_width(opened: Open) -> None:
    page = opened()
    for viewport in (WIDE, NARROW):
        page.set_viewport_size(viewport)
        edges = page.locator("#rows tr:not(.group) :is(th, td)").evaluate_all(
            "cells => cells.map(cell => cell.getBoundingClientRect()).map(box => [box.left, box.right])"
        )
        assert len(edges) == 12 * 9
        assert all(left >= 0 and right <= viewport["width"] for left, right in edges)


@pytest.mark.parametrize(("path", "widths"), [(VAULT_PAGE, (1440,)), ("/help", (1440, 360))])
def test_tables_fit_on_wide_screens(opened: Open, path: str, widths: tuple[int, ...]) -> None:
    page = opened(path)
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for box in page.locator(".scroll").all():
            assert box.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_names_stay_on_one_line_on_wide_screens(opened: Open) -> None:
    page = opened()
    heights = page.locator("#rows tr:not(.group) th > a").evaluate_all(
        "names => names.map(name => name.getBoundingClientRect().height)"
    )
    assert len(heights) == 12
    assert max(heights) < 1.5 * min(heights)
    assert max(heights) < 25


def test_amounts_of_a_column_are_aligned_at_their_point(opened: Open) -> None:
    page = opened(VAULT_PAGE)
    for title in ("Quote balance", "Balance", "Day-over-day change", "Available", "Quote price"):
        points = page.locator(f'.balances tbody [data-label="{title}"] data').evaluate_all(
            """amounts => amounts.map(amount => {
                const [text, range] = [amount.firstChild, document.createRange()];
                const point = text.data.indexOf(".");
                range.setStart(text, point);
                range.setEnd(text, point + 1);
                return range.getBoundingClientRect().left;
            })"""
        )
        assert len(points) > 3
        assert max(points) - min(points) < 0.5, title


def test_on_a_phone_the_worth_of_a_vault_is_in_sight(opened: Open) -> None:
    page = opened(VAULT_PAGE, viewport=NARROW)
    bottom = page.locator(".worth strong").evaluate("it => it.getBoundingClientRect().bottom")
    assert bottom < NARROW["height"] / 2
    edges = page.locator(".balances :is(th, td)").evaluate_all(
        "cells => cells.map(cell => cell.getBoundingClientRect().right)"
    )
    assert max(edges) <= NARROW["width"]


def test_no_amount_is_broken_into_two_lines(opened: Open) -> None:
    page = opened(COLD_PAGE)
    for width in (320, 360, 768, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        lines = page.locator(".balances data").evaluate_all(
            """amounts => amounts.map(amount => {
                const range = document.createRange();
                range.selectNodeContents(amount.firstChild);
                return [amount.textContent, range.getClientRects().length];
            })"""
        )
        assert len(lines) > 20
        assert [text for text, count in lines if count > 1] == [], width


def test_an_amount_below_its_minimum_is_red(opened: Open) -> None:
    page = opened(SHORT_PAGE)
    row = page.locator(".balances tr.short").first
    colours = [
        row.locator(f'[data-label="{title}"]').evaluate("it => getComputedStyle(it).color")
        for title in ("Available", "Minimum", "Spot")
    ]
    assert colours[0] == colours[1] != colours[2]


def test_on_a_phone_targets_can_be_sorted_too(opened: Open) -> None:
    page = opened(viewport=NARROW)
    page.get_by_label("Sort by").select_option("Target")
    expect(page.locator("#rows tr:not(.group) th").first).to_contain_text("Helix Fund / (total)")


def test_dark_is_dark_and_light_is_light(opened: Open) -> None:
    shades: list[Any] = []
    page = opened()
    for scheme, _ in LOOKS:
        page.emulate_media(color_scheme=scheme)
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g)")
        shades.append(sum(map(int, shade)))
    assert shades[0] > 650
    assert shades[1] < 100


def test_states_are_distinguishable_without_colours(opened: Open) -> None:
    page = opened()
    page.emulate_media(forced_colors="active")
    assert page.locator("#rows .badge").first.inner_text() == "stale"
    strip = page.locator("#rows svg").first
    heights = [
        strip.locator(path).evaluate("path => parseFloat(getComputedStyle(path).strokeWidth)")
        for path in (".good", ".bad")
    ]
    assert heights == [7, 16]
    assert strip.get_attribute("role") == "img"
    assert strip.locator("title").text_content() == (
        "8 of 20 polls succeeded; 12 failed with http/502"
    )
