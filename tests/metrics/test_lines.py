"""Sample lines: how labels and values are written, and in which order and pieces they are exposed."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.metrics.lines import Page, Snapshot, count_series, label_set, sample_values
from exporter.metrics.metric import Metric

HELD = Metric("held", "gauge", "What is held.", ("org", "asset"), "units", "balance")
PRICE = Metric("price", "gauge", "What one is worth.", (), "quote", "price")
RATE = Metric("rate", "gauge", "Never there.", (), "quote", "rate")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ('say "it"', r"say \"it\""),
        ("back\\slash", r"back\\slash"),
        ("two\nlines", r"two\nlines"),
        ('\\"\n', r"\\\"\n"),
        ("Zürich €", "Zürich €"),
        ("", ""),
    ],
)
def test_a_label_value_is_escaped_as_both_formats_want_it(value: str, written: str) -> None:
    assert label_set(("a", "b"), (value, "2")) == f'a="{written}",b="2"'


def test_label_names_without_values_are_an_error() -> None:
    assert label_set((), ()) == ""
    with pytest.raises(ValueError, match="shorter"):
        label_set(("a", "b"), ("1",))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("0.1"), "0.1"),
        (Decimal("12345678901234567890.5"), "1.2345678901234567e+19"),
        (1, "1.0"),
        (0.0, "0.0"),
        (Decimal("-1E-7"), "-1e-07"),
    ],
)
def test_a_value_is_written_as_the_nearest_float(value: Decimal | float, written: str) -> None:
    page = Page()
    page.sample(HELD, ("acme", "BTC"), value)
    assert page.done() == {"held": f'held{{org="acme",asset="BTC"}} {written}\n'.encode()}


def test_an_absent_value_has_no_line_and_no_name() -> None:
    page = Page()
    page.sample(HELD, ("acme", "BTC"), None)
    page.labelled(PRICE, ("pair",), ("BTC/USD",), None)
    assert page.done() == {}


def test_lines_stand_under_their_metric_in_the_order_in_which_they_came() -> None:
    page = Page()
    page.sample(HELD, ("acme", "BTC"), 1)
    page.labelled(PRICE, ("pair",), ("BTC/USD",), 2)
    page.sample(HELD, ("beta", "ETH"), 3)
    lines = page.done()
    assert lines == {
        "held": b'held{org="acme",asset="BTC"} 1.0\nheld{org="beta",asset="ETH"} 3.0\n',
        "price": b'price{pair="BTC/USD"} 2.0\n',
    }
    assert count_series(lines) == 3
    assert count_series({}) == 0


def test_families_come_in_the_order_of_the_parts_each_whole_and_none_without_lines() -> None:
    one, other = {"held": b"held 1\n", "price": b"price 1\n"}, {"held": b"held 2\n"}
    snapshot = Snapshot((((RATE, PRICE), (one, other)), ((HELD,), (one, other)), ((RATE,), ())))
    assert [(metric, [*lines]) for metric, lines in snapshot.families()] == [
        (PRICE, [b"price 1\n"]),
        (HELD, [b"held 1\n", b"held 2\n"]),
    ]


def test_lines_are_made_when_it_is_their_turn() -> None:
    made = []

    class Late(dict[str, bytes]):
        def get(self, name: str, default: Any = None) -> Any:
            made.append(name)
            return super().get(name, default)

    page = Late(held=b"held 1\n", price=b"price 1\n")
    families = Snapshot((((HELD, PRICE), (page, page)),)).families()
    metric, lines = next(families)
    assert (metric, made) == (HELD, ["held"])
    assert [*lines] == [b"held 1\n"] * 2
    assert made == ["held", "held"]


@given(
    st.lists(
        st.decimals(allow_nan=False, allow_infinity=False).map(str)
        | st.floats(allow_nan=False, allow_infinity=False).map(repr)
        | st.from_regex(r"[+-]?[0-9]{1,60}(\.[0-9]{0,60})?", fullmatch=True)
    )
)
@example([])
@example(["0.00001"])
@example(["0.00001234", "0.0001", "1000000000000000", "10000000000000000", "-0", "5.00000"])
def test_values_of_samples_are_written_as_python_writes_floats(amounts: list[str]) -> None:
    floats = [float(amount) for amount in amounts if math.isfinite(float(amount))]
    first, other, alone = sample_values([[None, *floats], [*floats, None], [None]])
    values = [repr(number) for number in floats]
    assert first.split(",") == ["null", *values]
    assert other.split(",") == [*values, "null"]
    assert alone == "null"
