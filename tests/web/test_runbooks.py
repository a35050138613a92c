"""The runbooks that the exporter serves: one for each alert, with working links, and nothing else."""

import re

import pytest
from msgspec.structs import replace

from exporter.polling.plan import Shortage
from exporter.web.pages import Pages
from exporter.web.runbooks import Runbook, runbooks
from exporter.web.site import Site
from exporter.web.view import View
from tests.deploy.rules import alerts
from tests.exporting import exporter_of
from tests.web.statuses import BUDGET, EXPORTER, PAUSE, REFUSED, SILENT, failing, status
from tests.web.test_site import ask, site_of

LINK = re.compile(r'href="([^"]*)"')


@pytest.fixture(scope="module")
def site() -> Site:
    return site_of(exporter_of("http://127.0.0.1:1"))


def test_each_alert_has_a_page_and_the_index_lists_it(site: Site) -> None:
    index = ask(site, "/runbooks")
    assert index.status_code == 200
    assert index.text == ask(site, "/runbooks/").text
    assert [*runbooks()] == sorted(alerts())
    for name in alerts():
        assert f'<dt><a href="/runbooks/{name}">{name}</a></dt><dd><p>' in index.text


@pytest.mark.parametrize("name", alerts())
def test_the_page_of_an_alert_has_its_runbook(site: Site, name: str) -> None:
    answer = ask(site, f"/runbooks/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.count(f"<h1>{name}</h1>") == 1
    assert f"<title>{name} · Kraken custody exporter</title>" in answer.text
    for section in ("Meaning", "Impact", "How to tell the cause", "What to do"):
        assert f"<h2>{section}</h2>" in answer.text
    # No script, and no Markdown is left.
    assert "<script" not in answer.text
    assert not re.search(r"\]\(|^#|`", answer.text, re.MULTILINE)


@pytest.mark.no_cover
@pytest.mark.parametrize("path", ["/runbooks", "/help", *(f"/runbooks/{it}" for it in alerts())])
def test_every_link_leads_to_a_page_or_to_the_api_of_kraken(site: Site, path: str) -> None:
    links = set(LINK.findall(ask(site, path).text))
    assert "/runbooks" in links or path == "/runbooks"
    outside = {link for link in links if not link.startswith("/")} - {"#main"}
    assert outside <= {"https://status.kraken.com"}
    for link in links - outside - {"#main"}:
        assert ask(site, link).status_code in {200, 503}, link


@pytest.mark.parametrize(
    "name",
    [
        *("%2e%2e", "%2e", "%2e%2e%2fflags.py", "..%5cflags.py", "%00", "%0d%0aX: y", "*"),
        *("KrakenCustodyDefect.md", "krakencustodydefect", "KrakenCustodyDefect/", "x" * 4000),
        *("KrakenCustodyDefect%00", "KrakenCustodyDefect%20", "__init__", "%ff", "{name}", "~root"),
    ],
)
def test_a_name_that_no_alert_has_is_not_found(site: Site, name: str) -> None:
    assert ask(site, f"/runbooks/{name}").status_code == 404


def test_a_name_that_no_alert_has_is_text_and_leads_to_those_that_there_are(site: Site) -> None:
    answer = ask(site, "/runbooks/%3Cscript%3Ealert(1)%3C%2Fscript%3E".replace("%2F", "+"))
    assert answer.status_code == 404
    assert "There is no runbook at <code>/runbooks/&lt;script&gt;alert(1)&lt;" in answer.text
    assert 'href="/runbooks"' in answer.text
    assert "<script" not in answer.text


def test_a_runbook_brings_no_html_and_no_script() -> None:
    html = Runbook(
        "X", "<script>a</script> <b>b</b> [c](javascript:d) [e](X.md) ![f](data:x)"
    ).html()
    assert html == (
        "<p>&lt;script&gt;a&lt;/script&gt; &lt;b&gt;b&lt;/b&gt; [c](javascript:d) "
        '<a href="/runbooks/X">e</a> ![f](data:x)</p>\n'
    )


def test_every_banner_of_the_status_page_leads_to_the_runbook_of_its_alert() -> None:
    seen = status(
        failing(),
        exporter=replace(EXPORTER, trouble="it hangs", load_error="polling: unknown key"),
        credentials=(replace(SILENT, is_key_shared=True),),
        budget=replace(
            BUDGET,
            pauses=(PAUSE, REFUSED),
            shortages=(Shortage(None, 5.0, 4.0),),
            stretch={"treasury": 1.25},
        ),
    )
    page = Pages("/metrics").status(seen, View())
    banners = page.partition('<div id="alerts">')[2].partition('<div class="panels">')[0]
    assert re.findall(r'href="/runbooks/KrakenCustody(\w+)"', banners) == [
        "PollsLate",
        "ReloadFailed",
        "NoAnswer",
        "KeyShared",
        "RateLimited",
        "CredentialRefused",
        "BudgetTooSmall",
    ]
    assert '<a href="/runbooks/KrakenCustodyTargetFailing"><code>http/502</code></a>' in page


def test_the_page_of_a_stale_target_leads_to_the_runbooks_of_its_error_and_of_its_age() -> None:
    seen = status(failing(is_stale=True))
    page = Pages("/metrics").target(seen, seen.targets[0])
    assert re.findall(r'href="/runbooks/KrakenCustody(\w+)"', page) == [
        "TargetFailing",
        "BalancesStale",
    ]
