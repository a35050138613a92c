"""The results of every fault between the exporter and the API, seen from outside.

All scenes are played at once when the first test asks for one; each test then looks at the record.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.requests import Request
from starlette.responses import Response

from exporter.simulator import answers, moods
from exporter.simulator.moods import Mood
from tests.exporting import configuration, write
from tests.integration.faults import BROKEN, FAILURES, ODDITIES, SLOW, Fault, Oddity
from tests.integration.gateway import Certificate, Gateway, listening, never_accepting
from tests.integration.scenes import (
    CALM,
    Record,
    Scrape,
    play_certificate,
    play_outage,
    play_pause,
    play_stale,
    play_vaults,
)
from tests.processes import running

BALANCE = "kraken_custody_vault_balance"
TARGET = "kraken_custody_target"
REQUESTS = "kraken_custody_api_requests_total"
ERRORS = "kraken_custody_api_errors_total"
CORE_ERRORS = "kraken_custody_api_core_errors_total"


class Pause(NamedTuple):
    """An answer that asks for a pause. shortest: seconds that pass before the next request. seconds: as logged."""

    situation: str
    by: Mood
    type: str
    shortest: float
    seconds: tuple[tuple[float, float], tuple[float, float]]


def in_seconds(count: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (count, count), (count, count)


async def until_a_date(_request: Request) -> Response:
    answer = answers.rate_limited(None)
    answer.headers["retry-after"] = formatdate(time.time() + 3, usegmt=True)
    return answer


async def throttled(_request: Request) -> Response:
    return answers.legacy(f"EService: Throttled: {int(time.time() + 3)}")


ONE_WINDOW = ((1.0, 1.0), (2.0, 2.0))
# A busy server's Date is seconds old.
BY_THE_SERVERS_CLOCK = ((1.0, 10.0), (1.0, 10.0))
LIMIT = "EAPI:Rate limit exceeded"
PAUSES = (
    Pause("429 with Retry-After in seconds", moods.rate_limited(2), LIMIT, 2.0, in_seconds(2.0)),
    Pause("429 with Retry-After as a date", until_a_date, LIMIT, 0.9, BY_THE_SERVERS_CLOCK),
    Pause("429 without Retry-After", moods.rate_limited(None), LIMIT, 1.0, ONE_WINDOW),
    Pause("429 with a page of a proxy", moods.html(429), "http/429", 1.0, ONE_WINDOW),
    Pause("200 EAPI:Rate limit exceeded", moods.legacy(LIMIT), LIMIT, 1.0, ONE_WINDOW),
    Pause("200 EService: Throttled", throttled, "EService: Throttled", 0.9, BY_THE_SERVERS_CLOCK),
)


class Outage(NamedTuple):
    """A network outage: what happens on the API's port."""

    situation: str
    instead: Callable[[int], contextlib.AbstractContextManager[None]]
    type: str
    says: str


@contextmanager
def nobody(_port: int) -> Iterator[None]:
    yield


OUTAGES = (
    Outage("a refused connection", nobody, "transport/connect", "Connection refused"),
    Outage("a connection that never completes", never_accepting, "transport/timeout", ""),
)
CERTIFICATES = {
    "for another name": "IP address mismatch",
    "expired": "certificate has expired",
    "of nobody known": "self-signed certificate",
}
STALE = tuple(
    fault
    for fault in FAILURES
    if fault.situation
    in {
        "403 PermissionDenied",
        "503 gateway/Connect",
        "200 with a page of a proxy",
        "401 InvalidKey",
    }
)
assert len(STALE) == 4
ANSWERS = tuple(fault for fault in FAILURES if not fault.pauses)
# Separately, because a pause of a minute must not end before slower failures have shown.
REFUSED = tuple(fault for fault in FAILURES if fault.pauses)

Scenes = dict[str, Future[Any]]


@contextmanager
def gateway_to(base_url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    gateway = Gateway(base_url)
    with listening(gateway) as address:
        yield address, gateway.scripts


def play_bad_certificate(directory: Path, which: str) -> Record:
    name = "DNS:elsewhere.test" if which == "for another name" else "IP:127.0.0.1"
    good = Certificate(directory / "good")
    bad = Certificate(directory / "bad", name, expired=which == "expired")
    known = (good, *(() if which == "of nobody known" else (bad,)))
    ca_file = directory / "ca.pem"
    ca_file.write_text("".join(certificate.file.read_text() for certificate in known))
    return play_certificate(directory, good, bad, ca_file)


def play_unknown_name(directory: Path) -> tuple[dict[str, Any], Scrape]:
    """Return the first failure of an exporter whose API has no address, and a scrape after it."""
    # Too long for the resolver to ask a name server.
    host = ".".join(["not-found"] * 30)
    write(directory, configuration(f"https://{host}"))
    with running(directory=directory) as exporter:
        return exporter.wait_for("target_failing"), Scrape(exporter.get("/metrics").text)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """All scenes, started, the longest first."""
    plays: dict[str, Callable[[Path], Any]] = {
        "answers": partial(play_vaults, faults=(*ANSWERS, *ODDITIES)),
        "refused": partial(play_vaults, faults=REFUSED),
        "slow": partial(play_vaults, faults=SLOW, gateway=gateway_to, timeout="2s"),
        "broken": partial(play_vaults, faults=BROKEN, gateway=gateway_to),
        "stale": partial(play_stale, faults=STALE),
        "paused for long": partial(play_stale, faults=(), default=moods.rate_limited(3600)),
        "a name that is not found": play_unknown_name,
    }
    for outage in OUTAGES:
        plays[outage.situation] = partial(play_outage, instead=outage.instead, tries=3)
    for which in CERTIFICATES:
        plays[which] = partial(play_bad_certificate, which=which)
    for pause in PAUSES:
        plays[pause.situation] = partial(play_pause, answer=pause.by)
    with ThreadPoolExecutor(len(plays)) as together:
        yield {
            name: together.submit(play, tmp_path_factory.mktemp("scene"))
            for name, play in plays.items()
        }


def told(target: Scrape) -> dict[str, Any]:
    """Return the target metrics of a vault."""
    errors = target.samples(f"{TARGET}_error", kind="vault")
    return {
        "up": target.value(f"{TARGET}_up", kind="vault"),
        "stale": target.value(f"{TARGET}_stale", kind="vault"),
        "errors": [labels["type"] for labels, _ in errors],
    }


def expect_failure(seen: Record, vault: str, fault: Fault) -> None:
    """Assert what all failures have in common: at the first poll, during the fault and, without a pause, afterwards."""
    requests = seen.named("request_failed", vault=vault)
    failing = seen.named("target_failing", vault=vault)
    until_failing = seen.events[: seen.events.index(failing[0])] if failing else []
    during = seen.during[vault]
    labels = {"endpoint": "vault_asset_balances", "status": fault.status}
    assert {(event["type"], str(event.get("status", ""))) for event in requests} == {
        (fault.type, fault.status)
    }
    assert told(during.of(vault)) == {"up": 0.0, "stale": 0.0, "errors": [fault.type]}
    assert during.of(vault).balances() == seen.before.of(vault).balances() != frozenset()
    tries = sum(event in until_failing for event in requests)
    # While several requests in a row have no answer, each poll has one try.
    assert tries == fault.tries or (not fault.status and 1 <= tries < fault.tries)
    assert [event["type"] for event in failing] == [fault.type], "one event, not one for each poll"
    assert fault.says in failing[0].get("message", "")
    assert (seen.after.value(ERRORS, **labels, type=fault.type) or 0) >= fault.tries
    assert (seen.after.value(REQUESTS, **labels) or 0) >= fault.tries
    if fault.core_error:
        assert seen.after.value(
            CORE_ERRORS, core_error=fault.core_error, endpoint=labels["endpoint"]
        )


def expect_recovery(seen: Record, vault: str) -> None:
    (recovered,) = seen.named("target_recovered", vault=vault)
    assert recovered["failed_polls"] >= 2
    assert told(seen.after.of(vault)) == {"up": 1.0, "stale": 0.0, "errors": []}
    assert seen.after.of(vault).balances() != seen.before.of(vault).balances()


def named(row: Any) -> str:
    return str(row.situation)


@pytest.mark.parametrize("fault", ANSWERS, ids=named)
def test_a_failed_poll_changes_no_balance_and_says_why(fault: Fault, scenes: Scenes) -> None:
    seen: Record = scenes["answers"].result()
    expect_failure(seen, fault.situation, fault)
    expect_recovery(seen, fault.situation)


@pytest.mark.parametrize("fault", REFUSED, ids=named)
def test_a_refused_key_pauses_its_credential_alone(fault: Fault, scenes: Scenes) -> None:
    seen: Record = scenes["refused"].result()
    expect_failure(seen, fault.situation, fault)
    (paused,) = seen.named("polling_paused", credential=fault.situation)
    seconds = 900.0 if "lockout" in fault.type else 60.0
    assert (paused["type"], paused["seconds"]) == (fault.type, seconds)
    assert seen.asked[fault.situation] == 1
    assert seen.named("polling_resumed") == []
    # The organization of the same key is due and cannot be polled: it fails with that, without a try.
    labels = {"kind": "organization", "org": fault.situation}
    assert seen.after.value(f"{TARGET}_up", **labels) == 0.0
    assert seen.after.value(f"{TARGET}_error", **labels, type=fault.type) == 1.0
    assert len(seen.named("target_failing", **labels)) == 1


@pytest.mark.parametrize("fault", BROKEN, ids=named)
def test_a_broken_connection_changes_no_balance_and_says_so(fault: Fault, scenes: Scenes) -> None:
    seen: Record = scenes["broken"].result()
    expect_failure(seen, fault.situation, fault)
    expect_recovery(seen, fault.situation)


@pytest.mark.parametrize("fault", SLOW, ids=named)
def test_an_answer_that_takes_too_long_is_a_timeout(fault: Fault, scenes: Scenes) -> None:
    seen: Record = scenes["slow"].result()
    expect_failure(seen, fault.situation, fault)
    expect_recovery(seen, fault.situation)


@pytest.mark.parametrize("oddity", ODDITIES, ids=named)
def test_an_odd_answer_counts_as_far_as_it_can(oddity: Oddity, scenes: Scenes) -> None:
    seen: Record = scenes["answers"].result()
    vault = oddity.situation
    during = seen.during[vault]
    assert told(during) == {"up": 1.0, "stale": 0.0, "errors": []}
    if oddity.balances is not None:
        assert {labels["asset"]: value for labels, value in during.samples(BALANCE)} == (
            oddity.balances
        )
        rows = len(oddity.balances) + len(oddity.rejected)
        assert during.value(f"{TARGET}_rows") == rows
        assert during.value(f"{TARGET}_invalid_rows") == len(oddity.rejected)
        assert during.value(f"{TARGET}_invalid_fields") == len(oddity.unread)
    else:
        before = {labels["asset"] for labels, _ in seen.before.of(vault).samples(BALANCE)}
        assert {labels["asset"] for labels, _ in during.samples(BALANCE)} == before
    rejected = seen.named("row_rejected", vault=vault)
    assert [(event["row"], event["field"]) for event in rejected] == list(oddity.rejected)
    unread = [event["field"] for event in seen.named("field_rejected", vault=vault)]
    assert sorted(unread) == sorted(oddity.unread)
    failed = seen.named("request_failed", vault=vault)
    assert {event["type"] for event in failed} == oddity.errors
    assert seen.named("target_failing", vault=vault) == []


@pytest.mark.parametrize("scene", ["answers", "refused", "broken", "slow", "stale"])
def test_nothing_that_is_wrong_with_some_vaults_concerns_the_others(
    scene: str, scenes: Scenes
) -> None:
    seen: Record = scenes[scene].result()
    well = [seen.named(name, vault=CALM) for name in ("target_failing", "target_stale")]
    assert well == [[], []]
    assert seen.named("target_failing", kind="organization", org=CALM) == []
    assert told(seen.after.of(CALM)) == {"up": 1.0, "stale": 0.0, "errors": []}
    read = f"{TARGET}_last_success_timestamp_seconds"
    for labels in ({"kind": "vault", "vault": CALM}, {"kind": "organization", "org": CALM}):
        before, after = seen.before.value(read, **labels), seen.after.value(read, **labels)
        assert before
        assert after
        assert after > before


@pytest.mark.parametrize("scene", ["answers", "refused", "broken", "slow"])
def test_every_failed_request_is_counted_under_its_type(scene: str, scenes: Scenes) -> None:
    seen: Record = scenes[scene].result()
    logged = Counter(
        (event["kind"], str(event.get("status", "")), event["type"])
        for event in seen.named("request_failed")
    )
    kinds = {"vault_asset_balances": "vault", "organization_balances": "organization"}
    counted = {
        (kinds[labels["endpoint"]], labels["status"], labels["type"]): value
        for labels, value in seen.after.samples(ERRORS)
        if value
    }
    assert counted == logged


@pytest.mark.parametrize("fault", STALE, ids=named)
def test_balances_that_are_too_old_are_withdrawn_and_their_age_stays(
    fault: Fault, scenes: Scenes
) -> None:
    seen: Record = scenes["stale"].result()
    vault = seen.after.of(fault.situation)
    assert told(vault) == {"up": 0.0, "stale": 1.0, "errors": [fault.type]}
    assert vault.balances() == frozenset()
    assert vault.value(f"{TARGET}_last_success_timestamp_seconds", kind="vault")
    assert len(seen.named("target_stale", vault=fault.situation)) == 1


def test_balances_become_too_old_while_nothing_is_polled(scenes: Scenes) -> None:
    seen: Record = scenes["paused for long"].result()
    assert seen.before.balances() != frozenset() == seen.after.balances()
    assert [value for _, value in seen.after.samples(f"{TARGET}_stale")] == [1.0, 1.0]
    # One of them was refused; the other one is due and cannot be polled.
    assert [value for _, value in seen.after.samples(f"{TARGET}_up")] == [0.0, 0.0]
    (paused,) = seen.named("polling_paused")
    assert (paused["credential"], paused["seconds"]) == ("all", 3600.0)


@pytest.mark.parametrize("pause", PAUSES, ids=named)
def test_everything_pauses_if_the_api_says_so(pause: Pause, scenes: Scenes) -> None:
    seen, times = scenes[pause.situation].result()
    paused = seen.named("polling_paused", credential="all")
    assert {event["type"] for event in paused} == {pause.type}
    # On a slow machine there may be a third.
    for event, (shortest, longest) in zip(paused[:2], pause.seconds, strict=True):
        assert shortest <= event["seconds"] <= longest
    first, second = times
    assert second - first >= pause.shortest
    during = seen.during[CALM]
    assert during.balances() == seen.before.balances() != frozenset()
    failing = seen.named("target_failing")
    assert {event["type"] for event in failing} == {pause.type}
    assert {labels["type"] for labels, _ in during.samples(f"{TARGET}_error")} == {pause.type}
    assert len(seen.named("target_recovered")) == len(failing)
    assert len(seen.named("polling_resumed", credential="all")) == 1
    assert {value for _, value in seen.after.samples(f"{TARGET}_up")} == {1.0}


@pytest.mark.parametrize("outage", OUTAGES, ids=named)
def test_a_network_that_leads_nowhere_changes_no_balance(outage: Outage, scenes: Scenes) -> None:
    seen: Record = scenes[outage.situation].result()
    during = seen.during[CALM]
    assert told(during.of(CALM)) == {"up": 0.0, "stale": 0.0, "errors": [outage.type]}
    assert during.balances() == seen.before.balances() != frozenset()
    failing = seen.named("target_failing", vault=CALM)
    assert [event["type"] for event in failing] == [outage.type]
    assert outage.says in failing[0]["message"]
    assert during.value(ERRORS, endpoint="vault_asset_balances", status="", type=outage.type)
    expect_recovery(seen, CALM)


@pytest.mark.parametrize("which", CERTIFICATES)
def test_a_certificate_that_does_not_fit_is_refused_and_said_so(which: str, scenes: Scenes) -> None:
    seen: Record = scenes[which].result()
    fault = Fault(
        situation=which,
        by=moods.calm,
        type="transport/tls",
        status="",
        says=CERTIFICATES[which],
    )
    expect_failure(seen, CALM, fault)
    expect_recovery(seen, CALM)


def test_a_name_that_is_not_found_is_an_outage(scenes: Scenes) -> None:
    failing, seen = scenes["a name that is not found"].result()
    assert failing["type"] == "transport/connect"
    assert "Name or service not known" in failing["message"]
    assert seen.balances() == frozenset()
    target = {name: failing.get(name, "") for name in ("kind", "org", "vault")}
    assert seen.value(f"{TARGET}_up", **target) == 0.0
    assert seen.value(f"{TARGET}_error", **target, type="transport/connect") == 1.0
