"""The difference of two configurations, which a reload applies."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from exporter.config import RateLimit, parse
from exporter.polling.difference import CredentialChange, Difference, Loaded, difference_of
from exporter.polling.plan import plan_of
from exporter.resources.target import Target, TargetChange, changes_between

Document = dict[str, Any]
Change = Callable[[Document], object]

ENVIRON = {
    **{f"KEY_{name}": f"key-{name}" for name in "ABC"},
    **{f"SECRET_{name}": base64.b64encode(name.encode()).decode() for name in "ABC"},
}
ONE, TWO = CredentialChange("one", "one"), CredentialChange("two", "two")
OWN_LIMIT = {"requests": 10, "window": "10s"}


def source(key: str, secret: str = "") -> Document:
    return {"api_key_env": f"KEY_{key}", "api_secret_env": f"SECRET_{secret or key}"}


def before() -> Document:
    return {
        "api": {"timeout": "10s"},
        "credentials": {"one": source("A"), "two": source("B")},
        "organizations": [
            {
                "id": "AAAA BBBB CCCC DDDD",
                "name": "acme",
                "credentials": "one",
                "vaults": [{"id": "VABCDEF234567A", "name": "hot"}],
            },
            {"id": "EEEE FFFF GGGG HHHH", "name": "other", "credentials": "two"},
        ],
    }


def loaded(*changes: Change) -> Loaded:
    document = before()
    for change in changes:
        change(document)
    settings = parse(yaml.safe_dump(document), directory=Path(), environ=ENVIRON)
    secrets = {name: it.read() for name, it in settings.credentials.items()}
    return Loaded(settings, plan_of(settings), secrets)


def difference(*changes: Change) -> Difference:
    return difference_of(loaded(), loaded(*changes))


def put(value: object, *path: Any) -> Change:
    """Return a change that sets the value at a path of the document."""

    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


def rename_one(document: Document) -> None:
    document["credentials"]["new"] = document["credentials"].pop("one")
    document["organizations"][0]["credentials"] = "new"


def pass_the_name_on(document: Document) -> None:
    """Give the name of a credential to a new key, and its key another name."""
    document["credentials"] |= {"retired": source("B"), "two": source("C")}
    document["organizations"][1]["credentials"] = "retired"
    document["organizations"].append({"id": "IIII JJJJ KKKK LLLL", "credentials": "two"})


def remove_two(document: Document) -> None:
    del document["credentials"]["two"], document["organizations"][1]


OLD: tuple[Target, ...] = loaded().plan.targets
TOTAL, HOT, OTHER = OLD


@pytest.mark.parametrize(
    ("changes", "expected", "gone"),
    [
        ((), [], []),
        (
            (put("warm", "organizations", 0, "vaults", 0, "name"),),
            [TargetChange(replace(HOT, vault="warm"), HOT)],
            [],
        ),
        ((put([], "organizations", 0, "vaults"),), [], [HOT]),
        (
            (put([{"id": "VBBBBBBBBBBBBA", "name": "new"}], "organizations", 1, "vaults"),),
            [
                TargetChange(
                    replace(
                        HOT,
                        id="VBBBBBBBBBBBBA",
                        vault="new",
                        organization=OTHER.organization,
                        credential=OTHER.credential,
                    )
                )
            ],
            [],
        ),
        ((lambda document: document["organizations"].reverse(),), [], []),
    ],
    ids=["nothing changes", "one is renamed", "one leaves", "one comes", "the order changes"],
)
def test_a_target_is_the_same_resource_whatever_it_is_called(
    changes: tuple[Change, ...], expected: list[TargetChange], gone: list[Target]
) -> None:
    assert changes_between(OLD, loaded(*changes).plan.targets) == (expected, gone)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), {ONE, TWO}),
        # Its secrets.
        (
            (put(source("A", "C"), "credentials", "one"),),
            {ONE._replace(is_renewed=True), TWO},
        ),
        (
            (put(source("C"), "credentials", "one"),),
            {ONE._replace(is_renewed=True, is_another_key=True), TWO},
        ),
        # Its name.
        ((rename_one,), {CredentialChange("new", "one"), TWO}),
        (
            (pass_the_name_on,),
            {ONE, CredentialChange("retired", "two"), CredentialChange("two", is_renewed=True)},
        ),
        ((remove_two,), {ONE}),
        (
            (put(source("B"), "credentials", "one"), put(source("A"), "credentials", "two")),
            {CredentialChange("one", "two"), CredentialChange("two", "one")},
        ),
        # The way to the API.
        (
            (put("11s", "api", "timeout"),),
            {ONE._replace(is_renewed=True), TWO._replace(is_renewed=True)},
        ),
        (
            (put("http://127.0.0.1", "api", "base_url"),),
            {ONE._replace(is_renewed=True), TWO._replace(is_renewed=True)},
        ),
        (
            (put("compact", "api", "organization_id_format"),),
            {ONE._replace(is_renewed=True), TWO._replace(is_renewed=True)},
        ),
        # Changes of others only.
        ((put("1h", "organizations", 0, "interval"),), {ONE, TWO}),
        ((put(OWN_LIMIT, "api", "rate_limit"),), {ONE, TWO}),
        # Its own limit.
        (
            (put(OWN_LIMIT, "credentials", "one", "rate_limit"),),
            {ONE._replace(has_another_limit=True), TWO},
        ),
    ],
)
def test_a_credential_is_the_same_key_or_else_the_same_name(
    changes: tuple[Change, ...], expected: set[CredentialChange]
) -> None:
    found = difference(*changes).credentials
    assert set(found) == expected
    assert tuple(change.new for change in found) == tuple(loaded(*changes).secrets)


def test_only_another_limit_for_all_is_one() -> None:
    assert difference().rate_limit is None
    assert difference(put(OWN_LIMIT, "credentials", "one", "rate_limit")).rate_limit is None
    changed = difference(put(OWN_LIMIT, "api", "rate_limit"))
    assert changed.rate_limit == RateLimit(requests=10, window=10.0)


def test_secrets_that_were_read_again_since_are_those_that_new_ones_are_compared_with() -> None:
    new = loaded(put(source("A", "C"), "credentials", "one"))
    known = loaded()._replace(secrets=new.secrets)
    assert set(difference_of(known, new).credentials) == {ONE, TWO}
