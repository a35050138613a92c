"""What identifies a target, and what changes from some targets to others."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import permutations

import pytest
from msgspec.structs import replace

from exporter.resources.target import (
    AT_ONCE,
    Target,
    TargetChange,
    changes_between,
    in_parts,
    listed,
    organizations_of,
)

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
    assert HOT.is_exposed_as(replace(HOT, **change)) == is_same


def test_a_plain_target_is_polled_with_one_request_and_must_not_be_refused() -> None:
    assert (HOT.requests, HOT.is_optional) == (1, False)


def test_targets_are_compared_by_key() -> None:
    renamed = replace(HOT, vault="renamed")
    everything = [renamed, COLD, WARM]
    changes = [TargetChange(renamed, HOT), TargetChange(COLD, COLD), TargetChange(WARM)]
    old = [HOT, COLD, LISTED]
    assert changes_between(old, everything) == ([changes[0], changes[2]], [LISTED])


def parts_of(
    old: Iterable[Target], new: Iterable[Target]
) -> list[tuple[list[TargetChange], list[Target]]]:
    return [(list(changed), list(gone)) for changed, gone in in_parts(*changes_between(old, new))]


def test_what_leaves_goes_first_and_what_is_new_comes_last() -> None:
    renamed = replace(HOT, vault="warm", interval=60.0)
    fresh = replace(WARM, vault="hot")
    assert [it for it in parts_of((HOT, COLD), (fresh, renamed)) if any(it)] == [
        ([], [COLD]),
        ([TargetChange(renamed, HOT), TargetChange(fresh)], []),
    ]


def test_targets_that_exchange_their_names_do_so_at_once() -> None:
    many = [replace(HOT, id=f"V{number}", vault=f"v{number}") for number in range(2 * AT_ONCE + 1)]
    shifted = [replace(it, vault=f"v{number + 1}") for number, it in enumerate(many)]
    ((together, _),) = (it for it in parts_of(many, shifted) if any(it))
    assert len(together) == len(many)
    # None of these names is in use yet.
    others = [replace(it, organization="new") for it in many]
    sizes = [len(changed) for changed, _ in parts_of(many, others)]
    assert sizes == [0, AT_ONCE, AT_ONCE, 1]


def test_thousands_leave_some_at_a_time() -> None:
    many = [replace(HOT, id=f"V{number}") for number in range(2 * AT_ONCE + 1)]
    assert [len(gone) for _, gone in parts_of(many, ())] == [AT_ONCE, AT_ONCE, 1, 0]


def test_no_two_targets_have_the_same_labels_between_two_parts() -> None:
    old = [HOT, COLD, WARM]
    names = ("hot", "cold", "warm", "new")
    for chosen in permutations(names, 3):
        new = [replace(it, vault=name) for it, name in zip(old, chosen, strict=True)]
        known = {it.key: it for it in old}
        for changed, gone in parts_of(old, [*new[1:], replace(new[0], id="V9")]):
            for it in gone:
                del known[it.key]
            known |= {it.new.key: it.new for it in changed}
            labels = [tuple(it.labels.items()) for it in known.values()]
            assert len(set(labels)) == len(labels)


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
