"""Keys and shapes: a message says what was meant or expected, and never invites anyone to write a secret there."""

from pathlib import Path

import pytest

from exporter.strict_yaml.mistakes import MOST_MISTAKES
from exporter.strict_yaml.validation import Model
from tests.config.documents import document, mistakes


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        (
            {"api": "rate_limit: {windo: 1s}"},
            "api.rate_limit.windo: unknown key; did you mean 'window'?",
        ),
        ({"polling": "intervall: 1s"}, "polling.intervall: unknown key; did you mean 'interval'?"),
        (
            {"polling": "zzz: 1s"},
            "polling.zzz: unknown key; known here: interval, stale_after, max_series",
        ),
        (
            {"treasury": "rate_limit: {shares: 1}"},
            (
                "credentials.treasury.rate_limit.shares: unknown key (secrets come from files or the "
                "environment, never from this file); did you mean 'share'?"
            ),
        ),
        (
            {"organization": "intervl: 1s"},
            "organizations[0].intervl: unknown key; did you mean 'interval'?",
        ),
        (
            {"vault": "min_avail: {}"},
            "organizations[0].vaults[0].min_avail: unknown key; did you mean 'min_available'?",
        ),
    ],
)
def test_an_unknown_key_names_the_one_that_was_meant(
    written: dict[str, str], mistake: str, directory: Path
) -> None:
    assert mistakes(document(**written), directory) == [mistake]


def test_a_credential_may_have_the_name_of_a_configuration_key(directory: Path) -> None:
    text = document(treasury="maxinflight: 1").replace("treasury", "api")
    assert mistakes(text, directory) == [
        (
            "credentials.api.maxinflight: unknown key (secrets come from files or the environment, "
            "never from this file); did you mean 'max_in_flight'?"
        )
    ]


@pytest.mark.parametrize("place", ["treasury", "api", "organization"])
def test_an_inline_secret_is_reported_where_secrets_belong(place: str, directory: Path) -> None:
    (mistake,) = mistakes(document(**{place: "api_secret: abc123"}), directory)
    assert (
        "unknown key (secrets come from files or the environment, never from this file)" in mistake
    )
    assert "abc123" not in mistake


@pytest.mark.parametrize(
    ("key", "forms"),
    [
        ("api_key", "write api_key_file: PATH or api_key_env: NAME"),
        ("apikey", "write api_key_file: PATH or api_key_env: NAME"),
        ("api_key_value", "write api_key_file: PATH or api_key_env: NAME"),
        ("api_secret", "write api_secret_file: PATH or api_secret_env: NAME"),
        ("totp_secret", "write totp_secret_file: PATH"),
        ("api_key_fil", "did you mean 'api_key_file'?"),
        ("api_secret_evn_var", "did you mean 'api_secret_env'?"),
        ("nonces", "did you mean 'nonce'?"),
    ],
)
def test_a_setting_for_the_secret_itself_is_answered_with_those_for_its_source(
    key: str, forms: str, directory: Path
) -> None:
    (mistake,) = mistakes(document(treasury=f"{key}: abc"), directory)
    assert mistake.endswith(f"; {forms}")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("organizations: acme", "organizations: must be a list (each entry after '- '), not text"),
        (
            "organizations: {}",
            "organizations: must be a list (each entry after '- '), not a mapping",
        ),
        (
            "organizations: [x]",
            "organizations[0]: must be a mapping (lines of 'key: value'), not text",
        ),
        ("api: []", "api: must be a mapping (lines of 'key: value'), not a list"),
        ("api: 5", "api: must be a mapping (lines of 'key: value'), not a number"),
        ("credentials: {}", "credentials: must have at least one entry"),
    ],
)
def test_a_value_of_another_kind_is_reported_with_the_expected_one(
    text: str, mistake: str, directory: Path
) -> None:
    assert mistake in mistakes(text, directory)


def test_every_unknown_key_that_is_shown_has_its_hint(directory: Path) -> None:
    unknown = "".join(f"key{number}: 1\n" for number in range(30))
    shown = mistakes(f"{document(vault_id='id: x')}{unknown}", directory)[:MOST_MISTAKES]
    assert len(shown) == MOST_MISTAKES
    assert not [mistake for mistake in shown if mistake.endswith("unknown key")]


@pytest.mark.parametrize(
    ("place", "key"), [({"treasury": "_environment: {}"}, "_environment"), ({}, "_shard")]
)
def test_what_settings_hold_beside_their_keys_cannot_be_written(
    place: dict[str, str], key: str, directory: Path
) -> None:
    text = document(**place) if place else f"{document()}{key}: 1\n"
    (mistake,) = mistakes(text, directory)
    assert f"{key}: unknown key" in mistake
    assert key not in mistake.partition(": unknown key")[2]


def test_a_part_of_the_settings_cannot_be_changed() -> None:
    class Part(Model, frozen=True):
        size: int = 1

    with pytest.raises(AttributeError, match="immutable"):
        setattr(Part(), "size", 2)  # noqa: B010 - mypy knows it too
