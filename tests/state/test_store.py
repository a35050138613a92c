"""What the store holds, serves, withdraws and refuses."""

import math
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.custody.errors import CustodyError
from exporter.resources.target import Target, TargetChange, changes_between
from exporter.resources.vault_balances import threshold_lines
from exporter.state.state import Failure, TargetState, failed_try, failing
from exporter.state.store import Store
from exporter.turns import at_once
from tests.resources.answers import (
    COLD,
    HOT,
    ORGANIZATION,
    ORGANIZATION_EXAMPLE,
    make_store,
    page,
    put,
    read_organization,
    row,
    samples,
    vault_answer,
    vault_target,
)

BALANCE = "kraken_custody_vault_balance"
INFO = "kraken_custody_asset_info"
STALE = "kraken_custody_target_stale"
LEAD = 0.0
"""The lead of a wall clock that was not set forward since anything was read."""


def assets(store: Store) -> list[str]:
    """Return the names in the current descriptions of assets."""
    return [line.split('name="')[1].split('"')[0] for line in samples(store, INFO)]


def test_before_the_first_poll_there_are_only_targets_and_thresholds() -> None:
    target = vault_target(min_available={"BTC": Decimal("0.5")})
    assert page(make_store(target)) == (
        "# HELP kraken_custody_vault_min_available_balance "
        "Configured threshold for the available balance, in units of the asset.\n"
        "# TYPE kraken_custody_vault_min_available_balance gauge\n"
        "kraken_custody_vault_min_available_balance"
        '{org="acme",vault="hot",vault_id="VABCDEF234567A",asset="BTC"} 0.5\n'
        "# HELP kraken_custody_target_paused Whether the target's credential, or everything, is paused.\n"
        "# TYPE kraken_custody_target_paused gauge\n"
        'kraken_custody_target_paused{kind="vault",org="acme",vault="hot"} 0.0\n'
        "# HELP kraken_custody_target_info "
        "Id of the target and the credential it is read with, to join with metrics by credential. Always 1.\n"
        "# TYPE kraken_custody_target_info gauge\n"
        'kraken_custody_target_info{kind="vault",org="acme",vault="hot",'
        'id="VABCDEF234567A",credential="treasury"} 1.0\n'
        "# HELP kraken_custody_target_stale "
        "Whether the target's balances are withheld because they are older than polling.stale_after.\n"
        "# TYPE kraken_custody_target_stale gauge\n"
        'kraken_custody_target_stale{kind="vault",org="acme",vault="hot"} 0.0\n'
    )


def test_the_targets_of_a_paused_credential_are_shown_as_paused_also_after_a_reload() -> None:
    store = make_store(HOT, COLD)
    other = replace(COLD, credential="other")
    for targets in ((HOT, other), (other, HOT)):
        reload(store, *targets)
        for credentials, paused in (
            (("other",), ["cold"]),
            (("treasury",), ["hot"]),
            ((), []),
        ):
            store.show_paused(frozenset(credentials))
            found = samples(store, "kraken_custody_target_paused")
            assert [
                name for name in ("hot", "cold") if f'vault="{name}"}} 1.0' in str(found)
            ] == paused


def test_targets_may_come_from_an_iterator() -> None:
    store = Store(iter((HOT, COLD)), stale_after=lambda _: 300.0, max_series=10)
    assert [state.target for state in store.states()] == [HOT, COLD]


def test_states_are_in_the_order_of_the_configuration_whatever_is_polled_first() -> None:
    store = make_store(ORGANIZATION, HOT, COLD)
    put(store, COLD, vault_answer(row()))
    put(store, HOT, vault_answer(row()))
    assert [state.target for state in store.states()] == [ORGANIZATION, HOT, COLD]
    assert ['vault="hot"' in line for line in samples(store, BALANCE)] == [True, False]


def test_a_row_that_leaves_the_answer_leaves_the_exposition() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("BTC"), row("ETH")))
    put(store, HOT, vault_answer(row("ETH")))
    assert "BTC" not in page(store)
    assert store.series == 4


def test_what_a_scrape_took_does_not_change_any_more() -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC", min_lot="1")))
    taken = store.snapshot()
    before = [(metric, [*lines]) for metric, lines in taken.families()]
    put(store, HOT, vault_answer(row("ETH")))
    store.withdraw_stale(301.0, lead=LEAD)
    assert [(metric, [*lines]) for metric, lines in taken.families()] == before
    assert "BTC" in str(before)


def test_balances_are_served_until_stale_after_and_not_a_tick_longer() -> None:
    store = make_store(HOT, COLD, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1000.0)
    put(store, COLD, vault_answer(row("BTC")), read_at=1200.0)
    assert store.withdraw_stale(1300.0, lead=LEAD) == []
    assert len(samples(store, BALANCE)) == 2

    withdrawn = store.withdraw_stale(math.nextafter(1300.0, math.inf), lead=LEAD)
    assert [state.target for state in withdrawn] == [HOT]
    assert ['vault="cold"' in line for line in samples(store, BALANCE)] == [True]
    assert samples(store, STALE) == [
        'kraken_custody_target_stale{kind="vault",org="acme",vault="hot"} 1.0',
        'kraken_custody_target_stale{kind="vault",org="acme",vault="cold"} 0.0',
    ]
    assert store.series == 4


def test_what_was_read_again_meanwhile_is_served_as_long() -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1000.0)
    assert store.withdraw_stale(1100.0, lead=LEAD) == []
    put(store, HOT, vault_answer(row("BTC")), read_at=1200.0)
    assert store.withdraw_stale(1500.0, lead=LEAD) == []
    withdrawn = store.withdraw_stale(math.nextafter(1500.0, math.inf), lead=LEAD)
    assert [state.target for state in withdrawn] == [HOT]


def test_a_state_is_found_by_the_key_of_its_target() -> None:
    store = make_store(HOT)
    assert store.find(HOT.key) is store[HOT]
    assert store.find(COLD.key) is None


def test_each_target_becomes_stale_in_its_own_time() -> None:
    store = make_store(HOT, COLD, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1000.0)
    put(store, COLD, vault_answer(row("BTC")), read_at=1200.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1100.0)
    moments = (1399.0, 1401.0, 1500.0, 1501.0)
    withdrawn = [
        [state.target.vault for state in store.withdraw_stale(moment, lead=LEAD)]
        for moment in moments
    ]
    assert withdrawn == [[], ["hot"], [], ["cold"]]


def test_a_reload_may_make_balances_stale_at_once() -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1000.0)
    assert store.withdraw_stale(1200.0, lead=LEAD) == []
    store.plan(lambda _: 100.0, max_series=10)
    assert [state.target for state in store.withdraw_stale(1200.0, lead=LEAD)] == [HOT]


def test_an_organization_becomes_stale_as_a_vault_does() -> None:
    store = make_store(ORGANIZATION, stale_after=300.0)
    put(store, ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE), read_at=0.0)
    store.withdraw_stale(301.0, lead=LEAD)
    assert "kraken_custody_organization" not in page(store)
    assert store.series == 0


def test_of_stale_balances_it_is_still_known_when_they_were_read() -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=0.0, last_success=1_795_262_400.0)
    before = samples(store, "kraken_custody_target_last_success_timestamp_seconds")
    store.withdraw_stale(301.0, lead=LEAD)
    assert samples(store, "kraken_custody_target_last_success_timestamp_seconds") == before
    assert before
    assert samples(store, INFO) == []


def test_what_is_withdrawn_is_withdrawn_once() -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=0.0)
    assert len(store.withdraw_stale(301.0, lead=LEAD)) == 1
    assert store.withdraw_stale(302.0, lead=LEAD) == []


def test_a_good_answer_ends_staleness() -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=0.0)
    store.withdraw_stale(301.0, lead=LEAD)
    put(store, HOT, vault_answer(row("BTC")), read_at=302.0)
    assert samples(store, STALE) == [
        'kraken_custody_target_stale{kind="vault",org="acme",vault="hot"} 0.0'
    ]
    assert len(samples(store, BALANCE)) == 1


def test_a_target_beyond_the_limit_is_refused_and_nothing_changes() -> None:
    store = make_store(HOT, COLD, max_series=11)
    put(store, HOT, vault_answer(row("BTC"), row("ETH")))
    before = page(store)
    with pytest.raises(CustodyError) as refused:
        put(store, COLD, vault_answer(row("USD")))
    assert refused.value.type == "limit/series"
    assert refused.value.status == 200
    assert refused.value.message == "4 series would make 12 in all; polling.max_series is 11"
    assert page(store) == before
    assert store.series == 8
    assert store[COLD] == TargetState(COLD)


def test_a_target_that_grows_beyond_the_limit_keeps_what_it_had() -> None:
    store = make_store(HOT, max_series=7)
    put(store, HOT, vault_answer(row("BTC")))
    before = page(store)
    with pytest.raises(CustodyError, match="8 series would make 8 in all"):
        put(store, HOT, vault_answer(row("BTC"), row("ETH")))
    assert page(store) == before


def test_exactly_as_many_series_as_the_limit_fit() -> None:
    store = make_store(HOT, COLD, max_series=8)
    put(store, HOT, vault_answer(row("BTC")))
    put(store, COLD, vault_answer(row("USD")))
    assert store.series == 8


def test_at_the_limit_a_target_may_stay_or_shrink_and_make_room_for_others() -> None:
    store = make_store(HOT, COLD, max_series=8)
    put(store, HOT, vault_answer(row("BTC"), row("ETH")))
    put(store, HOT, vault_answer(row("BTC"), row("USD")))
    put(store, HOT, vault_answer(row("BTC")))
    put(store, COLD, vault_answer(row("BTC")))
    assert store.series == 8


def test_thresholds_assets_and_target_metrics_do_not_count_against_the_limit() -> None:
    target = vault_target(min_available={"BTC": Decimal(1)})
    store = make_store(target, max_series=4)
    put(store, target, vault_answer(row("BTC", min_lot="1", launch_time="1")))
    assert store.series == 4


def test_an_asset_is_described_once_although_two_vaults_hold_it() -> None:
    store = make_store(HOT, COLD)
    put(store, HOT, vault_answer(row("BTC", name="Bitcoin")))
    put(store, COLD, vault_answer(row("BTC", name="Bitcoin")))
    assert assets(store) == ["Bitcoin"]


def test_one_code_in_two_classes_is_two_assets() -> None:
    store = make_store(HOT)
    put(
        store, HOT, vault_answer(row("X", name="coin"), row("X", name="share", asset_class="stock"))
    )
    assert assets(store) == ["coin", "share"]


def test_of_two_descriptions_the_one_that_appeared_last_counts() -> None:
    store = make_store(HOT, COLD)
    put(store, HOT, vault_answer(row("BTC", name="old"), row("ETH", name="Ether")))
    put(store, COLD, vault_answer(row("BTC", name="new")))
    assert assets(store) == ["new", "Ether"]
    # A change of another asset of the vault does not renew this description.
    put(store, HOT, vault_answer(row("BTC", name="old"), row("ETH", name="Ethereum")))
    assert assets(store) == ["new", "Ethereum"]


def test_a_description_returns_when_the_vault_that_gave_a_later_one_lets_the_asset_go() -> None:
    store = make_store(HOT, COLD)
    put(store, HOT, vault_answer(row("BTC", name="old")))
    put(store, COLD, vault_answer(row("BTC", name="new")))
    put(store, COLD, vault_answer())
    assert assets(store) == ["old"]


def test_an_asset_leaves_with_its_last_holder() -> None:
    store = make_store(HOT, COLD, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC", name="Bitcoin")), read_at=0.0)
    put(store, COLD, vault_answer(row("BTC", name="Bitcoin")), read_at=0.0)
    put(store, HOT, vault_answer())
    assert assets(store) == ["Bitcoin"]
    store.withdraw_stale(301.0, lead=LEAD)
    assert assets(store) == []
    put(store, HOT, vault_answer(row("BTC", name="Bitcoin")), read_at=302.0)
    assert assets(store) == ["Bitcoin"]


@pytest.mark.parametrize(
    ("stepped", "served_until"), [(0, 300), (60, 300), (61, 239), (200, 100), (-3600, 300)]
)
def test_balances_age_by_the_wall_clock_if_it_was_set_forward_since(
    stepped: float, served_until: float
) -> None:
    store = make_store(HOT, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1000.0, last_success=1_795_262_400.0)
    lead = 1_795_262_400.0 - 1000.0
    assert store.withdraw_stale(1000.0, lead) == []
    assert store.withdraw_stale(1000.0 + served_until, lead + stepped) == []
    assert len(store.withdraw_stale(1000.1 + served_until, lead + stepped)) == 1


def test_balances_that_were_read_after_a_step_are_as_fresh_as_they_are() -> None:
    store = make_store(HOT, COLD, stale_after=300.0)
    put(store, HOT, vault_answer(row("BTC")), read_at=1000.0, last_success=1_795_262_400.0)
    put(store, COLD, vault_answer(row("BTC")), read_at=1010.0, last_success=1_795_266_010.0)
    lead = 1_795_262_400.0 - 1000.0
    assert [state.target for state in store.withdraw_stale(1011.0, lead + 3600)] == [HOT]
    assert store.withdraw_stale(1310.0, lead + 3600) == []
    assert [state.target for state in store.withdraw_stale(1311.0, lead + 3600)] == [COLD]


def test_each_target_has_its_own_maximum_age() -> None:
    ages = {HOT: 100.0, COLD: 300.0}
    store = Store((HOT, COLD), stale_after=ages.__getitem__, max_series=10)
    for target in ages:
        put(store, target, vault_answer(row("BTC")), read_at=1000.0)
    moments = (1100.0, 1101.0, 1300.0, 1301.0)
    withdrawn = [
        [state.target for state in store.withdraw_stale(moment, LEAD)] for moment in moments
    ]
    assert withdrawn == [[], [HOT], [], [COLD]]


def test_a_failed_poll_changes_no_balance() -> None:
    store = make_store(HOT)
    balances = put(store, HOT, vault_answer(row("BTC", name="Bitcoin")))
    store.put(TargetState(HOT, balances=balances, polls=2, failed_polls=1, last_success=0.0))
    assert len(samples(store, BALANCE)) == 1
    assert assets(store) == ["Bitcoin"]
    assert store.series == 4


HOT_RENAMED = replace(HOT, vault="warm")


def reload(store: Store, *targets: Target, **options: Any) -> None:
    """Give a store other targets, as a reload does."""
    changes, gone = changes_between([state.target for state in store.states()], targets)
    store.change(changes, gone, **options)
    store.arrange([target.key for target in targets])


@pytest.mark.parametrize("is_prepared", [True, False], ids=["prepared", "at the reload"])
def test_a_renamed_target_is_exposed_under_its_new_name(
    is_prepared: bool,  # noqa: FBT001 - a column of the table
) -> None:
    store, same = make_store(HOT), make_store(HOT_RENAMED)
    put(store, HOT, vault_answer(row("BTC")))
    put(same, HOT_RENAMED, vault_answer(row("BTC")))
    renamed = at_once(store.renamed([HOT_RENAMED])) if is_prepared else {}
    reload(store, HOT_RENAMED, renamed=renamed)
    assert page(store) == page(same)


def test_what_was_read_while_a_new_name_was_prepared_is_what_counts() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("BTC")))
    renamed = at_once(store.renamed([HOT_RENAMED]))
    put(store, HOT, vault_answer(row("ETH")))
    reload(store, HOT_RENAMED, renamed=renamed)
    (line,) = samples(store, BALANCE)
    assert 'vault="warm"' in line
    assert 'asset="ETH"' in line


def test_a_prepared_name_is_used_while_nothing_was_read_since() -> None:
    store = make_store(HOT, COLD)
    put(store, HOT, vault_answer(row("BTC")))
    prepared = at_once(store.renamed([HOT_RENAMED, COLD]))
    assert list(prepared) == [HOT.key]
    reload(store, HOT_RENAMED, COLD, renamed=prepared)
    assert store[HOT_RENAMED].balances is prepared[HOT.key].after


def test_only_targets_with_another_name_are_prepared() -> None:
    store = make_store(HOT, COLD)
    for target in (HOT, COLD):
        put(store, target, vault_answer(row("BTC")))
    assert at_once(store.renamed([HOT, replace(COLD, interval=5.0)])) == {}


def test_what_only_a_target_that_left_described_leaves_with_it() -> None:
    store = make_store(HOT, COLD)
    put(store, HOT, vault_answer(row("BTC", name="Bitcoin")))
    put(store, COLD, vault_answer(row("ETH", name="Ether")))
    reload(store, COLD)
    assert assets(store) == ["Ether"]
    assert store.series == sum(state.balances.series for state in store.states() if state.balances)


def test_the_store_knows_what_targets_describe() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("BTC")))
    balances = store[HOT].balances
    assert balances is not None
    assert all(description in store.descriptions for description in balances.described)


def test_an_empty_store_holds_no_series() -> None:
    assert make_store(HOT).series == 0


def test_a_clock_that_is_set_forward_is_seen_before_anything_is_due_to_be_withdrawn() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("BTC")), read_at=0.0, last_success=1000.0)
    # 100 s old by the clock that cannot be set; by the wall clock 299 s, then 300.5 s.
    assert store.withdraw_stale(100.0, 1000.0) == []
    assert store.withdraw_stale(100.0, 1000.0 + 199.0) == []
    (withdrawn,) = store.withdraw_stale(100.0, 1000.0 + 200.5)
    assert withdrawn.is_stale


def test_tries_that_failed_are_overdue_in_the_order_in_which_they_began() -> None:
    store = make_store(HOT, COLD)
    failure = Failure("http/502", 502, "", since=1_795_262_000.0)
    for target, began in ((HOT, 100.0), (COLD, 200.0)):
        store.put(failed_try(store[target], failure, began))
    assert store.overdue_tries(99.0) == []
    (first,) = store.overdue_tries(100.0)
    assert first.target == HOT
    store.put(failing(first, failure))
    assert store.overdue_tries(199.0) == []
    (second,) = store.overdue_tries(200.0)
    assert second.target == COLD
    store.put(failing(second, failure))
    assert store.overdue_tries(math.inf) == []


def test_a_try_is_overdue_after_all_others_were_shown() -> None:
    store = make_store(HOT)
    failure = Failure("http/502", 502, "", since=1_795_262_000.0)
    for began in (100.0, 300.0):
        store.put(failed_try(store[HOT], failure, began))
        (overdue,) = store.overdue_tries(began)
        store.put(failing(overdue, failure))


def test_a_store_that_forgets_is_as_before_the_first_poll() -> None:
    store = make_store(HOT, stale_after=300.0)
    before = page(store)
    put(store, HOT, vault_answer(row("BTC")), read_at=0.0)
    at_once(store.forget())
    assert (page(store), store.series) == (before, 0)
    assert store.withdraw_stale(10_000.0, lead=LEAD) == []


def test_some_targets_change_and_the_others_stay_as_they_are() -> None:
    store, same = make_store(HOT, COLD), make_store(HOT_RENAMED, ORGANIZATION)
    for target in (HOT, COLD):
        put(store, target, vault_answer(row("BTC")))
    put(same, HOT_RENAMED, vault_answer(row("BTC")))
    renamed = at_once(store.renamed([HOT_RENAMED]))
    changes = (TargetChange(HOT_RENAMED, HOT), TargetChange(ORGANIZATION))
    store.change(changes, (COLD,), renamed=renamed)
    assert page(store) == page(same)
    assert store.series == same.series
    put(store, ORGANIZATION, read_organization(ORGANIZATION_EXAMPLE))
    assert len(samples(store, "kraken_custody_organization_quote_balance")) == 1


def test_what_becomes_known_of_a_target_is_exposed_and_forgotten_with_it() -> None:
    store = make_store(HOT)
    told = replace(HOT, facts=threshold_lines(("acme", "hot", HOT.id), {"BTC": Decimal(1)}))
    for new, old, expected in ((told, HOT, 1), (HOT, told, 0), (told, HOT, 1)):
        store.change((TargetChange(new, old),))
        assert len(samples(store, "kraken_custody_vault_min_available_balance")) == expected
    store.change((), (told,))
    assert samples(store, "kraken_custody_vault_min_available_balance") == []
    assert samples(store, "kraken_custody_target_info") == []


def test_another_credential_shows_with_the_target() -> None:
    store = make_store(HOT)
    store.show_paused(frozenset(("other",)))
    assert samples(store, "kraken_custody_target_paused")[0].endswith(" 0.0")
    store.change((TargetChange(replace(HOT, credential="other"), HOT),))
    (info,) = samples(store, "kraken_custody_target_info")
    assert 'credential="other"' in info
    assert samples(store, "kraken_custody_target_paused")[0].endswith(" 1.0")


def test_other_ages_hold_at_once_for_what_was_read() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("BTC")), read_at=0.0)
    assert store.withdraw_stale(100.0, LEAD) == []
    store.plan(lambda _: 50.0, max_series=10)
    assert [state.target for state in store.withdraw_stale(100.0, LEAD)] == [HOT]


def test_a_list_is_never_stale() -> None:
    target = replace(HOT, kind="vaults", vault="")
    store = make_store(target)
    assert samples(store, STALE) == []
    assert samples(store, "kraken_custody_target_info") != []
