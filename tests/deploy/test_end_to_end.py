"""From a falling balance to the message about it, through everything in deploy/.

A vault loses a good part of a balance and gets it back; then the API goes away; then the exporter dies.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

import httpx
import pytest

from exporter.config import Polling
from exporter.polling.plan import SHORTEST_STALE_AFTER_SECONDS
from exporter.simulator.holdings import HeldAmounts, Holding
from exporter.simulator.portfolio import Portfolio
from exporter.simulator.server import SimulatorThread
from tests.deploy.inbox import Inbox, inbox
from tests.deploy.rules import RUNBOOKS
from tests.deploy.servers import Alertmanager, alertmanager, prometheus
from tests.deploy.shortened import FACTOR
from tests.exporting import configuration, simulator, write
from tests.processes import running
from tests.prometheus import Prometheus
from tests.simulator.calling import NOON, PORTFOLIO
from tests.waiting import until

OUTFLOW: Final = "KrakenCustodyUnexpectedOutflow"
FAILING: Final = "KrakenCustodyTargetFailing"
STALE: Final = "KrakenCustodyBalancesStale"
SILENT: Final = "KrakenCustodyNoAnswer"
DOWN: Final = "KrakenCustodyExporterDown"

NORTHWIND, HELIX = PORTFOLIO.organizations
COLD, HOT, *_ = NORTHWIND.vaults
ARCHIVE: Final = HELIX.vaults[-1]
FULL: Final = COLD.holdings[0]
ROBBED: Final = replace(FULL, base=HeldAmounts(*(part * Decimal("0.6") for part in FULL.base)))
LOSS: Final = {
    "alertname": OUTFLOW,
    "severity": "critical",
    "job": "kraken-custody",
    "org": NORTHWIND.name,
    "vault": COLD.name,
    "vault_id": COLD.id,
    "asset": "BTC",
    "asset_class": "currency",
}
SUMMARY: Final = "Northwind Treasury / cold-reserve / BTC: balance fell by 40% within an hour"
FIRING: Final = f"[FIRING 1] critical: {SUMMARY}"
RESOLVED: Final = f"[RESOLVED] critical: {SUMMARY}"
# On an idle machine each wait ends within twenty seconds.
DEADLINE_SECONDS: Final = 240.0


def holding(bitcoin: Holding) -> Portfolio:
    """Return the story's portfolio, whose cold vault has this much bitcoin."""
    cold = replace(COLD, holdings=(bitcoin, *COLD.holdings[1:]))
    return Portfolio((replace(NORTHWIND, vaults=(cold, HOT)), replace(HELIX, vaults=(ARCHIVE,))))


# The default configuration, at the speed of the rules.
POLLING: Final[dict[str, Any]] = {
    "interval": f"{Polling().interval / FACTOR:g}s",
    "stale_after": f"{SHORTEST_STALE_AFTER_SECONDS / FACTOR:g}s",
}


@dataclass(frozen=True)
class Story:
    """The outcome.

    inbox: every message. told_before: the alerts sent before anything had happened. states_of_loss, states_of_outage:
    the states of an outflow in Prometheus until the API went away, and from then on. silenced_by_outage,
    silenced_by_death: the alerts that Alertmanager inhibited once the API was away, and once the exporter was dead.
    """

    inbox: Inbox
    told_before: set[str]
    states_of_loss: set[str]
    states_of_outage: set[str]
    silenced_by_outage: set[str]
    silenced_by_death: set[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    directory = tmp_path_factory.mktemp("story")
    simulated = simulator(portfolio=holding(FULL))
    with ExitStack() as stack, ExitStack() as api:
        post = stack.enter_context(inbox())
        base_url = api.enter_context(SimulatorThread(simulated.app))
        write(directory, configuration(base_url, portfolio=simulated.portfolio, **POLLING))
        exporter = stack.enter_context(running(directory=directory))
        metrics = httpx.URL(exporter.wait_for("started")["metrics"]).netloc.decode()
        manager = stack.enter_context(alertmanager(directory, webhook=post.webhook, smtp=post.smtp))
        server = stack.enter_context(
            prometheus(directory, exporter=metrics, alertmanager=manager.address)
        )
        began = time.time()
        # An outflow is detected by comparison with earlier balances.
        until(lambda: server.values("kraken_custody:vault_balance:max1h"), DEADLINE_SECONDS)
        told_before = told(post)

        simulated.portfolio = holding(ROBBED)
        until(lambda: FIRING in post.subjects(), DEADLINE_SECONDS)
        simulated.portfolio = holding(FULL)
        until(lambda: RESOLVED in post.subjects(), DEADLINE_SECONDS)

        over = time.time()
        api.close()
        until(lambda: suppressed(manager) >= {FAILING, STALE}, DEADLINE_SECONDS)
        silenced_by_outage = suppressed(manager)

        exporter.process.kill()
        # It soon ends, because no series shows it any more.
        until(lambda: SILENT in suppressed(manager), DEADLINE_SECONDS)
        silenced_by_death = suppressed(manager)
        until(lambda: post.notices("firing", alertname=DOWN), DEADLINE_SECONDS)
        yield Story(
            post,
            told_before,
            outflow_states(server, began, over),
            outflow_states(server, over, time.time()),
            silenced_by_outage,
            silenced_by_death,
        )


def told(inbox: Inbox) -> set[str]:
    """Return the names of the alerts that a message reports as firing."""
    return {notice.labels["alertname"] for notice in inbox.notices("firing")}


def suppressed(manager: Alertmanager) -> set[str]:
    """Return the names of the alerts that an Alertmanager suppresses."""
    return {
        alert["labels"]["alertname"]
        for alert in manager.alerts()
        if alert["status"]["state"] == "suppressed"
    }


def outflow_states(server: Prometheus, start: float, end: float) -> set[str]:
    """Return the states that an outflow was in at any time between two."""
    found = server.ask(
        "/api/v1/query_range",
        query=f'ALERTS{{alertname="{OUTFLOW}"}}',
        start=str(start),
        end=str(end),
        step="100ms",
    )
    return {series["metric"]["alertstate"] for series in found["result"]}


def test_no_message_is_sent_while_nothing_happens(story: Story) -> None:
    # If the machine is busy for two seconds, Prometheus cannot scrape for two minutes of the story.
    assert story.told_before <= {DOWN}


def test_a_loss_and_its_end_are_sent(story: Story) -> None:
    told = [
        (notice.receiver, notice.status)
        for post in story.inbox.posts
        for notice in post
        if notice.labels["alertname"] == OUTFLOW
    ]
    # For 15 minutes, other messages about the organization may list again what has ended.
    assert [one for one, _ in groupby(told)] == [("critical", "firing"), ("critical", "resolved")]


def test_the_message_of_a_loss_has_everything_a_person_needs(story: Story) -> None:
    (notice,) = story.inbox.notices("firing", alertname=OUTFLOW)
    had, has = (portfolio.amounts(NOON).balance for portfolio in (FULL, ROBBED))
    assert notice.labels == LOSS
    assert notice.annotations == {
        "summary": SUMMARY,
        "description": f"From {float(had):.10g} to {float(has):.10g} BTC, in units of the asset: no price is involved.",
        "runbook_url": f"{RUNBOOKS}{OUTFLOW}",
    }


def test_the_mail_says_the_same_in_words(story: Story) -> None:
    (notice,) = story.inbox.notices("firing", alertname=OUTFLOW)
    (mail,) = (mail for mail in story.inbox.mails if mail["subject"] == FIRING)
    (text,) = (part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart())
    assert isinstance(text, bytes)
    said, description, name, runbook = text.decode().strip().splitlines()
    assert said == f"FIRING   {SUMMARY}"
    assert description.strip() == notice.annotations["description"]
    assert name.strip().startswith(f"{OUTFLOW}, critical, since ")
    assert runbook.strip() == f"Runbook: {notice.annotations['runbook_url']}"


def test_an_outage_is_one_message_and_not_one_for_each_target(story: Story) -> None:
    # A later message about the exporter may list it again.
    notice, *again = story.inbox.notices("firing", alertname=SILENT)
    assert all(other.labels == notice.labels for other in again)
    assert notice.receiver == "critical"
    assert notice.labels["credential"] == "treasury"
    assert "now with transport/connect." in notice.annotations["description"]
    owners = ", ".join(sorted(owner.name for owner in (NORTHWIND, HELIX)))
    assert notice.annotations["description"].endswith(
        f"Nothing is read with this key. Affected: {owners}."
    )
    assert story.silenced_by_outage == {FAILING, STALE}


def test_an_outage_is_no_outflow(story: Story) -> None:
    assert "firing" in story.states_of_loss
    assert "firing" not in story.states_of_outage


def test_a_dead_exporter_is_sent_instead_of_its_targets(story: Story) -> None:
    assert story.silenced_by_death <= {FAILING, STALE, SILENT}
    assert {notice.receiver for notice in story.inbox.notices("firing", alertname=DOWN)} == {
        "critical"
    }


def test_no_other_message_is_sent(story: Story) -> None:
    assert told(story.inbox) == {OUTFLOW, SILENT, DOWN}
