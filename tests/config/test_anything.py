"""Whatever a configuration contains, the result is settings or a list of mistakes, never a crash."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli import CONFIG_EXAMPLE
from exporter.config import (
    Api,
    ConfigError,
    CredentialSettings,
    OrganizationSettings,
    Polling,
    RateLimit,
    Settings,
    VaultSettings,
    parse,
)
from exporter.strict_yaml.validation import keys_of
from tests.config.documents import ENVIRON, FILES, write_secrets

EXAMPLE = CONFIG_EXAMPLE.read_text()
MODELS = (
    Settings,
    Api,
    RateLimit,
    Polling,
    CredentialSettings,
    OrganizationSettings,
    VaultSettings,
)
KEYS = sorted({key for model in MODELS for key in keys_of(model)} | {"treasury", "<<"})
VALUES = ["30s", "key", "secret", "KEY", "VABCDEF234567A", "ABCD EFGH IJKL MNOP", "treasury", "/"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.binary(max_size=5)
    | st.text(max_size=20)
    | st.sampled_from(VALUES)
)
keys = st.sampled_from(KEYS) | st.text(max_size=5) | st.integers() | st.booleans() | st.none()
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=30,
)
Steps = list[str | int]


def steps_in(tree: object, at: Steps) -> list[Steps]:
    """List the ways to each value below a document's top."""
    children: list[tuple[Any, object]] = []
    if isinstance(tree, dict):
        children = list(tree.items())
    if isinstance(tree, list):
        children = list(enumerate(tree))
    return [
        steps for step, child in children for steps in ([*at, step], *steps_in(child, [*at, step]))
    ]


PLACES = steps_in(yaml.safe_load(EXAMPLE), [])


@pytest.fixture(scope="module")
def accepts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    directory = tmp_path_factory.mktemp("anything")
    write_secrets(directory)
    (directory / "secrets").mkdir()
    (directory / "secrets" / "api-key").write_text(FILES["key"])
    (directory / "secrets" / "api-secret").write_text(FILES["secret"])

    def parses(text: str) -> bool:
        told, mistakes = "", 0
        try:
            parse(text, directory=directory, environ=ENVIRON)
        except ConfigError as error:
            told, mistakes = str(error), len(error.mistakes) + bool(error.more)
        assert len(told.splitlines()) == mistakes
        assert not re.search("msgspec|MARKER", told)
        return not mistakes

    return parses


def test_the_example_is_accepted(accepts: Callable[[str], bool]) -> None:
    assert accepts(EXAMPLE)


@given(tree=st.dictionaries(keys, trees, max_size=5) | trees)
def test_any_document_is_settings_or_mistakes(accepts: Callable[[str], bool], tree: object) -> None:
    accepts(yaml.safe_dump(tree))


@given(data=st.data())
def test_the_example_with_anything_anywhere_is_settings_or_mistakes(
    accepts: Callable[[str], bool], data: st.DataObject
) -> None:
    document: Any = yaml.safe_load(EXAMPLE)
    last: Any
    *parents, last = data.draw(st.sampled_from(PLACES), label="place")
    parent = document
    for step in parents:
        parent = parent[step]
    if isinstance(parent, dict) and data.draw(st.booleans(), label="new key"):
        last = data.draw(keys, label="key")
    parent[last] = data.draw(trees, label="value")
    accepts(yaml.safe_dump(document))


@given(
    start=st.integers(0, len(EXAMPLE)),
    length=st.integers(0, 40),
    written=st.text(max_size=10)
    | st.sampled_from(["\t", "- ", ": ", "{", "*a", "&a ", "!a ", "'"]),
)
def test_the_example_with_any_text_anywhere_is_settings_or_mistakes(
    accepts: Callable[[str], bool], start: int, length: int, written: str
) -> None:
    accepts(EXAMPLE[:start] + written + EXAMPLE[start + length :])


@given(text=st.text())
def test_any_text_is_settings_or_mistakes(accepts: Callable[[str], bool], text: str) -> None:
    accepts(text)
