"""The revisions of the API accept different queries; which one it is shows only in what it refuses."""

import pytest

from exporter.custody.document import parse_json
from exporter.custody.errors import CustodyError, Reaction
from exporter.resources.vault_balances import WITH_PARAMETERS, WITHOUT, Requester, VaultBalances
from exporter.turns import at_once
from tests.resources.answers import COLD, HOT, VAULT_EXAMPLE

GOOD, OTHER, BAD = "VABCDEF234567A", "VW44KPQC4C62K6", "VN2F7NJJWKJHI2"


def knowing(query: str) -> Requester:
    found = Requester()
    found.accepted(query)
    return found


def test_full_precision_is_requested_first() -> None:
    assert Requester().query(GOOD) == "?quote=USD&full_precision=true"


@pytest.mark.parametrize("query", [WITH_PARAMETERS, WITHOUT])
def test_a_query_accepted_for_one_vault_is_used_for_all(query: str) -> None:
    assert knowing(query).query(OTHER) == query


def test_a_refused_vault_is_requested_again_without_parameters() -> None:
    found = Requester()
    assert found.refused(GOOD, WITH_PARAMETERS)
    assert found.query(GOOD) == WITHOUT
    assert found.query(OTHER) == WITH_PARAMETERS, "nothing is known of the others"


def test_a_vault_refused_either_way_starts_over() -> None:
    found = Requester()
    found.refused(BAD, WITH_PARAMETERS)
    assert not found.refused(BAD, WITHOUT)
    assert found.query(BAD) == WITH_PARAMETERS


def test_a_bad_vault_among_good_ones_does_not_cost_them_their_precision() -> None:
    found = knowing(WITH_PARAMETERS)
    for _ in range(3):
        assert not found.refused(BAD, found.query(BAD)), "it is not asked twice"
        assert found.query(GOOD) == WITH_PARAMETERS
        found.accepted(WITH_PARAMETERS)


def test_an_old_refusal_is_forgotten_once_a_query_is_accepted() -> None:
    found = Requester()
    found.refused(GOOD, WITH_PARAMETERS)
    found.accepted(WITH_PARAMETERS)
    found.refused(BAD, WITH_PARAMETERS)
    assert found.query(GOOD) == WITH_PARAMETERS


def test_an_api_that_stops_accepting_parameters_is_followed() -> None:
    found = knowing(WITH_PARAMETERS)
    assert not found.refused(GOOD, WITH_PARAMETERS)
    assert found.refused(GOOD, found.query(GOOD))
    assert found.query(GOOD) == WITHOUT
    found.accepted(WITHOUT)
    assert found.query(OTHER) == WITHOUT


def test_a_bad_vault_does_not_bring_refused_parameters_back() -> None:
    found = knowing(WITHOUT)
    assert not found.refused(BAD, WITHOUT)
    assert found.query(GOOD) == WITHOUT


def test_a_refusal_that_was_on_its_way_when_another_query_was_accepted_is_followed_by_that() -> (
    None
):
    found = knowing(WITHOUT)
    assert found.refused(GOOD, WITH_PARAMETERS)
    assert found.query(GOOD) == WITHOUT


@pytest.mark.parametrize("is_usual", [True, False])
def test_the_query_of_a_request_that_is_answered_is_used_for_all(*, is_usual: bool) -> None:
    requester = Requester()
    assert requester(HOT).reaction(bad_request()) is Reaction.AGAIN
    request = requester(HOT)
    assert (request.query, requester(COLD).query) == (WITHOUT, WITH_PARAMETERS)
    body = bytearray(VAULT_EXAMPLE.encode())
    read = at_once(request.read_usual(body) if is_usual else request.read(parse_json(body)))
    assert isinstance(read, VaultBalances)
    assert requester(COLD).query == WITHOUT


def test_an_answer_that_is_not_as_usual_settles_nothing_before_it_is_judged() -> None:
    requester = Requester()
    requester(HOT).reaction(bad_request())
    assert at_once(requester(HOT).read_usual(bytearray(b"{}"))) is None
    assert requester(COLD).query == WITH_PARAMETERS


@pytest.mark.parametrize(
    ("type_", "reaction"),
    [
        ("BadRequest", Reaction.RETRY),
        ("PermissionDenied", Reaction.BACK_OFF),
        ("http/502", Reaction.RETRY),
    ],
)
def test_any_other_failure_says_nothing_of_the_query(type_: str, reaction: Reaction) -> None:
    requester = Requester()
    assert requester(HOT).reaction(CustodyError(type_, reaction=reaction)) is reaction
    assert requester(HOT).query == WITH_PARAMETERS


def test_a_vault_is_requested_by_its_id() -> None:
    asked = Requester()(HOT)
    assert (asked.endpoint, asked.tag) == ("vault_asset_balances", HOT.key)
    assert (asked.path, asked.id) == ("vaults/{id}/assets/balances", HOT.id)
    assert (asked.is_signed, asked.is_personal) == (True, False)


def bad_request() -> CustodyError:
    return CustodyError("BadRequest", status=400, reaction=Reaction.BACK_OFF)
