"""The body of an answer as JSON: numbers as they are written, within bounds, and nothing but a ValueError otherwise."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.custody.document import (
    MOST_VALUES,
    InvalidAnswerError,
    TooManyRowsError,
    TooManyValuesError,
    parse_json,
)

MIB = 1024 * 1024
HOSTILE = {
    "ones": lambda: b"[" + b"1," * (4 * MIB // 2 - 2) + b"1]",
    "objects": lambda: b"[" + b"{}," * (4 * MIB // 3 - 2) + b"{}]",
    "a member of ones": lambda: b'{"x":[' + b"1," * (4 * MIB // 2 - 8) + b"1]}",
    "a problem's data": lambda: (
        b'{"type":"tag:kraken.com,2025:Unknown","data":[' + b"[]," * MIB + b"1]}"
    ),
    "keys": lambda: b"{" + b",".join(b'"%06d":1' % number for number in range(300_000)) + b"}",
    "one key": lambda: b"[{" + b'"a":1,' * (4 * MIB // 6 - 2) + b'"a":1}]',
    "rows": lambda: b"[" + b'{"asset":"A"},' * (4 * MIB // 14 - 1) + b"1]",
}


@pytest.mark.parametrize("made", HOSTILE.values(), ids=HOSTILE.keys())
def test_json_of_more_values_than_any_answer_has_is_not_decoded(
    made: Callable[[], bytes],
) -> None:
    body = made()
    assert len(body) <= 4 * MIB
    with pytest.raises(TooManyValuesError, match="has more than 75000 values"):
        parse_json(body)


def test_as_many_values_as_are_allowed_are_decoded() -> None:
    body = b"[" + b'"abc",' * (MOST_VALUES - 1) + b"1]"
    assert parse_json(body) == ["abc"] * (MOST_VALUES - 1) + [b"1"]
    with pytest.raises(TooManyValuesError):
        parse_json(body.replace(b"1]", b"1,1]"))


def test_a_number_is_kept_as_it_is_written() -> None:
    assert parse_json(b'[1.50, -0, 1E5, NaN, -Infinity, {"a": 7}]') == [
        b"1.50",
        b"-0",
        b"1E5",
        b"NaN",
        b"-Infinity",
        {"a": b"7"},
    ]


@given(
    body=st.binary()
    | st.text().map(str.encode)
    | st.text('[]{},:"0-9eE.+NaInfity \\u').map(str.encode)
)
def test_any_bytes_are_a_value_or_a_value_error(body: bytes) -> None:
    try:
        parse_json(body)
    except ValueError:
        return
    json.loads(body)  # what was accepted is JSON to Python too


def test_an_answer_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        parse_json(b"[" * 60_000)


def test_an_answer_of_another_form_is_invalid_and_one_of_too_many_rows_too_large() -> None:
    assert (InvalidAnswerError.type, TooManyRowsError.type) == (
        "response/invalid",
        "response/too_large",
    )
