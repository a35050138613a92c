"""The status page in a real Chromium: display, filters and sorting, with JavaScript and without."""

from collections.abc import Callable
from dataclasses import replace

import bcrypt
import httpx
import pytest
from msgspec import structs
from playwright.sync_api import Page, Route, expect

from exporter.assembly import Exporter
from exporter.secret import Secret
from exporter.web.access.configuration import WebConfiguration
from exporter.web.access.control import Access
from tests.browser.conftest import Open
from tests.browser.scene import Scene, every_state, many_vaults
from tests.simulator.calling import PORTFOLIO
from tests.web.statuses import EVIL

REFRESH_MILLISECONDS, TYPING_MILLISECONDS = 5_000, 150
OLD = "Data may be out of date: the exporter is not responding."
WITHOUT_SCRIPTS = {"java_script_enabled": False}
MODES = pytest.mark.parametrize(
    "mode", [{}, WITHOUT_SCRIPTS], ids=["with scripts", "without scripts"]
)
NAMES = "#rows tr:not(.group) th > a"
DENIED, STALE, WAITING, *_ = (vault.name for vault in PORTFOLIO.organizations[0].vaults[1:])


def rows(page: Page) -> list[str]:
    """Return the names of the targets that are shown, from top to bottom."""
    return [text.split("/ ")[1] for text in page.locator(NAMES).all_inner_texts()]


def states(page: Page) -> list[str]:
    return page.locator("#rows td:first-child").all_inner_texts()


@MODES
def test_the_first_screen_answers_the_main_questions(opened: Open, mode: dict[str, bool]) -> None:
    page = opened(**mode)
    expect(page.locator("h1")).to_have_text("1 stale, 1 failing, 1 waiting, 9 of 12 up; 12 paused")
    expect(page.locator("#alerts")).to_contain_text("Polling is paused for all targets: http/429")
    expect(page.locator("#budget svg.chart")).to_be_visible()
    assert states(page) == ["stale", "failing", "waiting", *["up"] * 9]
    assert rows(page)[:3] == [STALE, DENIED, WAITING]
    row = page.locator("#rows tr", has_text=STALE)
    expect(row).to_contain_text("http/502 Bad Gateway for 25m12s")
    assert row.locator("td time").first.get_attribute("title") == "2026-11-21 11:34:30 UTC"


@MODES
def test_columns_sort_one_way_and_then_the_other(opened: Open, mode: dict[str, bool]) -> None:
    page = opened(**mode)
    series = page.get_by_role("columnheader", name="Series")
    for direction in ("ascending", "descending"):
        series.get_by_role("link").click()
        expect(series).to_have_attribute("aria-sort", direction)
        numbers = [int(text) for text in page.locator("#rows td:nth-child(7)").all_inner_texts()]
        assert numbers == sorted(numbers, reverse=direction == "descending")
    assert "sort=series" in page.url


def test_without_scripts_a_form_filters(opened: Open) -> None:
    page = opened(**WITHOUT_SCRIPTS)
    page.get_by_label("State", exact=True).select_option("up")
    page.get_by_label("Organization", exact=True).select_option(PORTFOLIO.organizations[1].name)
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("caption")).to_have_text("6 of 12 targets")
    page.get_by_label("Name, id or error").fill("equit")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("caption")).to_have_text("1 of 12 targets")
    assert rows(page) == ["equities"]
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("caption")).to_have_text("12 of 12 targets")


def test_with_scripts_typing_filters_at_once_and_the_address_says_so(opened: Open) -> None:
    page = opened()
    expect(page.get_by_role("button", name="Filter")).to_be_hidden()
    page.get_by_label("Name, id or error").press_sequentially("equit")
    expect(page.locator("caption")).to_have_text("1 of 12 targets")
    assert rows(page) == ["equities"]
    assert page.url.endswith("/?q=equit")
    page.reload()
    assert rows(page) == ["equities"]
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("caption")).to_have_text("12 of 12 targets")
    expect(page.get_by_label("Name, id or error")).to_have_value("")


def test_a_count_shows_the_targets_in_that_state(opened: Open) -> None:
    page = opened()
    page.get_by_role("link", name="1 failing").click()
    expect(page.locator("caption")).to_have_text("1 of 12 targets")
    assert rows(page) == [DENIED]
    expect(page.get_by_label("State", exact=True)).to_have_value("failing")


def test_a_filter_without_matches_says_so(opened: Open) -> None:
    page = opened()
    page.get_by_label("Name, id or error").fill("nowhere")
    expect(page.locator("#rows")).to_contain_text("No target matches.")
    page.locator("#none").get_by_role("link").click()
    expect(page.locator("caption")).to_have_text("12 of 12 targets")


def test_the_page_keeps_itself_fresh_without_losing_its_place(visit: Callable[..., Page]) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True, viewport={"width": 900, "height": 500})
        link = page.locator("#rows a", has_text=STALE)
        link.focus()
        link.scroll_into_view_if_needed()
        place = page.evaluate("scrollY")
        assert place > 0
        scene.do(recover(scene))
        page.clock.run_for(REFRESH_MILLISECONDS)
        expect(page.locator("h1")).to_have_text("1 waiting, 11 of 12 up; 12 paused")
        assert states(page) == ["waiting", *["up"] * 11]
        assert page.evaluate("scrollY") == pytest.approx(place, abs=400)
        assert page.evaluate("document.activeElement.innerText").endswith(STALE)
        expect(page.get_by_role("status")).to_have_text("1 waiting, 11 of 12 up; 12 paused")


def recover(scene: Scene) -> Callable[[Exporter], None]:
    def change(exporter: Exporter) -> None:
        for name in (DENIED, STALE):
            state = structs.replace(scene.state(name), failure=None, is_stale=False, polls=30)
            exporter.store.put(state)

    return change


def test_what_is_typed_while_the_page_refreshes_counts(visit: Callable[..., Page]) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)
        held: list[Route] = []
        page.route(f"{scene.url}/", lambda route: held.append(route))  # noqa: PLW0108 - it wants a function of Python
        with page.expect_request(f"{scene.url}/"):
            page.clock.run_for(REFRESH_MILLISECONDS)
        # Before anything is typed: on a busy machine what was typed is asked for before the held request goes on.
        scene.do(recover(scene))
        page.get_by_label("Name, id or error").fill("equit")
        held[0].continue_()
        expect(page.locator("h1")).to_have_text("1 waiting, 11 of 12 up; 12 paused")
        page.clock.run_for(TYPING_MILLISECONDS)
        expect(page.locator("caption")).to_have_text("1 of 12 targets")
        expect(page.get_by_label("Name, id or error")).to_have_value("equit")


def test_a_filter_that_could_not_be_fetched_is_tried_again(
    visit: Callable[..., Page], messages: list[str]
) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)
        page.route("**/?q=equit", lambda route: route.abort(), times=1)
        page.get_by_label("Name, id or error").fill("equit")
        page.clock.run_for(TYPING_MILLISECONDS)
        expect(page.get_by_role("status")).to_have_text(OLD)
        page.clock.run_for(REFRESH_MILLISECONDS)
        expect(page.locator("caption")).to_have_text("1 of 12 targets")
        expect(page.get_by_role("status")).to_have_text("The exporter is responding again.")
        assert page.url.endswith("/?q=equit")
    assert all("ERR_FAILED" in message for message in messages)
    messages.clear()


def test_a_page_that_does_not_refresh_stays_as_it_is(visit: Callable[..., Page]) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)
        stop = page.get_by_role("button", name="Stop refreshing")
        stop.click()
        expect(stop).to_have_attribute("aria-pressed", "true")
        scene.do(recover(scene))
        page.clock.run_for(60_000)
        expect(page.locator("h1")).to_have_text(
            "1 stale, 1 failing, 1 waiting, 9 of 12 up; 12 paused"
        )
        stop.click()
        expect(page.locator("h1")).to_have_text("1 waiting, 11 of 12 up; 12 paused")


def test_a_page_whose_exporter_has_gone_says_that_it_is_old(
    visit: Callable[..., Page], messages: list[str]
) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)
    page.clock.run_for(REFRESH_MILLISECONDS)
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text(OLD)
    # The browser itself reports that a request failed.
    assert all("ERR_CONNECTION_REFUSED" in message for message in messages)
    messages.clear()


@MODES
def test_an_organization_leads_to_its_vaults_and_they_to_their_balances(
    opened: Open, mode: dict[str, bool]
) -> None:
    page = opened(**mode)
    page.locator("#worth").get_by_role("link", name=PORTFOLIO.organizations[0].name).click()
    expect(page.locator("h1")).to_contain_text("(total) up")
    expect(page.locator("dd", has_text="without 3 vaults that are not read")).to_be_visible()
    expect(page.locator(".vaults tbody tr")).to_have_count(5)
    expect(page.locator(".vaults")).to_contain_text("stale")
    page.get_by_role("link", name="fiat-settlement").click()
    expect(page.locator(".balances tfoot")).to_contain_text("Total")


@MODES
def test_what_happened_is_reported_and_leads_to_the_target(
    opened: Open, mode: dict[str, bool]
) -> None:
    page = opened(**mode)
    page.get_by_role("link", name="Events").click()
    expect(page.locator(".events tbody tr").first).to_contain_text("up again")
    page.get_by_role("link", name="polling", exact=True).click()
    expect(page.locator(".events tbody tr")).to_have_count(1)
    page.get_by_role("link", name="target", exact=True).click()
    page.get_by_role("link", name=STALE).first.click()
    assert rows(page) == [STALE]


def test_columns_do_not_move_when_a_text_gets_longer(visit: Callable[..., Page]) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)

        def edges() -> object:
            heads = page.locator("#head th")
            return heads.evaluate_all("heads => heads.map(it => it.getBoundingClientRect().left)")

        before = edges()
        scene.put("otc-desk", refresh_interval=3599.0, rows=12_345, invalid_rows=12)
        scene.now = 7199.0
        page.clock.run_for(REFRESH_MILLISECONDS)
        expect(page.locator("#rows")).to_contain_text("12345 12 invalid")
        assert edges() == before


@MODES
def test_a_target_leads_to_its_balances(opened: Open, mode: dict[str, bool]) -> None:
    page = opened(**mode)
    page.get_by_role("link", name="otc-desk").click()
    expect(page.locator("h1")).to_contain_text("otc-desk up")
    table = page.locator("table.balances")
    expect(table.get_by_role("columnheader", name="Quote balance")).to_be_visible()
    bitcoin = table.get_by_role("row", name="BTC")
    shown = bitcoin.locator("data").first
    assert shown.inner_text().replace(",", "") == shown.get_attribute("value")
    page.get_by_role("link", name="All targets").click()
    expect(page.locator("caption")).to_have_text("12 of 12 targets")


def test_the_page_of_a_target_keeps_itself_fresh(visit: Callable[..., Page]) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)
        page.get_by_role("link", name=DENIED).click()
        expect(page.locator("h1")).to_contain_text("failing")
        page.get_by_role("link", name="Refresh").focus()
        scene.do(recover(scene))
        page.clock.run_for(REFRESH_MILLISECONDS)
        expect(page.locator("h1")).to_contain_text("up")
        # The pause of everything stays.
        expect(page.locator(".alert")).to_have_count(1)
        assert page.evaluate("document.activeElement.innerText") == "Refresh"


def test_the_page_of_a_target_whose_exporter_has_gone_says_that_it_is_old(
    visit: Callable[..., Page], messages: list[str]
) -> None:
    with every_state() as scene:
        page = visit(scene.url, is_timeless=True)
        page.get_by_role("link", name=DENIED).click()
        expect(page.locator("h1")).to_contain_text("failing")
    page.clock.run_for(REFRESH_MILLISECONDS)
    expect(page.get_by_role("status")).to_have_text(OLD)
    assert all("ERR_CONNECTION_REFUSED" in message for message in messages)
    messages.clear()


def test_showing_all_keeps_the_order(opened: Open) -> None:
    page = opened()
    series = page.get_by_role("columnheader", name="Series")
    series.get_by_role("link").click()
    expect(series).to_have_attribute("aria-sort", "ascending")
    page.get_by_label("Name, id or error").fill("equit")
    expect(page.locator("caption")).to_have_text("1 of 12 targets")
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("caption")).to_have_text("12 of 12 targets")
    assert page.url.endswith("/?sort=series")


def test_a_failing_target_says_what_to_do(opened: Open) -> None:
    page = opened()
    page.get_by_role("link", name=DENIED).click()
    failure, pause = page.locator(".alert").all()
    runbook = failure.get_by_role("link", name="Runbook")
    expect(runbook).to_have_attribute("href", "/runbooks/KrakenCustodyPermissionDenied")
    expect(pause).to_contain_text("Polling is paused for all targets: http/429")


def test_hostile_names_do_nothing(visit: Callable[..., Page]) -> None:
    first, second = PORTFOLIO.organizations
    evil = replace(first.vaults[0], name=f'<img src=x onerror="{EVIL}">{EVIL}')
    portfolio = replace(
        PORTFOLIO,
        organizations=(replace(first, name=EVIL, vaults=(evil, *first.vaults[1:])), second),
    )
    with every_state(portfolio) as scene:
        page = visit(scene.url, is_timeless=True)
        expect(page.locator("#rows")).to_contain_text(EVIL)
        page.get_by_label("Name, id or error").fill(EVIL)
        page.clock.run_for(TYPING_MILLISECONDS)
        expect(page.locator("caption")).to_have_text("6 of 12 targets")
        page.get_by_role("link", name="onerror").click()
        expect(page.locator("h1")).to_contain_text(EVIL)
        assert page.locator("img").count() == 1


def test_more_vaults_than_a_page_holds_are_shown_in_pages_on_which_everything_works(
    visit: Callable[..., Page],
) -> None:
    with many_vaults(510) as url:
        page = visit(url, is_timeless=True)
        expect(page.locator("caption")).to_have_text("1 to 500 of 511 targets")
        expect(page.locator(NAMES)).to_have_count(500)
        assert states(page)[0] == "failing"
        expect(page.locator("#worth tbody")).to_contain_text("511")
        page.get_by_label("Name, id or error").fill("vault-509")
        page.clock.run_for(TYPING_MILLISECONDS)
        expect(page.locator("caption")).to_have_text("1 of 511 targets")
        page.locator("#worth tbody a").first.click()
        expect(page.locator(".vaults caption")).to_contain_text("1 to 500 of 510 vaults")
        expect(page.locator("dd").first).to_contain_text("33,150,000.00 USD")
        page.get_by_role("link", name="Next").click()
        expect(page.locator(".vaults caption")).to_contain_text("501 to 510 of 510 vaults")
        with page.expect_response(f"{url}/organizations/*"):
            page.clock.run_for(REFRESH_MILLISECONDS)
        expect(page.locator(".vaults caption")).to_contain_text("501 to 510 of 510 vaults")


def test_behind_a_password_the_page_keeps_itself_fresh_too(visit: Callable[..., Page]) -> None:
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    configuration = WebConfiguration(basic_auth_users={"ops": Secret(hashed)})
    with every_state(access=Access(lambda: configuration)) as scene:
        for path in (
            "/",
            "/static/refresh.js",
            f"/vaults/{PORTFOLIO.organizations[1].vaults[0].id}",
        ):
            assert httpx.get(scene.url + path, trust_env=False).status_code == 401
        # A page with a password in its address may not fetch addresses with a password.
        page = visit(scene.url.replace("//", "//ops:open%20sesame@"), is_timeless=True)
        scene.do(recover(scene))
        page.clock.run_for(REFRESH_MILLISECONDS)
        expect(page.locator("h1")).to_have_text("1 waiting, 11 of 12 up; 12 paused")
        page.get_by_label("Name, id or error").fill("equit")
        page.clock.run_for(TYPING_MILLISECONDS)
        expect(page.locator("caption")).to_have_text("1 of 12 targets")
        assert page.url.endswith("/?q=equit")


def test_the_keyboard_reaches_everything_and_skips_what_repeats(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "reload"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Stop refreshing")).to_have_attribute(
        "aria-pressed", "true"
    )
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
