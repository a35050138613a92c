"""The shape of an answer shows its keys and the kinds of their values, and nothing else."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.custody.document import parse_json
from exporter.custody.shape import KNOWN_KEYS, OTHER_KEY, shape_of
from exporter.resources.organization_balances import OrganizationBalance
from exporter.resources.vault_balances import AssetBalance

KINDS = {
    "decimal text",
    "other text",
    "number",
    "flag",
    "null",
    "object",
    *(f"array with {count}" for count in ("none", "one", "few", "many")),
}


def shape(document: Any) -> tuple[str, ...]:
    return shape_of(parse_json(json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1.50", "decimal text"),
        ("-1e-8", "decimal text"),
        ("1795262400", "decimal text"),
        ("", "other text"),
        ("BTC", "other text"),
        ("1.5 BTC", "other text"),
        ("NaN", "other text"),
        (1, "number"),
        (1.5, "number"),
        (float("nan"), "number"),
        (True, "flag"),
        (False, "flag"),
        (None, "null"),
        ({}, "object"),
        ([], "array with none"),
    ],
)
def test_a_value_is_of_one_kind(value: Any, kind: str) -> None:
    assert shape(value) == (f".: {kind}",)


@pytest.mark.parametrize(
    ("length", "count"), [(1, "one"), (2, "few"), (9, "few"), (10, "many"), (5000, "many")]
)
def test_the_length_of_an_array_is_one_of_four_words(length: int, count: str) -> None:
    assert shape([None] * length)[0] == f".: array with {count}"


def test_a_shape_lists_every_place_and_all_rows_as_one() -> None:
    rows = [
        {"asset": "BTC", "balance": "1.5", "quote_price": "60000", "virtual": True},
        {"asset": "USD", "balance": "0", "quote_price": None, "ABCDEF": 1, "new_field": []},
    ]
    assert shape({"result": rows, "quote_asset": "USD", "total": 2}) == (
        ".: object",
        ".result: array with few",
        ".result[]: object",
        ".result[].asset: other text",
        ".result[].balance: decimal text",
        ".result[].quote_price: decimal text or null",
        ".result[].virtual: flag, not everywhere",
        '.result[]."other key": number, not everywhere',
        ".result[].new_field: array with none, not everywhere",
        ".quote_asset: other text",
        ".total: number",
    )


def test_a_bare_array_has_a_shape_too() -> None:
    assert shape([[{"asset": 1}]]) == (
        ".: array with one",
        ".[]: array with one",
        ".[][]: object",
        ".[][].asset: number",
    )


@pytest.mark.parametrize(
    "key",
    [
        "VABCDEF234567A",
        "ABCD EFGH IJKL MNOP",
        "abcd efgh",
        "vabcdef234567a",
        "Alice",
        "alice@example.org",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        "a-b",
        "_private",
        "key\n",
        "",
        "é",
        "a" * 41,
    ],
)
def test_a_key_that_may_be_data_is_not_shown(key: str) -> None:
    assert shape({key: 1}) == (".: object", '."other key": number')


def test_a_key_that_is_private_is_not_shown_unless_it_is_documented() -> None:
    document = {"cold": 1, "balance": 2, "fresh": 3}
    assert shape_of(document, {"cold", "balance"}.__contains__) == (
        ".: object",
        '."other key": number',
        ".balance: number",
        ".fresh: number",
    )


def test_many_undocumented_keys_of_an_object_are_data() -> None:
    names = {f"{chr(97 + number)}lice": "1" for number in range(21)}
    assert shape(names) == (".: object", '."other key": decimal text')
    assert len(shape(dict(list(names.items())[:20]))) == 21


def test_many_undocumented_keys_of_many_objects_are_bounded() -> None:
    rows = [{f"x{chr(97 + one)}{chr(97 + two)}": 1} for one in range(9) for two in range(9)]
    assert len(shape(rows)) == 2 + 20 + 1


def test_every_field_that_is_read_is_a_known_key() -> None:
    fields = {*AssetBalance.__struct_fields__, *OrganizationBalance.__struct_fields__}
    assert fields - KNOWN_KEYS == {"invalid_fields"}


def test_a_shape_is_never_long() -> None:
    nested: Any = 1
    for _ in range(500):
        nested = {"result": nested}
    assert len(shape_of(nested)) == 13
    broad: Any = 1
    for _ in range(4):
        broad = {f"{'a' * number}": broad for number in range(1, 15)}
    assert len(shape_of(broad)) == 201


def test_only_the_first_five_thousand_values_are_looked_at() -> None:
    assert shape_of([None] * 4_998 + ["x"])[-1] == ".[]: null or other text"
    assert shape_of([None] * 4_999 + ["x"])[-1] == ".[]: null"
    assert shape_of([["x"] * 10] * 1_000_000)[-1] == ".[][]: other text"


class _Counted(dict[str, object]):
    """An object that counts the keys that are looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            self.looked_at += 1
            yield key


def test_only_the_first_keys_of_an_object_are_examined() -> None:
    counted = _Counted({f"{number:07}": b"1" for number in range(70_000)})
    assert shape_of([counted]) == (
        ".: array with one",
        ".[]: object",
        '.[]."other key": number',
    )
    assert counted.looked_at == 4_998


ID_LIKE = st.from_regex(r"V[A-Z2-7]{12}[ACEGIKMOQSUWY246]", fullmatch=True) | st.from_regex(
    r"[A-Z]{4}( ?[A-Z0-9]{4}){3}", fullmatch=True
)
KEYS = st.sampled_from(sorted(KNOWN_KEYS)) | ID_LIKE | st.text() | st.from_regex(r"[a-z_]{1,50}")
SECRET = "Zx9Secret"
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals(allow_nan=False).map(str)
    | ID_LIKE
    | st.text()
    | st.sampled_from(sorted(KNOWN_KEYS))
    | st.sampled_from([SECRET, f"{SECRET}: object\n.x: number", '"other key"'])
)
DOCUMENTS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=40,
)
STEP = r'(?:\.(?:[a-z][a-z_]{0,39}|"other key"|[A-Za-z0-9_]+)|\[\])'
LINE = re.compile(
    rf"(?P<place>\.|\.\[\]|(?:\.(?=\[))?{STEP}+): (?P<kinds>.+?)(?P<note>, not everywhere)?"
)


def keys_of(document: Any) -> set[str]:
    match document:
        case dict():
            return set(document).union(*map(keys_of, document.values()))
        case list():
            return set().union(*map(keys_of, document))
    return set()


@given(DOCUMENTS)
@example({"result": [{"asset": SECRET}], SECRET: {SECRET: [SECRET]}})
def test_nothing_of_a_hostile_answer_leaks(document: Any) -> None:
    """Each line has only our own words, and keys that may be shown."""
    for line in shape(document):
        found = LINE.fullmatch(line)
        assert found, line
        assert set(found["kinds"].split(" or ")) <= KINDS
        for step in re.findall(r'[A-Za-z_][\w]*|"other key"', found["place"]):
            assert (
                step == f'"{OTHER_KEY}"'
                or step in KNOWN_KEYS
                or (re.fullmatch("[a-z][a-z_]{0,39}", step) and step in keys_of(document))
            )
        assert SECRET not in line


@given(DOCUMENTS, st.data())
def test_what_the_values_are_changes_nothing_of_a_shape(document: Any, data: st.DataObject) -> None:
    """Values that differ within their kinds have the same shape."""

    def changed(value: Any) -> Any:
        match value:
            case dict():
                return {key: changed(member) for key, member in value.items()}
            case list():
                copies = [changed(element) for element in value]
                return copies if len(copies) < 2 or len(copies) == 9 else [*copies, copies[-1]]
            case bool() | None:
                return value
            case int() | float():
                return data.draw(st.integers())
            case str():
                is_decimal = re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", value)
                return "17" if is_decimal else data.draw(st.just("x") | st.just(SECRET))
        raise AssertionError(value)

    assert shape(changed(document)) == shape(document)
