"""The API's revisions differ in the query they take; which one it is shows only in what it refuses."""

import pytest

from exporter.resources.vault_balances import WITH_PARAMETERS, WITHOUT, Requester

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
