"""Whitelists: what is counted, what was added, and that nothing personal is exposed."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.custody.document import InvalidAnswerError, TooManyRowsError, parse_json
from exporter.discovery.inventory import Inventory, Organization, Vault
from exporter.resources.fields import InvalidRow
from exporter.resources.resource import MakeRequest
from exporter.resources.target import Target
from exporter.resources.whitelist import WHITELIST, Asset, Whitelist
from exporter.simulator.approvals import MARKER
from exporter.turns import at_once
from tests.resources.answers import EXPECTED, exposed, lines_of, make_store, page, put

TARGET = Target("whitelist", "VABCDEF234567A", "acme", "hot", 3600.0, "treasury")


def address(number: int, asset: str | None = "BTC", **fields: Any) -> dict[str, Any]:
    return {
        "asset": asset,
        "asset_class": "currency",
        "address": f"{MARKER} address {number}",
        "address_name": f"{MARKER} wallet",
        "tag": None,
        "description": MARKER,
        "beneficiary": {"full_name": f"{MARKER} Jo Doe"},
    } | fields


def whitelist(document: object, ask: MakeRequest | None = None) -> Whitelist:
    request = (ask or WHITELIST.requester())(TARGET)
    read = at_once(request.read(parse_json(json.dumps(document).encode())))
    assert isinstance(read, Whitelist)
    return read


def readings(*documents: object) -> list[int]:
    """Return the additions after each of these readings."""
    ask = WHITELIST.requester()
    return [whitelist(document, ask).additions for document in documents]


def test_a_whitelist_is_exposed_as_documented() -> None:
    ask, store = WHITELIST.requester(), make_store(TARGET)
    whitelist([address(1), address(2, "SOL")], ask)
    put(store, TARGET, whitelist([address(1), address(3), address(4, "ETH")], ask))
    assert page(store) == (EXPECTED / "whitelist.prom").read_text()


@pytest.mark.parametrize(
    "envelope",
    [lambda rows: rows, lambda rows: {"result": rows}, lambda rows: {"addresses": rows}],
)
def test_a_whitelist_is_read_from_every_revision(
    envelope: Callable[[list[object]], object],
) -> None:
    read = whitelist(envelope([address(1), address(2), address(3, "ETH")]))
    assert read.counts == {Asset("BTC", "currency"): 2, Asset("ETH", "currency"): 1}


@pytest.mark.parametrize("document", [{}, {"result": {}}, "x", 5, None, {"vaults": []}])
def test_anything_but_a_whitelist_is_an_invalid_answer(document: object) -> None:
    with pytest.raises(InvalidAnswerError, match="neither an array of addresses nor"):
        whitelist(document)


def test_a_whitelist_with_too_many_rows_is_too_large() -> None:
    with pytest.raises(TooManyRowsError, match="has 8001 rows, more than 8000"):
        whitelist([{}] * 8_001)


def test_others_may_come_between_a_hundred_addresses() -> None:
    rows = [address(number, f"A{number}") for number in range(201)]
    assert sum(1 for _ in WHITELIST.requester()(TARGET).read(rows)) == 3
    assert sum(1 for _ in whitelist(rows).lines(TARGET)) == 3


def test_a_whitelist_is_requested_by_its_vault_and_is_personal() -> None:
    asked = WHITELIST.requester()(TARGET)
    assert (asked.endpoint, asked.tag) == ("whitelist_addresses", TARGET.key)
    assert (asked.path, asked.id, asked.query) == (
        "vaults/{id}/whitelist/addresses",
        "VABCDEF234567A",
        "",
    )
    assert (asked.is_signed, asked.is_personal) == (True, True)


def test_each_vault_whose_whitelist_is_collected_is_a_target_once_an_hour() -> None:
    hot = Vault(TARGET.id, "hot", 30.0, "treasury")
    cold = Vault("VBBBBBBBBBBBBA", "cold", 60.0, "other", is_configured=False)
    acme, beta = (
        Organization(id_, label, 60.0, "treasury", (hot, cold), collect=collect)
        for id_, label, collect in (
            ("ABCD EFGH IJKL MNOP", "acme", ("balances", "whitelist")),
            ("BBBB BBBB BBBB BBBB", "beta", ("balances",)),
        )
    )
    assert tuple(WHITELIST.targets(Inventory((beta, acme)))) == (
        TARGET,
        Target("whitelist", cold.id, "acme", "cold", 3600.0, "other", is_found=True),
    )
    assert WHITELIST.name(TARGET) == "hot (whitelist)"


def test_an_empty_whitelist_is_valid() -> None:
    labels = 'org="acme",vault="hot",vault_id="VABCDEF234567A"'
    name = "kraken_custody_vault_whitelist_additions_total"
    assert lines_of(TARGET, whitelist([])) == {name: f"{name}{{{labels}}} 0.0\n".encode()}


ONE, TWO, THREE = address(1), address(2), address(3)


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ([], [ONE], 1),
        ([ONE], [ONE], 0),
        ([ONE, TWO], [TWO, ONE], 0),
        ([ONE, TWO], [ONE], 0),
        ([ONE], [TWO], 1),
        ([ONE], [ONE, TWO, THREE], 2),
        ([ONE], [address(1, tag="7")], 1),
        ([ONE], [address(1, "ETH")], 1),
        ([ONE], [address(1, asset_class="tokenized_asset")], 1),
        ([ONE], [address(1, description="other words", address_name="other")], 0),
    ],
)
def test_a_new_address_counts_as_an_addition(
    before: list[object], after: list[object], added: int
) -> None:
    assert readings(before, after, after) == [0, added, added]


def test_an_unreadable_address_is_no_addition_once_it_is_readable_again() -> None:
    unreadable = address(2, address=None)
    assert readings([ONE, TWO], [ONE, unreadable], [ONE, TWO], [ONE], [ONE, TWO]) == [0, 0, 0, 0, 1]


def test_each_vault_is_compared_with_itself() -> None:
    ask = WHITELIST.requester()
    whitelist([ONE], ask)
    other = ask(replace(TARGET, id="VBBBBBBBBBBBBA"))
    read = at_once(other.read([TWO]))
    assert isinstance(read, Whitelist)
    assert read.additions == 0


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ("text", "", "is not an object"),
        (address(1, asset=None), "asset", "is not a text"),
        (address(1, address=7), "address", "is not a text"),
        (address(1, tag=7), "tag", "is not a text"),
    ],
)
def test_an_unreadable_address_is_left_out_and_reported_without_its_content(
    row: object, field: str, problem: str
) -> None:
    answer = exposed(TARGET, whitelist([TWO, row]))
    assert (answer.rows, answer.rejected) == (2, (InvalidRow(1, field, problem),))
    with pytest.raises(InvalidAnswerError, match=f"has no address that can be read: {field} "):
        whitelist([row])


def test_a_renamed_vault_keeps_its_counts() -> None:
    kept = exposed(TARGET, whitelist([ONE])).kept
    lines = at_once(kept.lines(replace(TARGET, vault="warm"), ()))
    assert all(b'vault="warm"' in text for text in lines.values())


ANYTHING = st.recursive(
    st.sampled_from([MARKER, f"{MARKER}@example.com", None, True, 7]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(MARKER), inner),
    max_leaves=5,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "asset": st.sampled_from(["BTC", "ETH", None, 7]),
                "asset_class": st.sampled_from(["currency", None]),
            }
            | dict.fromkeys(
                ("address", "address_name", "tag", "description", "beneficiary", MARKER), ANYTHING
            ),
        ),
        max_size=4,
    )
)
def test_nothing_personal_leaves_the_parser(rows: list[dict[str, Any]]) -> None:
    read = whitelist({"result": [*rows, ONE], MARKER: MARKER})
    assert MARKER not in repr(read)
    assert MARKER not in repr(exposed(TARGET, read))
