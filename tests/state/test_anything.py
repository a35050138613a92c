"""Whatever the API answers, in any order: the page reads back exactly as what was put in, with nothing twice."""

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample

from exporter.metrics.negotiation import Format
from exporter.resources import organization_balances, vault_balances
from exporter.resources.organization_balances import OrganizationBalance
from exporter.resources.vault_balances import Asset, VaultBalances
from tests.resources.answers import (
    make_store,
    page,
    put,
    read_organization,
    read_vault,
    vault_target,
)

Series = tuple[str, frozenset[tuple[str, str]]]
Answer = VaultBalances | OrganizationBalance

HOSTILE = '\\\\"\n\r\t{}=,# \x00\x85\u2028é東🪙ab'
TEXTS = st.text(st.sampled_from(HOSTILE), min_size=1, max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=8) | st.floats(
    allow_nan=False, allow_infinity=False
).map(lambda number: Decimal(repr(number)))
AMOUNTS = NUMBERS.map(str)
FIELDS = [it.metric.source for it in vault_balances.BALANCES]
PARTS = ("spot", "staked", "pledged")
DESCRIPTIONS = vault_balances.ASSET_INFO.labels[2:]
# Few names, so that vaults share assets and describe them differently.
ROWS = st.fixed_dictionaries(
    {
        "asset": st.sampled_from(["BTC", "two\nlines"]) | TEXTS,
        "asset_class": st.sampled_from(["currency", 'a"b\\']),
    },
    optional={
        **dict.fromkeys(FIELDS, AMOUNTS),
        "quote_asset": st.none() | TEXTS,
        "name": st.none() | st.sampled_from(["old", "new"]) | TEXTS,
        "symbol": TEXTS,
        "virtual": st.booleans(),
        "reserve": st.booleans(),
        "decimals": st.integers(0, 99),
        "min_lot": AMOUNTS,
        "launch_time": AMOUNTS,
    },
).map(lambda row: dict.fromkeys(("balance", "spot", "hold", "available"), "0") | row)
VAULT_ANSWERS = st.lists(ROWS, max_size=4).map(lambda rows: read_vault(json.dumps(rows)))
ORGANIZATION_ANSWERS = st.fixed_dictionaries(
    {"total": AMOUNTS}, optional=dict.fromkeys(PARTS, AMOUNTS)
).map(lambda balance: read_organization(json.dumps({"balance": balance, "quote_asset": "EUR"})))
TARGETS = (
    vault_target('hot "1"', organization="a\\b"),
    vault_target("cold\\", id="VBBBBBBBBBBBBA", min_available={'"': Decimal("0.1")}),
    vault_target("", kind="organization", id="ABCD EFGH IJKL MNOP", organization="Zürich, {東京}"),
)
POLLS = st.lists(
    st.tuples(st.sampled_from(TARGETS[:2]), VAULT_ANSWERS)
    | st.tuples(st.just(TARGETS[2]), ORGANIZATION_ANSWERS),
    max_size=6,
)


def series(name: str, /, **labels: str) -> Series:
    return name, frozenset(labels.items())


def told(target: Any, answer: Answer) -> dict[Series, float]:
    """Return the series of an answer, derived from the catalogue only."""
    if isinstance(answer, OrganizationBalance):
        labels = {
            "org": target.organization,
            "org_id": target.id,
            "quote_asset": answer.quote_asset,
        }
        name = organization_balances.COMPONENT.name
        parts = {
            series(name, **labels, component=part): amount
            for part in PARTS
            if (amount := getattr(answer, part)) is not None
        }
        total = series(organization_balances.TOTAL.name, **labels)
        return {key: float(amount) for key, amount in {**parts, total: answer.total}.items()}
    found = {}
    for row in answer.rows:
        labels = {
            "org": target.organization,
            "vault": target.vault,
            "vault_id": target.id,
            "asset": row.asset,
            "asset_class": row.asset_class,
        }
        for it in vault_balances.BALANCES:
            amount = getattr(row, it.metric.source)
            quote = {"quote_asset": row.quote_asset or answer.quote_asset}
            if amount is not None:
                found[series(it.metric.name, **labels, **(quote if it.is_quote else {}))] = float(
                    amount
                )
    return found


def described(polls: Iterable[tuple[Any, Answer]]) -> dict[Series, float]:
    """Return the series of the assets that are held after `polls`."""
    held: dict[str, tuple[Asset, ...]] = {}
    appeared: dict[Asset, int] = {}
    for number, (target, answer) in enumerate(polls):
        if isinstance(answer, VaultBalances):
            before = held.get(target.id, ())
            held[target.id] = answer.assets
            appeared |= dict.fromkeys(set(held[target.id]).difference(before), number)
    latest: dict[tuple[str, str], Asset] = {}
    for asset in sorted(
        {asset for assets in held.values() for asset in assets}, key=appeared.__getitem__
    ):
        latest[asset.asset, asset.asset_class] = asset
    found = {}
    for asset in latest.values():
        key = {"asset": asset.asset, "asset_class": asset.asset_class}
        texts = {name: getattr(asset, name) for name in DESCRIPTIONS}
        labels = {name: "" if text is None else str(text) for name, text in texts.items()}
        labels |= {name: labels[name].lower() for name in ("virtual", "reserve")}
        found[series(vault_balances.ASSET_INFO.name, **key, **labels)] = 1.0
        if asset.min_lot is not None:
            found[series(vault_balances.ASSET_MIN_LOT.name, **key)] = float(asset.min_lot)
        if asset.launch_time is not None:
            found[series(vault_balances.ASSET_LAUNCH.name, **key)] = float(asset.launch_time)
    return found


def read_back(found: Iterable[Sample]) -> dict[Series, float]:
    """Return the balances, thresholds and assets of a page that was parsed; fail if a series is there twice."""
    by_series = [(series(sample.name, **sample.labels), sample.value) for sample in found]
    twice = [key for key, count in Counter(key for key, _ in by_series).items() if count > 1]
    assert twice == []
    return {
        key: value for key, value in by_series if not key[0].startswith("kraken_custody_target_")
    }


@given(POLLS)
def test_any_sequence_of_answers_reads_back_as_what_was_put_in(
    polls: list[tuple[Any, Answer]],
) -> None:
    store = make_store(*TARGETS)
    for target, answer in polls:
        put(store, target, answer)
    balances: dict[Series, float] = {}
    for target, answer in dict(polls).items():
        balances |= told(target, answer)
    threshold = series(
        vault_balances.MIN_AVAILABLE.name,
        org="acme",
        vault="cold\\",
        vault_id="VBBBBBBBBBBBBA",
        asset='"',
    )
    expected = {**balances, threshold: 0.1, **described(polls)}

    text = [sample for family in read_text(page(store)) for sample in family.samples]
    assert read_back(text) == expected
    openmetrics = page(store, Format.OPENMETRICS_1_0_0)
    families = read_openmetrics(openmetrics)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
    assert read_back([sample for family in families for sample in family.samples]) == expected
    assert store.series == len(balances)
