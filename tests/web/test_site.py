"""The routes, requested as by a client, of an exporter whose API is the simulator."""

import asyncio
import gzip
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.routing import Route
from starlette.types import Message

from exporter.assembly import Exporter, World
from exporter.config import load, parse
from exporter.polling.poller import STUCK_AFTER_SECONDS
from exporter.simulator import moods
from exporter.web.address import RESERVED_FOLDERS, RESERVED_PATHS
from exporter.web.pages import Pages
from exporter.web.site import STATIC_FILES, Site
from tests.custody.asking import trust_nobody
from tests.exporting import ENVIRON, exporter_of, polled, reloaded, reloader_of, simulator
from tests.simulator.calling import ORGANIZATION, VAULT

Headers = Mapping[str, str] | list[tuple[bytes, bytes]]

VAULT_PAGE = f"/vaults/{VAULT.id}"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"


@dataclass
class Clock:
    """The event loop's clock, which can be advanced."""

    passed: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.passed


async def begun(clock: Clock) -> Exporter:
    """Return an exporter that has polled every target, and whose poller has stopped since."""
    transport = httpx.ASGITransport(simulator().app)
    around = World(monotonic=clock, boottime=clock, transport=transport, trust=trust_nobody)
    exporter = exporter_of("http://127.0.0.1:1", around)
    await exporter.poller.run_once(lambda _polled, _targets: None)
    return exporter


def site_of(exporter: Exporter, telemetry_path: str = "/metrics") -> Site:
    return Site(exporter, telemetry_path)


async def aask(
    site: Site,
    path: str,
    method: str = "GET",
    headers: Headers | None = None,
) -> httpx.Response:
    transport = httpx.ASGITransport(site.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
        return await client.request(method, path, headers=headers)


def ask(
    site: Site,
    path: str,
    method: str = "GET",
    headers: Headers | None = None,
) -> httpx.Response:
    return asyncio.run(aask(site, path, method, headers))


@pytest.fixture(scope="module")
def exporter() -> Exporter:
    """An exporter that has polled every target once; one vault was denied."""
    return polled(simulator(moods={VAULT.id: moods.problem(403, "PermissionDenied")}))


@pytest.fixture(scope="module")
def site(exporter: Exporter) -> Site:
    return site_of(exporter)


@pytest.mark.parametrize(
    ("accept", "content_type"), [("*/*", TEXT), ("application/openmetrics-text", OPENMETRICS)]
)
def test_metrics_come_in_the_format_that_is_requested(
    site: Site, accept: str, content_type: str
) -> None:
    answer = ask(site, "/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "accept, accept-encoding"
    assert answer.text.endswith("# EOF\n") == (content_type == OPENMETRICS)


def test_metrics_show_what_is_held_and_how_targets_and_the_exporter_are(site: Site) -> None:
    families = {family.name for family in read_text(ask(site, "/metrics").text)}
    assert families > {
        "kraken_custody_vault_balance",
        "kraken_custody_target_error",
        "kraken_custody_api_requests",
        "kraken_custody_exporter_build_info",
        "process_start_time_seconds",
    }


def test_balances_that_are_too_old_are_not_served_even_where_nothing_polls_any_more() -> None:
    async def visits() -> None:
        clock = Clock()
        exporter = await begun(clock)
        site = site_of(exporter)
        read_at = [state.read_at for state in exporter.store.states() if state.balances]
        clock.passed = min(read_at) + 299 - time.monotonic()
        assert "kraken_custody_vault_balance{" in (await aask(site, "/metrics")).text
        clock.passed = max(read_at) + 301 - time.monotonic()
        text = (await aask(site, "/metrics")).text
        assert "kraken_custody_vault_balance{" not in text
        assert "kraken_custody_organization_quote_balance{" not in text
        assert "kraken_custody_asset_info{" not in text
        assert len(re.findall(r"kraken_custody_target_stale{.*} 1.0", text)) == len(read_at)

    asyncio.run(visits())


@pytest.mark.parametrize("path", ["/metrics", "/"])
def test_an_answer_that_is_whole_has_no_task_that_waits_for_the_client_to_leave(
    site: Site, path: str
) -> None:
    """Starlette's own would load anyio's backend for it, at the first scrape."""

    async def receive() -> Message:
        pytest.fail("it waits for the client")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    asyncio.run(site.app()(scope, receive, send))
    assert sent[0]["status"] == 200
    assert [message["more_body"] for message in sent[1:]][-1] is False


def test_metrics_are_compressed_only_if_accepted(site: Site) -> None:
    plain = ask(site, "/metrics", headers={"accept-encoding": "identity"})
    compressed = ask(site, "/metrics", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.headers["vary"] == plain.headers["vary"]
    assert int(compressed.headers["content-length"]) < len(plain.content) / 5
    balances = [line for line in plain.text.split("\n") if "_vault_" in line]
    assert balances == [line for line in compressed.text.split("\n") if "_vault_" in line]


def test_a_header_on_several_lines_counts_as_one(site: Site) -> None:
    lines = [
        (b"accept", b"application/json"),
        (b"accept", b"application/openmetrics-text"),
        (b"accept-encoding", b"br"),
        (b"accept-encoding", b"gzip"),
    ]
    answer = ask(site, "/metrics", headers=lines)
    assert answer.headers["content-type"] == OPENMETRICS
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("accept", [b"text/plain;version=2.<b>evil", b"\xc3\xa9", b";q=", b"\x7f"])
def test_no_header_makes_a_scrape_fail(site: Site, accept: bytes) -> None:
    answer = ask(site, "/metrics", headers=[(b"accept", accept), (b"accept-encoding", accept)])
    assert (answer.status_code, answer.headers["content-type"]) == (200, TEXT)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        VAULT_PAGE,
        "/help",
        "/runbooks",
        "/runbooks/KrakenCustodyDefect",
        "/api/v1/targets",
        "/api/v1/balances",
        "/events",
        "/api/v1/events",
        "/api/v1/balances?format=csv",
        *STATIC_FILES,
        "/metrics",
        "/-/healthy",
        "/-/ready",
    ],
)
def test_each_path_answers_get_and_head_and_nothing_else(site: Site, path: str) -> None:
    got, head = ask(site, path), ask(site, path, "HEAD")
    assert head.status_code == got.status_code
    assert head.headers.keys() == got.headers.keys()
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(site, path, method).status_code == 405


@pytest.mark.parametrize("host", ["[]", "[x", "%", "a:b:c", "\\", ""])
def test_no_answer_depends_on_the_host_header(site: Site, host: str) -> None:
    """Not all of these give a valid URL; they are refused earlier, but the site itself must not need that."""
    for path in ["/", VAULT_PAGE, "/none", *STATIC_FILES, "/metrics"]:
        assert ask(site, path, headers={"host": host}).status_code == ask(site, path).status_code


@pytest.mark.parametrize(
    "path",
    [
        *("/metric", "/metrics/", "/metrics/x", "/-/healthy/", "/-/", "/favicon.ico", "/%2e%2e"),
        *("/static/", "/static/pages.html", "/static/../site.py", "/static/%2e%2e/site.py"),
        *("/vaults/", "/vaults/VAAAAAAAAAAAAA", f"/organizations/{VAULT.id}", f"{VAULT_PAGE}/x"),
    ],
)
def test_any_other_path_is_not_found(site: Site, path: str) -> None:
    assert ask(site, path).status_code == 404


def test_metrics_are_only_at_the_configured_path(exporter: Exporter) -> None:
    moved = Site(exporter, "/custody/metrics")
    assert ask(moved, "/custody/metrics").headers["content-type"] == TEXT
    assert ask(moved, "/metrics").status_code == 404
    assert '<a href="/custody/metrics">' in ask(moved, "/").text


@pytest.mark.parametrize(
    "path",
    ["/", VAULT_PAGE, "/help", "/runbooks", "/events", "/api/v1/targets", *STATIC_FILES],
)
def test_pages_are_compressed_only_if_accepted(site: Site, path: str) -> None:
    plain = ask(site, path, headers={"accept-encoding": "identity"})
    compressed = ask(site, path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    assert int(compressed.headers["content-length"]) < len(plain.content)


def test_balances_are_served_as_json_or_csv(site: Site) -> None:
    path = "/api/v1/balances"
    everything = ask(site, path).json()["data"]
    # One vault is denied.
    assert not everything["complete"]
    kinds = [target["kind"] for target in everything["targets"]]
    assert kinds.count("vault") > kinds.count("organization") > 0
    csv = ask(site, path, headers={"accept": "text/csv"})
    assert re.fullmatch(
        r'attachment; filename="balances-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{6}Z.csv"',
        csv.headers["content-disposition"],
    )
    assert len({line.split(b",")[2] for line in csv.content.splitlines()[1:]}) == kinds.count(
        "vault"
    )
    (one,) = ask(site, f"{path}?vault={VAULT.id}").json()["data"]["targets"]
    assert (one["id"], one["state"], one["balances"]) == (VAULT.id, "failing", None)


@pytest.mark.parametrize("path", ["/api/v1/balances", "/api/v1/balances?format=csv"])
def test_balances_are_compressed_only_if_accepted(site: Site, path: str) -> None:
    plain = ask(site, path, headers={"accept-encoding": "identity"})
    compressed = ask(site, path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.headers["vary"] == plain.headers["vary"] == "accept, accept-encoding"
    assert len(compressed.content) == len(plain.content)
    assert compressed.num_bytes_downloaded < plain.num_bytes_downloaded / 2


def test_a_mistake_in_a_query_is_reported(site: Site) -> None:
    answer = ask(site, "/api/v1/balances?orgs=acme")
    assert answer.status_code == 400
    assert answer.json() == {
        "status": "error",
        "errorType": "bad_data",
        "error": "unknown parameter 'orgs': use org, vault, asset or format",
    }


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        (VAULT_PAGE, "text/html; charset=utf-8"),
        ("/vaults/unknown", "text/html; charset=utf-8"),
        ("/help", "text/html; charset=utf-8"),
        ("/events?subject=polling", "text/html; charset=utf-8"),
        ("/api/v1/events", "application/json"),
        ("/api/v1/targets", "application/json"),
        ("/api/v1/balances", "application/json"),
        ("/api/v1/balances?format=csv", "text/csv; charset=utf-8; header=present"),
        *STATIC_FILES.items(),
    ],
)
def test_each_answer_says_what_it_is(site: Site, path: str, content_type: str) -> None:
    assert ask(site, path).headers["content-type"] == content_type


def test_every_file_that_a_page_wants_is_there(site: Site) -> None:
    for page in ("/", VAULT_PAGE, "/help"):
        wanted = re.findall(r' (?:src|href)="(/static/[^"]*)"', ask(site, page).text)
        assert set(wanted) <= STATIC_FILES.keys()
        assert "/static/pages.css" in wanted


def test_no_page_has_what_the_content_security_policy_forbids(site: Site) -> None:
    for page in ("/", "/?q=x&state=up", VAULT_PAGE, "/events", "/help", "/vaults/unknown"):
        text = ask(site, page).text
        assert not re.search(r"<style|<[^>]* style=|<[^>]* on[a-z]+=|javascript:", text)
        assert re.findall(r"<script.*?</script>", text) in (
            [],
            ['<script src="/static/refresh.js" defer></script>'],
            ['<script src="/static/target.js" defer></script>'],
        )
        assert not re.search(r'(?:src|href|action)="(?!/)', text.replace('href="#main"', ""))


LISTS = """\
credentials:
  ops / one: {api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET}
discovery: {}
organizations: [{id: ABCD EFGH IJKL MNOP, name: acme}]
"""


def test_a_list_has_a_page_whatever_its_credential_is_called() -> None:
    settings = parse(LISTS, directory=Path(), environ=ENVIRON)
    site = site_of(Exporter(settings, World(trust=trust_nobody)))
    paths = [target["page"] for target in ask(site, "/api/v1/targets").json()["data"]["targets"]]
    assert paths == [
        "/organization-lists/ops%2Fone",
        "/organizations/ABCDEFGHIJKLMNOP",
        "/vault-lists/ABCDEFGHIJKLMNOP",
    ]
    answers = [ask(site, path) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "ops / one / (organizations)" in answers[0].text
    assert paths[0] in ask(site, "/").text
    for path in ("/organization-lists/ops", "/vault-lists/x/y"):
        assert ask(site, path).status_code == 404


def test_an_organization_has_a_page_under_its_id_without_spaces(site: Site) -> None:
    answer = ask(site, f"/organizations/{ORGANIZATION.id.replace(' ', '')}")
    assert answer.status_code == 200
    assert f"<code>{ORGANIZATION.id}</code>" in answer.text


def test_no_path_of_the_site_can_be_taken_by_the_metrics(site: Site) -> None:
    paths = {route.path for route in site.app().routes if isinstance(route, Route)}
    for path in paths - {"/metrics"}:
        assert path in RESERVED_PATHS or path.startswith(RESERVED_FOLDERS)


def test_mistakes_of_a_file_are_shown_even_if_its_name_is_not_valid_text(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.yaml")
    file.write_text("{}")
    exporter = exporter_of("http://127.0.0.1:1")
    reloader = reloader_of(exporter, lambda: load(file, {}))
    site = Site(exporter, "/metrics", reload=lambda: reloaded(reloader))
    for path, method in (("/-/reload", "POST"), ("/", "GET"), ("/api/v1/targets", "GET")):
        assert (
            f"{tmp_path}/?.yaml: credentials (line 1, column 1): is required"
            in ask(site, path, method).text
        )


async def reload_nothing() -> None:
    """Stands for a reload that the flag allows."""


def test_posting_the_id_of_a_target_polls_it() -> None:
    async def visits() -> None:
        exporter = await begun(Clock())
        site = Site(exporter, "/metrics", reload=reload_nothing)
        path = f"/-/poll?target={VAULT.id}"
        first, second = await aask(site, path, "POST"), await aask(site, path, "POST")
        assert first.status_code == 200
        assert first.text.startswith("Will be polled as soon as the budget allows: vault ")
        assert second.status_code == 429
        assert second.text.startswith("Not polled, requested less than a minute ago: vault ")

    asyncio.run(visits())


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 200, "Nothing is failing or paused.\n"),
        ("?target=nonsense", 404, "No target has this id; /api/v1/targets lists all.\n"),
        ("?target=", 404, "No target has this id; /api/v1/targets lists all.\n"),
    ],
)
def test_what_is_polled_on_demand_is_said(query: str, status: int, text: str) -> None:
    async def visit() -> None:
        site = Site(await begun(Clock()), "/metrics", reload=reload_nothing)
        answer = await aask(site, f"/-/poll{query}", "POST")
        assert (answer.status_code, answer.text) == (status, text)

    asyncio.run(visit())


def test_polling_on_demand_needs_the_flag_and_post(exporter: Exporter) -> None:
    refused = ask(site_of(exporter), f"/-/poll?target={VAULT.id}", "POST")
    assert refused.status_code == 403
    assert "--web.enable-lifecycle" in refused.text
    allowed = Site(exporter, "/metrics", reload=reload_nothing)
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert ask(allowed, "/-/poll", method).status_code == 405


def test_pages_are_made_beside_the_event_loop(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_in = []

    def made(*_: object) -> str:
        made_in.append(threading.current_thread())
        return ""

    pages = {
        "status": "/",
        "target": VAULT_PAGE,
        "help": "/help",
        "runbooks": "/runbooks",
        "runbook": "/runbooks/KrakenCustodyDefect",
        "not_found": "/vaults/unknown",
        "no_runbook": "/runbooks/unknown",
    }
    for name, path in pages.items():
        monkeypatch.setattr(Pages, name, made)
        ask(site_of(exporter), path)
    assert len(made_in) == len(pages)
    assert threading.current_thread() not in made_in


def test_before_polling_has_begun_the_exporter_is_neither_ready_nor_healthy() -> None:
    site = site_of(exporter_of("http://127.0.0.1:1"))
    ready, healthy = ask(site, "/-/ready"), ask(site, "/-/healthy")
    assert (ready.status_code, ready.text) == (503, "Not ready: polling has not begun.\n")
    assert (healthy.status_code, healthy.text) == (503, "Unhealthy: polling has not begun.\n")
    assert ask(site, "/metrics").status_code == 200


def test_while_the_poller_makes_progress_the_exporter_is_ready_and_healthy() -> None:
    async def check() -> None:
        site = site_of(await begun(Clock()))
        ready, healthy = await aask(site, "/-/ready"), await aask(site, "/-/healthy")
        assert (ready.status_code, ready.text) == (200, "Ready: polling has begun.\n")
        assert (healthy.status_code, healthy.text) == (200, "Healthy: polling is in progress.\n")

    asyncio.run(check())


def test_a_stuck_poller_is_unhealthy() -> None:
    async def check() -> None:
        clock = Clock()
        site = site_of(await begun(clock))
        clock.passed = STUCK_AFTER_SECONDS + 10
        healthy = await aask(site, "/-/healthy")
        reason = "the polling loop has been stuck for 40 s"
        assert (healthy.status_code, healthy.text) == (503, f"Unhealthy: {reason}.\n")
        assert (await aask(site, "/-/ready")).status_code == 200

    asyncio.run(check())


def test_an_api_that_refuses_everything_leaves_the_exporter_healthy() -> None:
    denied = polled(simulator(default_mood=moods.problem(403, "PermissionDenied")))
    site = site_of(denied)
    assert ask(site, "/-/healthy").status_code == 200
    assert ask(site, "/-/ready").status_code == 200


def test_a_compressed_page_is_whole_gzip_for_any_client(site: Site) -> None:
    async def raw() -> bytes:
        transport = httpx.ASGITransport(site.app())
        headers = {"accept-encoding": "gzip"}
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://exporter") as client,
            client.stream("GET", "/metrics", headers=headers) as answer,
        ):
            return b"".join([part async for part in answer.aiter_raw()])

    assert gzip.decompress(asyncio.run(raw())).startswith(b"# HELP kraken_custody_")
