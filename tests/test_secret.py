"""A secret is compared like its value, and never shown or written down."""

import copy
import json
import pickle
from collections.abc import Callable

import msgspec
import pytest

from exporter.secret import Secret

SECRETS = [Secret("MARKER"), Secret(b"MARKER"), Secret({"MARKER": "MARKER"})]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("show", [str, repr, format, "{!r:>20}".format, lambda it: f"{[it]}"])
def test_a_secret_is_shown_as_asterisks(
    secret: Secret[object], show: Callable[[object], str]
) -> None:
    assert "**********" in show(secret)
    assert "MARKER" not in show(secret)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("write", [pickle.dumps, copy.copy, json.dumps, msgspec.json.encode])
def test_a_secret_is_not_serialised(
    secret: Secret[object], write: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError) as caught:
        write(secret)
    assert "MARKER" not in str(caught.value)


def test_a_deep_copy_of_what_holds_a_secret_holds_the_same_one() -> None:
    assert copy.deepcopy(SECRETS)[0] is SECRETS[0]


def test_secrets_are_equal_if_their_values_are() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert {Secret("a"): 1}[Secret("a")] == 1
    assert Secret("a").get_secret_value() == "a"
