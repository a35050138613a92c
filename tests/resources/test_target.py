"""What identifies a target, and what changes from some targets to others."""

from dataclasses import replace
from decimal import Decimal

import pytest

from exporter.resources.target import (
    AT_ONCE,
    Target,
    TargetChange,
    changes_between,
    compare,
    listed,
    organizations_of,
)
from exporter.turns import at_once

HOT = Target("vault", "V1", "acme", "hot", 30.0, "main")
COLD = Target("vault", "V2", "acme", "cold", 30.0, "main")
WARM = Target("vault", "V3", "acme", "warm", 30.0, "main")
LISTED = Target("organizations", "main", "", "", 600.0, "main")


@pytest.mark.parametrize(
    ("target", "key", "labels", "owner"),
    [
        (HOT, ("vault", "V1"), {"kind": "vault", "org": "acme", "vault": "hot"}, "acme"),
        (
            replace(HOT, is_another=True, credential="second"),
            ("vault", "V1@second"),
            {"kind": "vault", "org": "acme", "vault": "hot", "credential": "second"},
            "acme",
        ),
        (
            LISTED,
            ("organizations", "main"),
            {"kind": "organizations", "credential": "main"},
            "main",
        ),
    ],
    ids=["a vault", "the same with another credential", "a credential's list"],
)
def test_a_target_is_identified_by_its_key_and_its_labels(
    target: Target, key: tuple[str, str], labels: dict[str, str], owner: str
) -> None:
    assert (target.key, target.labels, target.owner) == (key, labels, owner)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"interval": 60.0}, True),
        ({"vault": "renamed"}, False),
        ({"min_available": {"BTC": Decimal(1)}}, False),
    ],
)
def test_an_answer_is_rendered_again_for_other_labels_and_other_minima(
    *, change: dict[str, object], is_same: bool
) -> None:
    assert HOT.is_exposed_as(replace(HOT, **change)) == is_same  # type: ignore[arg-type]  # a column of the table


def test_a_plain_target_is_polled_with_one_request_and_must_not_be_refused() -> None:
    assert (HOT.requests, HOT.is_optional) == (1, False)


def test_targets_are_compared_by_key() -> None:
    renamed = replace(HOT, vault="renamed")
    everything = [renamed, COLD, WARM]
    changes = [TargetChange(renamed, HOT), TargetChange(COLD, COLD), TargetChange(WARM)]
    old = [HOT, COLD, LISTED]
    assert compare(old, everything) == (tuple(changes), (LISTED,))
    assert at_once(changes_between(old, everything)) == ([changes[0], changes[2]], [LISTED])


def test_a_comparison_of_many_targets_lets_others_in_after_every_thousand() -> None:
    many = [replace(HOT, id=f"V{number}") for number in range(2 * AT_ONCE + 1)]
    assert AT_ONCE == 1_000
    assert len(list(changes_between(many, many))) == 3


def test_organizations_are_listed_once_for_each_credential_that_reads_them() -> None:
    other = replace(HOT, organization="fund", credential="second")
    assert organizations_of([HOT, COLD, LISTED, other]) == {"main": ("acme",), "second": ("fund",)}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (2, "a0, a1"), (20, ", ".join(f"a{number}" for number in range(20)))],
)
def test_a_few_names_are_all_listed(count: int, text: str) -> None:
    assert listed([f"a{number}" for number in range(count)]) == text


def test_of_more_than_twenty_names_the_first_are_listed_and_the_others_counted() -> None:
    assert listed([f"a{number}" for number in range(23)]).endswith("a18, a19 and 3 more")
