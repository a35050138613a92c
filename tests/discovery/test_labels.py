"""A find's label is its name, unless another has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.discovery.known import Found
from exporter.discovery.labels import labels_of
from exporter.turns import at_once
from tests.discovery.finds import found

A, B, C = "VAAAAAAAAAAAAA", "VBBBBBBBBBBBBA", "VCCCCCCCCCCCCA"
LONG = "long " * 100


def labels(
    *finds: Found, taken: tuple[str, ...] = (), ids: tuple[str, ...] = (A, B, C)
) -> dict[str, str]:
    return at_once(labels_of(finds, taken, ids))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("hot", "hot"),
        ("", A),
        (A, A),
        ('with "quotes"', 'with "quotes"'),
        ("two\nlines", "two\nlines"),
        (LONG, LONG),
        ("<b>bold</b>", "<b>bold</b>"),
    ],
)
def test_a_find_is_labelled_with_its_unchanged_name_or_else_its_id(name: str, label: str) -> None:
    assert labels(found(A, name)) == {A: label}


@pytest.mark.parametrize(
    ("taken", "label"),
    [
        (("hot",), f"hot ({A})"),
        (("hot", f"hot ({A})"), A),
        (("hot", f"hot ({A})", A), f"{A} ({A})"),
        (("hot", f"hot ({A})", A, f"{A} ({A})"), f"{A} ({A}) ({A})"),
        (("Hot",), "hot"),
    ],
)
def test_a_label_of_the_configuration_is_never_a_finds(taken: tuple[str, ...], label: str) -> None:
    assert labels(found(A, "hot"), taken=taken) == {A: label}


def test_a_shared_name_is_the_label_of_the_find_that_has_had_it_longest() -> None:
    assert labels(found(A, "hot", named_at=2.0), found(B, "hot", named_at=1.0)) == {
        A: f"hot ({A})",
        B: "hot",
    }


def test_a_name_shared_from_the_start_is_the_label_of_the_first_find_by_id() -> None:
    assert labels(found(B, "hot"), found(A, "hot")) == {A: "hot", B: f"hot ({B})"}


def test_no_label_is_the_id_of_something_else() -> None:
    assert labels(found(A, B), found(B)) == {A: f"{B} ({A})", B: B}
    assert labels(found(A, C)) == {A: f"{C} ({A})"}


def test_a_name_that_looks_like_anothers_second_choice_leaves_that_one_its_id() -> None:
    assert labels(found(A, f"hot ({B})"), found(B, "hot", named_at=1.0), taken=("hot",)) == {
        A: f"hot ({B})",
        B: B,
    }


def test_others_may_come_between_a_thousand_labels() -> None:
    finds = [found(f"V{number:012}A", f"name {number}") for number in range(2_001)]
    assert sum(1 for _ in labels_of(finds, (), ())) == 3


names = st.text(alphabet='ab ()"\n\\' + A, max_size=8) | st.sampled_from([A, B, C, f"a ({A})"])


@given(st.tuples(names, names, names), st.lists(names, unique=True), st.permutations((0, 1, 2)))
def test_labels_are_distinct_and_do_not_depend_on_the_order_of_the_list(
    named: tuple[str, str, str], taken: list[str], order: list[int]
) -> None:
    rows = [found(id_, name) for id_, name in zip((A, B, C), named, strict=True)]
    given_labels = labels(*rows, taken=tuple(taken))
    assert given_labels == labels(*[rows[place] for place in order], taken=tuple(taken))
    values = list(given_labels.values())
    assert len({*values, *taken}) == 3 + len(taken)
    assert all(values)
    assert all(given_labels[id_] not in {A, B, C} - {id_} for id_ in given_labels)
