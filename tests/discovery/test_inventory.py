"""The inventory: all configured targets, and found ones in addition."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from msgspec.structs import replace

from exporter.config import Settings, parse
from exporter.discovery import inventory as module
from exporter.discovery.inventory import (
    HELD_NOTHING,
    Held,
    Inventory,
    Organization,
    OrganizationList,
    Unpolled,
    Vault,
    VaultList,
    inventory_of,
)
from exporter.discovery.known import Found, Known, Source
from exporter.shard import WHOLE, Shard
from exporter.turns import at_once
from tests.discovery.finds import finds, found
from tests.exporting import ENVIRON

ACME, BETA, GAMMA = "ABCD EFGH IJKL MNOP", "BBBB BBBB BBBB BBBB", "CCCC CCCC CCCC CCCC"
A, B, C, D = "VAAAAAAAAAAAAA", "VBBBBBBBBBBBBA", "VCCCCCCCCCCCCA", "VDDDDDDDDDDDDA"
ONE = {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}
TWO = {"api_key_env": "OTHER_KEY", "api_secret_env": "SIMULATOR_SECRET"}
HOT = {"name": "hot", "id": A, "interval": "30s"}


def settings_of(
    discovery: object = None,
    organizations: Iterable[Mapping[str, object]] = (),
    credentials: Mapping[str, object] | None = None,
    shard: Shard = WHOLE,
) -> Settings:
    document = {
        "credentials": credentials or {"one": ONE},
        "discovery": {} if discovery is None else discovery,
        "organizations": list(organizations),
    }
    text = yaml.safe_dump(document, sort_keys=False)
    return parse(text, directory=Path(), environ=ENVIRON, shard=shard)


def inventory(settings: Settings, known: Known, held: Held = HELD_NOTHING) -> Inventory:
    return at_once(inventory_of(settings, known, held))


def labels(found_there: Inventory) -> list[tuple[str, str]]:
    return [(of.label, vault.label) for of in found_there.organizations for vault in of.vaults]


def listed(*vaults: Found, organization: str = ACME, name: str = "acme") -> Known:
    return {
        Source("one"): finds(found(organization, name)),
        Source("one", organization): finds(*vaults),
    }


def test_without_discovery_there_is_what_the_configuration_has() -> None:
    text = yaml.safe_dump(
        {"credentials": {"one": ONE}, "organizations": [{"id": ACME, "vaults": [HOT]}]}
    )
    there = inventory(parse(text, directory=Path(), environ=ENVIRON), listed(found(B, "cold")))
    assert labels(there) == [(ACME, "hot")]
    assert there.sources == set()
    assert there.organizations[0].lists == ()


def test_before_the_first_list_only_lists_are_polled() -> None:
    there = inventory(settings_of(), {})
    assert there.organizations == ()
    assert there.sources == {Source("one")}


def test_what_is_found_has_the_apis_names_and_the_interval_of_polling() -> None:
    there = inventory(settings_of(), listed(found(B, "cold"), found(A, "hot")))
    assert labels(there) == [("acme", "hot"), ("acme", "cold")]
    assert {vault.interval for vault in there.organizations[0].vaults} == {60.0}
    assert there.sources == {Source("one"), Source("one", ACME)}


ENTRY = {"id": ACME, "name": "own name", "interval": "2m", "vaults": [HOT, {"id": B}]}


@pytest.mark.parametrize(
    "known",
    [
        {},
        {Source("one"): {}, Source("one", ACME): {}},
        listed(found(A, "another"), found(B, "name"), found(C, "hot")),
        listed(found(C, B), name="hot"),
        listed(found(A, "x"), organization=BETA, name="own name"),
    ],
)
def test_no_label_interval_or_credential_of_the_configuration_changes_by_what_is_found(
    known: Known,
) -> None:
    of = inventory(settings_of({"vaults": {"exclude": ["*"]}}, [ENTRY]), known).organizations[0]
    assert (of.id, of.label, of.interval, of.credential) == (ACME, "own name", 120.0, "one")
    assert [(it.id, it.label, it.interval, it.credential) for it in of.vaults] == [
        (A, "hot", 30.0, "one"),
        (B, B, 60.0, "one"),
    ]


def test_what_is_found_stands_beside_the_configurations_own_under_other_labels() -> None:
    there = inventory(
        settings_of(None, [ENTRY]), listed(found(A, "x"), found(C, "hot"), name="ignored")
    )
    assert labels(there) == [("own name", "hot"), ("own name", B), ("own name", f"hot ({C})")]
    assert there.organizations[0].vaults[0].found == found(A, "x")


def test_two_organizations_of_one_name_have_two_labels() -> None:
    known = {Source("one"): finds(found(BETA, "acme"), found(GAMMA, "acme"))}
    there = inventory(settings_of(None, [{"id": ACME, "name": "acme"}]), known)
    assert [of.label for of in there.organizations] == [
        "acme",
        f"acme ({BETA})",
        f"acme ({GAMMA})",
    ]


@pytest.mark.parametrize(
    ("filters", "polled"),
    [
        ({}, ["hot", "test-1", C]),
        ({"exclude": ["test-*"]}, ["hot", C]),
        ({"include": ["hot", C]}, ["hot", C]),
        ({"include": ["V*"]}, ["hot", "test-1", C]),
        ({"exclude": [A]}, ["test-1", C]),
    ],
)
def test_filters_choose_by_name_and_id(filters: object, polled: list[str]) -> None:
    there = inventory(
        settings_of({"vaults": filters}), listed(found(A, "hot"), found(B, "test-1"), found(C))
    )
    assert [label for _, label in labels(there)] == polled
    unpolled = there.organizations[0].unpolled
    assert len(unpolled) == 3 - len(polled)
    assert {it.reason for it in unpolled} <= {"excluded"}


@pytest.mark.parametrize("pattern", [BETA, BETA.replace(" ", ""), "be*"])
def test_an_organization_is_excluded_by_its_name_or_its_id_in_either_form(pattern: str) -> None:
    known = {Source("one"): finds(found(ACME, "acme"), found(BETA, "beta"))}
    there = inventory(settings_of({"organizations": {"exclude": [pattern]}}), known)
    assert [of.label for of in there.organizations] == ["acme"]
    assert [it.found.listed.id for it in there.unpolled] == [BETA]
    assert there.sources == {Source("one"), Source("one", ACME)}


def test_what_is_renamed_into_an_exclusion_stays_for_as_long_as_it_is_held() -> None:
    settings = settings_of({"vaults": {"exclude": ["test-*"]}})
    known = listed(found(A, "test-a"), found(B, "test-b"))
    there = inventory(settings, known, Held(vaults={A}))
    assert labels(there) == [("acme", "test-a")]
    assert there.kept == {A}
    assert labels(inventory(settings, known)) == []


def test_an_organization_that_is_renamed_into_an_exclusion_stays_with_its_vaults() -> None:
    settings = settings_of({"organizations": {"exclude": ["test"]}})
    known = listed(found(A, "hot"), name="test")
    there = inventory(settings, known, Held(organizations={ACME}))
    assert labels(there) == [("test", "hot")]
    assert there.kept == {ACME}


def test_of_too_many_vaults_the_first_by_id_are_polled_and_those_of_the_configuration() -> None:
    known = {
        Source("one"): finds(found(ACME, "acme"), found(BETA, "beta")),
        Source("one", ACME): finds(found(C, "c")),
        Source("one", BETA): finds(found(B, "b"), found("VDDDDDDDDDDDDA", "d")),
    }
    with patch.object(module, "MOST_VAULTS", 3):
        there = inventory(settings_of(None, [{"id": ACME, "name": "acme", "vaults": [HOT]}]), known)
    assert labels(there) == [("acme", "hot"), ("acme", "c"), ("beta", "b")]
    (beyond,) = there.organizations[1].unpolled
    assert (beyond.found.listed.name, beyond.reason) == ("d", "limit")


def test_a_configuration_with_more_vaults_than_that_is_polled_whole() -> None:
    with patch.object(module, "MOST_VAULTS", 1):
        there = inventory(settings_of(None, [ENTRY]), listed(found(C)))
    assert labels(there) == [("own name", "hot"), ("own name", B)]


@pytest.mark.parametrize("is_listed", [False, True])
def test_thousands_of_configured_vaults_are_gone_through_some_at_a_time(*, is_listed: bool) -> None:
    vaults = [{"id": it} for it in (A, B, C)]
    settings = settings_of(None, [{"id": ACME, "name": "acme", "vaults": vaults}])
    if not is_listed:
        settings = replace(settings, discovery=None)
    steps = len(list(inventory_of(settings, {})))
    with patch.object(module, "AT_ONCE", 1):
        assert len(list(inventory_of(settings, {}))) == steps + 2


BOTH: Known = {
    Source("one"): finds(found(ACME, "acme")),
    Source("two"): finds(found(ACME, "acme")),
    Source("one", ACME): finds(found(A, "hot")),
    Source("two", ACME): finds(found(A, "hot"), found(B, "cold")),
}


def test_a_vault_that_several_credentials_list_is_polled_with_the_first_of_the_file() -> None:
    for order, expected in (("one", "two"), ["one", "two"]), (("two", "one"), ["two", "two"]):
        credentials = {name: {"one": ONE, "two": TWO}[name] for name in order}
        (of,) = inventory(settings_of(credentials=credentials), BOTH).organizations
        assert [vault.credential for vault in of.vaults] == expected
        assert of.credential == order[0]
        assert [it.credential for it in of.lists] == list(order)


def test_an_organizations_own_credential_lists_its_vaults_before_the_others() -> None:
    settings = settings_of(
        None, [{"id": ACME, "credentials": "two"}], credentials={"one": ONE, "two": TWO}
    )
    (of,) = inventory(settings, {Source("one"): finds(found(ACME))}).organizations
    assert [it.credential for it in of.lists] == ["two", "one"]


def test_a_vault_no_longer_listed_by_the_first_credential_is_polled_with_the_next() -> None:
    settings = settings_of(credentials={"one": ONE, "two": TWO})
    (of,) = inventory(settings, {**BOTH, Source("one", ACME): {}}).organizations
    assert [(vault.label, vault.credential) for vault in of.vaults] == [
        ("hot", "two"),
        ("cold", "two"),
    ]


def test_a_vault_that_two_organizations_list_is_the_configurations_else_the_firsts() -> None:
    known = {
        Source("one"): finds(found(ACME, "acme"), found(BETA, "beta")),
        Source("one", ACME): finds(found(A, "a")),
        Source("one", BETA): finds(found(A, "a")),
    }
    assert labels(inventory(settings_of(), known)) == [("acme", "a")]
    entry = {"id": BETA, "name": "beta", "vaults": [HOT]}
    assert labels(inventory(settings_of(None, [entry]), known)) == [("beta", "hot")]


def test_an_inventory_has_all_that_the_configuration_and_the_lists_say() -> None:
    known = {
        Source("one"): finds(found(ACME, "acme"), found(BETA, "beta"), found(GAMMA, "test")),
        Source("one", ACME): finds(found(A, "x"), found(C, "hot"), found(D, "test")),
    }
    excluded = {"exclude": ["test"]}
    settings = settings_of(
        {"interval": "5m", "organizations": excluded, "vaults": excluded},
        [
            ENTRY
            | {"credentials": "one", "vaults": [HOT | {"min_available": {"BTC": "0.5"}}, {"id": B}]}
        ],
        credentials={"one": ONE, "two": TWO},
    )
    there = inventory(settings, known)
    labels = {A: "hot", B: B, C: f"hot ({C})"}
    acme = Organization(
        *(ACME, "own name", 120.0, "one"),
        vaults=(
            Vault(A, "hot", 30.0, "one", found(A, "x"), {"BTC": Decimal("0.5")}),
            Vault(B, B, 60.0, "one"),
            Vault(C, labels[C], 60.0, "one", found(C, "hot"), is_configured=False),
        ),
        found=found(ACME, "acme"),
        is_configured=True,
        is_here=True,
        has_vaults=True,
        vault_labels=labels,
        lists=(VaultList("one", known[Source("one", ACME)]),),
        unpolled=(Unpolled(found(D, "test"), "excluded"),),
        collect=("balances",),
    )
    beta = Organization(
        *(BETA, "beta", 60.0, "one", ()),
        found=found(BETA, "beta"),
        is_configured=False,
        is_here=True,
        has_vaults=False,
        vault_labels={},
        lists=(VaultList("one", None),),
        unpolled=(),
        collect=("balances",),
    )
    assert there == Inventory(
        (acme, beta),
        listing_interval=300.0,
        lists=(
            OrganizationList("one", known[Source("one")], has_organizations=True),
            OrganizationList("two", None, has_organizations=False),
        ),
        unpolled=(Unpolled(found(GAMMA, "test"), "excluded"),),
        kept=frozenset(),
        held=Held(frozenset({ACME, BETA}), frozenset({A, B, C})),
    )
    assert (acme.is_listed, acme.discovered_vaults) == (True, 2)
    assert (beta.is_listed, beta.discovered_vaults) == (False, 0)


def test_a_shard_has_its_own_targets_and_the_labels_of_all() -> None:
    vaults = [found(f"VAAAAAAAAAAA{letter}A", letter) for letter in "ABCDEFGH"]
    filters = {"vaults": {"exclude": ["[E-H]"]}}
    (whole,) = inventory(settings_of(filters), listed(*vaults)).organizations
    shards = [
        inventory(settings_of(filters, shard=Shard(number, 2)), listed(*vaults))
        for number in range(2)
    ]
    (one,), (other,) = (it.organizations for it in shards)
    assert one.is_here != other.is_here
    assert len(one.vaults) > 0 < len(other.vaults)
    assert sorted(one.vaults + other.vaults, key=lambda it: it.id) == list(whole.vaults)
    assert {*one.unpolled, *other.unpolled} == set(whole.unpolled)
    assert len(one.unpolled + other.unpolled) == 4
    assert one.vault_labels == other.vault_labels == whole.vault_labels
    assert shards[0].held == shards[1].held == Held({ACME}, {it.id for it in whole.vaults})


def test_thousands_of_organizations_are_looked_through_in_steps() -> None:
    settings = settings_of()
    organizations = [found(f"{number:016}", f"name {number}") for number in range(3)]
    known = {Source("one"): finds(*organizations)}
    steps = len(list(inventory_of(settings, known)))
    with patch.object(module, "AT_ONCE", 1), patch.object(module, "SHARED_AT_ONCE", 1):
        # Found, filtered, with their vaults, as what is polled, and of this shard.
        assert len(list(inventory_of(settings, known))) == steps + 5 * 2


def test_20_001_vaults_are_looked_through_in_steps_and_20_000_are_polled() -> None:
    vaults = [found(f"V{number:012}A", f"name {number}") for number in range(20_001)]
    steps, count = inventory_of(settings_of(), listed(*vaults)), 0
    try:
        while True:
            next(steps)
            count += 1
    except StopIteration as end:
        (of,) = end.value.organizations
    assert count > 50
    assert (len(of.vaults), len(of.unpolled)) == (20_000, 1)
