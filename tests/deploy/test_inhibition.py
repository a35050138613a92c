"""What a real Alertmanager inhibits by the rules of deploy/ because something else explains it, and what it sends."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import product
from typing import Final

import httpx
import pytest

from tests.deploy.rules import alerts
from tests.deploy.servers import alertmanager, free_address
from tests.deploy.test_alertmanager import alertnames, configuration
from tests.waiting import until

EXPORTER: Final = {"instance": "exporter:10063"}
ACME: Final = {**EXPORTER, "org": "acme"}
KEY: Final = {**EXPORTER, "credential": "treasury"}
HOT: Final = {**ACME, **KEY, "kind": "vault", "vault": "hot"}
COLD: Final = {**HOT, "vault": "cold"}
TOTAL: Final = {**ACME, **KEY, "kind": "organization"}
ANOTHERS: Final = {**HOT, "org": "another"}
OTHER_KEYS: Final = {**HOT, "credential": "another"}
LIST: Final = {**ACME, "kind": "vaults"}
LISTS_ELSEWHERE: Final = {**LIST, "instance": "another:10063"}
NO_KEYS: Final = {**ACME, "kind": "vault", "vault": "hot"}
ELSEWHERE: Final = {**HOT, "instance": "another:10063"}
# Alerts on balances have no exporter.
HOT_BITCOIN: Final = {"org": "acme", "vault": "hot", "asset": "BTC"}
COLD_BITCOIN: Final = {**HOT_BITCOIN, "vault": "cold"}
TASKS: Final = {**ACME, **KEY, "kind": "pending_tasks"}
HOT_TASKS: Final = {"org": "acme", "vault": "hot", "task_type": "request_withdrawal"}
OTHER_TASKS: Final = {**HOT_TASKS, "task_type": "invite_user"}
# Alerts on a ledger have no job either, which separates the other cases here.
BOOKED: Final = {"org": "booked", "vault": "hot", "asset": "BTC"}
BOOKED_TOO: Final = {"org": "booked too", "vault": "cold", "asset": "BTC"}
ACME_WORTH: Final = {"org": "acme", "quote_asset": "USD"}

Case = tuple[str, Mapping[str, str], str, Mapping[str, str]]
"""A cause and another alert that fires with it, each with its labels; names lack the KrakenCustody before them."""
States = Mapping[tuple[str, str], str]
"""The state of each alert in Alertmanager, active or suppressed, by job and name."""

SILENCED: Final[tuple[Case, ...]] = (
    ("ExporterDown", EXPORTER, "TargetFailing", HOT),
    ("ExporterDown", EXPORTER, "ListFailing", LIST),
    ("ExporterDown", EXPORTER, "BalancesStale", HOT),
    ("ExporterDown", EXPORTER, "PollsLate", HOT),
    ("ExporterDown", EXPORTER, "TooManySeries", EXPORTER),
    ("ExporterDown", EXPORTER, "PermissionDenied", HOT),
    ("ExporterDown", EXPORTER, "InvalidRows", HOT),
    ("ExporterDown", EXPORTER, "CredentialRefused", KEY),
    ("ExporterDown", EXPORTER, "NoAnswer", KEY),
    ("ExporterDown", EXPORTER, "EverythingPaused", EXPORTER),
    ("ExporterDown", EXPORTER, "Blocked", EXPORTER),
    ("ExporterDown", EXPORTER, "KeyShared", KEY),
    ("ExporterDown", EXPORTER, "NonceTrouble", EXPORTER),
    ("ExporterDown", EXPORTER, "RateLimited", EXPORTER),
    ("ExporterDown", EXPORTER, "BudgetTooSmall", EXPORTER),
    ("ExporterDown", EXPORTER, "ClockSkew", EXPORTER),
    ("ExporterDown", EXPORTER, "ReloadFailed", EXPORTER),
    ("CredentialRefused", KEY, "TargetFailing", HOT),
    ("CredentialRefused", KEY, "BalancesStale", HOT),
    ("CredentialRefused", KEY, "BalancesStale", ANOTHERS),
    ("CredentialRefused", KEY, "PollsLate", HOT),
    ("CredentialRefused", KEY, "ListFailing", LIST),
    ("NoAnswer", KEY, "TargetFailing", HOT),
    ("NoAnswer", KEY, "BalancesStale", HOT),
    ("NoAnswer", KEY, "BalancesStale", ANOTHERS),
    ("NoAnswer", KEY, "PollsLate", HOT),
    ("NoAnswer", KEY, "ListFailing", LIST),
    ("NoAnswer", KEY, "EverythingPaused", EXPORTER),
    ("EverythingPaused", EXPORTER, "TargetFailing", HOT),
    ("EverythingPaused", EXPORTER, "BalancesStale", OTHER_KEYS),
    ("EverythingPaused", EXPORTER, "PollsLate", HOT),
    ("EverythingPaused", EXPORTER, "ListFailing", LIST),
    ("PermissionDenied", HOT, "TargetFailing", HOT),
    ("RateLimited", EXPORTER, "TargetFailing", HOT),
    ("RateLimited", EXPORTER, "PollsLate", HOT),
    ("RateLimited", EXPORTER, "ListFailing", LIST),
    ("NonceTrouble", EXPORTER, "TargetFailing", HOT),
    ("NonceTrouble", EXPORTER, "PollsLate", HOT),
    ("NonceTrouble", EXPORTER, "ListFailing", LIST),
    ("Blocked", EXPORTER, "TargetFailing", HOT),
    ("Blocked", EXPORTER, "PollsLate", HOT),
    ("Blocked", EXPORTER, "ListFailing", LIST),
    ("KeyShared", KEY, "NonceTrouble", EXPORTER),
    ("BudgetTooSmall", EXPORTER, "PollsLate", HOT),
    ("TargetFailing", HOT, "HoldNotClearing", HOT_BITCOIN),
    ("TargetFailing", HOT, "ShareUnusual", HOT_BITCOIN),
    ("TargetFailing", HOT, "QuotePriceMissing", HOT_BITCOIN),
    ("BalancesStale", HOT, "HoldNotClearing", HOT_BITCOIN),
    ("BalancesStale", HOT, "ShareUnusual", HOT_BITCOIN),
    ("BalancesStale", HOT, "QuotePriceMissing", HOT_BITCOIN),
    ("TargetFailing", HOT, "TotalDrift", ACME_WORTH),
    ("BalancesStale", TOTAL, "TotalDrift", ACME_WORTH),
    ("TargetFailing", {**HOT, "org": "booked"}, "LedgerMismatch", BOOKED),
    ("BalancesStale", {**HOT, "org": "booked"}, "LedgerMismatch", BOOKED),
    ("TargetFailing", TASKS, "ApprovalWaiting", HOT_TASKS),
    ("TargetFailing", TASKS, "ApprovalsPilingUp", HOT_TASKS),
    ("ApprovalExpiring", HOT_TASKS, "ApprovalWaiting", HOT_TASKS),
    ("NoVaults", {}, "VaultVanished", {"org": "acme", "vault": "hot", "id": "VHOT"}),
)
TOLD: Final[tuple[Case, ...]] = (
    ("ExporterDown", EXPORTER, "TargetFailing", ELSEWHERE),
    ("ExporterDown", EXPORTER, "ExporterRestarting", EXPORTER),
    ("ExporterDown", EXPORTER, "UnexpectedOutflow", HOT_BITCOIN),
    ("ExporterDown", EXPORTER, "AvailableBelowMinimum", HOT_BITCOIN),
    ("CredentialRefused", KEY, "BalancesStale", OTHER_KEYS),
    ("CredentialRefused", KEY, "BalancesStale", NO_KEYS),
    ("CredentialRefused", KEY, "TargetFailing", ELSEWHERE),
    ("CredentialRefused", KEY, "UnexpectedOutflow", HOT_BITCOIN),
    ("NoAnswer", KEY, "BalancesStale", OTHER_KEYS),
    ("NoAnswer", KEY, "ListFailing", LISTS_ELSEWHERE),
    ("NoAnswer", KEY, "CredentialRefused", {**KEY, "credential": "another"}),
    ("EverythingPaused", EXPORTER, "BalancesStale", ELSEWHERE),
    ("EverythingPaused", EXPORTER, "AvailableBelowMinimum", HOT_BITCOIN),
    ("PermissionDenied", HOT, "TargetFailing", COLD),
    ("PermissionDenied", HOT, "TargetFailing", TOTAL),
    ("PermissionDenied", HOT, "BalancesStale", HOT),
    ("RateLimited", EXPORTER, "TargetFailing", ELSEWHERE),
    ("RateLimited", EXPORTER, "BalancesStale", HOT),
    ("NonceTrouble", EXPORTER, "BalancesStale", HOT),
    ("Blocked", EXPORTER, "BalancesStale", HOT),
    ("TargetFailing", HOT, "BalancesStale", HOT),
    ("TargetFailing", HOT, "UnexpectedOutflow", HOT_BITCOIN),
    ("TargetFailing", HOT, "AvailableBelowMinimum", HOT_BITCOIN),
    ("TargetFailing", HOT, "HoldNotClearing", COLD_BITCOIN),
    ("TargetFailing", TOTAL, "HoldNotClearing", HOT_BITCOIN),
    ("BalancesStale", HOT, "UnexpectedOutflow", HOT_BITCOIN),
    ("BalancesStale", ANOTHERS, "TotalDrift", ACME_WORTH),
    ("TargetFailing", TASKS, "ApprovalExpiring", HOT_TASKS),
    ("TargetFailing", {**HOT, "org": "booked too"}, "LedgerMismatch", BOOKED_TOO),
    ("TargetFailing", {**TASKS, "org": "booked too"}, "LedgerMismatch", BOOKED_TOO),
    ("TargetFailing", HOT, "QuotePriceStill", {"asset": "BTC", "quote_asset": "USD"}),
    ("TargetFailing", TASKS, "WhitelistAddition", {"org": "acme", "vault": "hot"}),
    ("TargetFailing", HOT, "ApprovalWaiting", HOT_TASKS),
    ("TargetFailing", {**TASKS, "org": "another"}, "ApprovalWaiting", HOT_TASKS),
    ("ApprovalExpiring", HOT_TASKS, "ApprovalWaiting", OTHER_TASKS),
    ("ApprovalExpiring", HOT_TASKS, "ApprovalsPilingUp", HOT_TASKS),
)


def name_of(case: Case) -> str:
    """Return a name for a case."""
    cause, _, other, _ = case
    return f"{cause}-{other}"


def firing(case: Case) -> list[dict[str, dict[str, str]]]:
    """Return both alerts as Prometheus sends them, with a job for each case to keep it apart from the others."""
    cause, its_labels, other, others_labels = case
    job = repr(case)
    return [
        {
            "labels": {
                "alertname": f"KrakenCustody{name}",
                "severity": alerts()[f"KrakenCustody{name}"]["labels"]["severity"],
                "job": job,
                **labels,
            }
        }
        for name, labels in ((cause, its_labels), (other, others_labels))
    ]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> States:
    directory = tmp_path_factory.mktemp("inhibition")
    # Nothing receives the messages: what would be sent is known before.
    with alertmanager(directory, webhook=free_address(), smtp=free_address()) as manager:
        httpx.post(
            f"http://{manager.address}/api/v2/alerts",
            json=[alert for case in (*TOLD, *SILENCED) for alert in firing(case)],
            trust_env=False,
            verify=False,
        ).raise_for_status()

        def seen() -> States:
            return {
                (alert["labels"]["job"], alert["labels"]["alertname"]): alert["status"]["state"]
                for alert in manager.alerts()
            }

        def is_settled() -> bool:
            found = seen()
            return all(state_of(case, found) == "suppressed" for case in SILENCED)

        # Causes take effect one by one. If one never does, its own test fails.
        with suppress(AssertionError):
            until(is_settled)
        return seen()


def state_of(case: Case, states: States) -> str | None:
    """Return the state of the other alert of a case."""
    _, _, other, _ = case
    return states.get((repr(case), f"KrakenCustody{other}"))


def test_every_rule_of_inhibition_has_its_cases() -> None:
    ruled = {
        pair
        for rule in configuration()["inhibit_rules"]
        for pair in product(
            alertnames(rule["source_matchers"]), alertnames(rule["target_matchers"])
        )
    }
    assert ruled == {
        (f"KrakenCustody{cause}", f"KrakenCustody{other}") for cause, _, other, _ in SILENCED
    }


@pytest.mark.parametrize("case", SILENCED, ids=name_of)
def test_what_a_cause_explains_is_silenced(states: States, case: Case) -> None:
    assert state_of(case, states) == "suppressed"


@pytest.mark.parametrize("case", TOLD, ids=name_of)
def test_alerts_that_a_cause_does_not_explain_are_sent(states: States, case: Case) -> None:
    assert state_of(case, states) == "active"


def test_the_cause_itself_is_sent(states: States) -> None:
    for case in (*SILENCED, *TOLD):
        assert states[repr(case), f"KrakenCustody{case[0]}"] == "active"
