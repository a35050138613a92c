"""What a reply means for the questions after it, and what is known without one."""

import pytest

from exporter.custody.errors import BLOCKED_TYPE, CustodyError, reaction_to
from exporter.discovery.known import Listed
from exporter.probe.known import Known, Reply, Subject
from tests.probe.contacting import configured, settings_of
from tests.simulator.calling import PORTFOLIO

MEANINGS = (
    "succeeded",
    "is_denied",
    "is_bad_request",
    "is_unknown",
    "refuses_key",
    "is_unanswered",
)


@pytest.mark.parametrize(
    ("type_", "status", "meaning", "stops"),
    [
        ("PermissionDenied", 403, "is_denied", None),
        ("EGeneral:Permission denied", 200, "is_denied", None),
        ("BadRequest", 400, "is_bad_request", None),
        ("EGeneral:Invalid arguments", 200, "is_bad_request", None),
        ("http/404", 404, "is_unknown", None),
        ("EGeneral:Unknown method", 200, "is_unknown", None),
        ("InvalidKey", 401, "refuses_key", "credential"),
        ("EAPI:Invalid nonce", 200, "refuses_key", "credential"),
        ("EGeneral:Temporary lockout", 200, "refuses_key", "credential"),
        ("gateway/Connect", 503, "is_unanswered", None),
        ("transport/timeout", None, "is_unanswered", None),
        ("http/429", 429, "", "everything"),
        (BLOCKED_TYPE, 403, "", "everything"),
        ("response/invalid", 200, "", None),
    ],
)
def test_a_failure_has_one_meaning_and_may_stop_what_comes_after(
    type_: str, status: int | None, meaning: str, stops: str | None
) -> None:
    error = CustodyError(type_, status=status, reaction=reaction_to(status or 500, type_))
    reply = Reply(status, error=error)
    assert [it for it in MEANINGS if getattr(reply, it)] == [meaning] * bool(meaning)
    assert reply.stops == stops


def test_an_answer_stops_nothing() -> None:
    assert [it for it in MEANINGS if getattr(Reply(200), it)] == ["succeeded"]
    assert Reply(200).stops is None


def test_without_a_list_the_configured_organizations_and_vaults_are_known_by_name() -> None:
    known = Known(Subject("treasury", settings_of(configured()).organizations))
    assert known.organizations == tuple(Listed(it.id, it.name) for it in PORTFOLIO.organizations)
    assert known.configured_vaults == tuple(
        Listed(vault.id, vault.name) for it in PORTFOLIO.organizations for vault in it.vaults
    )
