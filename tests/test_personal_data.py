"""Personal data from the API is never shown: not in metrics, logs, pages, JSON or the shape of an answer."""

import json
from collections.abc import Mapping

import httpx
from structlog.testing import capture_logs

from exporter.assembly import Exporter
from exporter.simulator.approvals import ADDRESS_OF_INITIATOR, MARKER, tasks_of, whitelist_of
from exporter.simulator.moods import Mood, body
from exporter.simulator.portfolio import large_portfolio
from exporter.web.site import Site
from tests.polling.world import BEGINNING, run, stage

PORTFOLIO = large_portfolio(3, 2)
(BULK,) = PORTFOLIO.organizations
LOWER = MARKER.lower()
"""A key that looks like the API's own."""


async def everything_told(exporter: Exporter) -> str:
    site = Site(exporter, "/metrics").app()
    transport = httpx.ASGITransport(site)
    texts = []
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for route in site.routes:
            path: str = route.path  # type: ignore[attr-defined] # all of them have one
            for accept in ("text/html", "application/openmetrics-text", "text/csv"):
                asked = path.replace("/whitelists/{id:path}", f"/whitelists/{BULK.vaults[0].id}")
                asked = asked.replace("{id:path}", BULK.id.replace(" ", ""))
                answer = await client.get(asked, headers={"accept": accept})
                texts.append(f"{asked}\n{answer.text}")
    return "\n".join(texts)


async def told_and_logged(moods: Mapping[str, Mood]) -> tuple[str, str]:
    """Return what an exporter exposes and logs of an API that answers requests for some resources in these moods."""
    vaults = [{"name": f"v{number}", "id": it.id} for number, it in enumerate(BULK.vaults)]
    playing = stage(
        portfolio=PORTFOLIO,
        organizations=[{"name": "acme", "id": BULK.id, "vaults": vaults}],
        collect=("balances", "pending_tasks", "whitelist"),
    )
    playing.simulator.moods.update(moods)
    with capture_logs() as logs:
        await playing.play(130)
        told = await everything_told(playing.exporter)
        await playing.stop()
    return told, repr(logs)


def personal(told: str) -> list[str]:
    return [it for it in (MARKER, LOWER, ADDRESS_OF_INITIATOR) if it in told]


def test_nothing_personal_is_reported_of_tasks_and_whitelists() -> None:
    row = tasks_of(BULK, BEGINNING)[0].row(BEGINNING, rfc3339=False)
    assert personal(json.dumps(row)) == [MARKER, ADDRESS_OF_INITIATOR]
    assert personal(json.dumps(whitelist_of(BULK.vaults[0], BEGINNING))) == [MARKER]

    told, logs = run(told_and_logged({}))
    assert "kraken_custody_pending_tasks{" in told
    assert '<th scope="row">request_withdrawal</th>' in told
    assert '"taskType":"request_withdrawal"' in told
    assert "addresses added since the exporter started" in told
    assert "kraken_custody_vault_whitelisted_addresses{" in told
    assert 'kraken_custody_target_up{kind="pending_tasks",org="acme",vault=""} 1.0' in told
    assert personal(told + logs) == []


def test_nothing_personal_is_reported_of_an_answer_that_cannot_be_read() -> None:
    rows = [{MARKER: MARKER, LOWER: {f"{LOWER}_too": MARKER}, "state": MARKER, "initiator": LOWER}]
    unreadable = json.dumps({"result": rows, LOWER: ADDRESS_OF_INITIATOR}).encode()
    mood = body(unreadable, "application/json")
    moods = dict.fromkeys(("tasks", f"whitelist {BULK.vaults[0].id}"), mood)
    told, logs = run(told_and_logged(moods))
    assert "has no task that can be read: id is missing" in told
    assert "has no address that can be read: asset is missing" in told
    assert ".result[].initiator: other text" in told
    assert ".result[].initiator: other text" in logs
    assert personal(told + logs) == []
