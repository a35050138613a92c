"""Mistakes that involve several values, reported together with the mistakes of single values."""

from pathlib import Path

import pytest

from tests.config.documents import SOURCES, document, mistakes, read

TWO_KEYS = """\
credentials:
  one: {api_key_file: key, api_secret_file: secret}
  two: {api_key_env: OTHER_KEY, api_secret_env: SECRET}
organizations:
"""
UNLESS_FOUND = "unless `discovery: {}` finds organizations"
KEY_CHOICE = "api_key_file or api_key_env is required"
SECRET_CHOICE = "api_secret_file or api_secret_env is required"


def unique(path: str) -> str:
    return f"is already used at {path}: it must be unique"


@pytest.mark.parametrize(
    ("sources", "problems"),
    [
        ("", [KEY_CHOICE, SECRET_CHOICE]),
        ("api_key_file: key", [SECRET_CHOICE]),
        ("api_secret_env: SECRET", [KEY_CHOICE]),
        ("api_key_file: null, api_secret_file: secret", [KEY_CHOICE]),
        (
            f"{SOURCES}, api_key_env: KEY, api_secret_env: SECRET",
            [
                "api_key_file and api_key_env are mutually exclusive: keep one",
                "api_secret_file and api_secret_env are mutually exclusive: keep one",
            ],
        ),
        (
            f"{SOURCES}, otp_file: otp, totp_secret_file: seed",
            ["otp_file and totp_secret_file are mutually exclusive: keep one"],
        ),
    ],
)
def test_each_secret_has_one_source(sources: str, problems: list[str], directory: Path) -> None:
    assert mistakes(document(sources=sources), directory) == [
        f"credentials.treasury: {problem}" for problem in problems
    ]


def test_no_credential_has_the_name_of_all_of_them(directory: Path) -> None:
    assert mistakes(document().replace("treasury", "all"), directory) == [
        "credentials.all: stands for all credentials together in metrics and in the log: choose another name"
    ]


def test_a_single_credential_need_not_be_named(directory: Path) -> None:
    assert read(document(), directory).organizations[0].credentials == "treasury"


def test_one_of_several_credentials_must_be_named(directory: Path) -> None:
    text = f"{TWO_KEYS}- id: ABCD EFGH IJKL MNOP\n"
    assert mistakes(text, directory) == [
        (
            "organizations[0].credentials: is required if there are several credentials: "
            "write one of one, two"
        )
    ]


def test_an_unknown_credential_is_reported_with_the_known_ones(directory: Path) -> None:
    text = document(organization="credentials: tresury")
    assert mistakes(text, directory) == [
        "organizations[0].credentials: no credentials have this name: use one of treasury",
        "credentials.treasury: is not used by any organization: use or remove it",
    ]


def test_unused_credentials_are_a_mistake(directory: Path) -> None:
    text = f"{TWO_KEYS}- {{id: ABCD EFGH IJKL MNOP, credentials: one}}\n"
    assert mistakes(text, directory) == [
        "credentials.two: is not used by any organization: use or remove it"
    ]


def test_credentials_without_an_organization_are_fine_with_discovery(directory: Path) -> None:
    text = f"discovery: {{}}\n{TWO_KEYS}- {{id: ABCD EFGH IJKL MNOP, credentials: one}}\n"
    assert list(read(text, directory).credentials) == ["one", "two"]


@pytest.mark.parametrize("organizations", ["", "organizations:\n", "organizations: []\n"])
def test_credentials_and_discovery_are_a_complete_configuration(
    organizations: str, directory: Path
) -> None:
    text = f"credentials:\n  treasury: {{{SOURCES}}}\ndiscovery: {{}}\n{organizations}"
    settings = read(text, directory)
    assert settings.organizations == ()
    assert settings.discovery is not None
    assert settings.discovery.interval == 600.0


def test_two_credentials_in_use_are_accepted(directory: Path) -> None:
    text = (
        f"{TWO_KEYS}- {{id: ABCD EFGH IJKL MNOP, credentials: one}}\n"
        "- {id: ABCD EFGH IJKL MNOQ, credentials: two}\n"
    )
    assert [o.credentials for o in read(text, directory).organizations] == ["one", "two"]


def test_two_credentials_cannot_share_an_api_key(directory: Path) -> None:
    text = (
        f"{TWO_KEYS}- {{id: ABCD EFGH IJKL MNOP, credentials: one}}\n"
        "- {id: ABCD EFGH IJKL MNOQ, credentials: two}\n"
    ).replace("OTHER_KEY", "KEY")
    assert mistakes(text, directory) == [
        (
            "credentials.two: holds the same API key as credentials.one: "
            "nonces of two users of one key collide"
        )
    ]


def test_names_are_unique_within_their_parent(directory: Path) -> None:
    text = (
        document(organization="name: acme", vault="name: hot}, {id: VW44KPQC4C62K6, name: hot")
        + "- {id: AAAA BBBB CCCC DDDD, name: acme, vaults: [{id: VN2F7NJJWKJHI2, name: hot}]}\n"
    )
    assert mistakes(text, directory) == [
        f"organizations[1].name: {unique('organizations[0].name')}",
        f"organizations[0].vaults[1].name: {unique('organizations[0].vaults[0].name')}",
    ]


def test_a_name_cannot_be_the_id_of_a_nameless_sibling(directory: Path) -> None:
    text = (
        document(vault="}, {id: VW44KPQC4C62K6, name: VABCDEF234567A")
        + "- {id: AAAA BBBB CCCC DDDD, name: ABCD EFGH IJKL MNOP}\n"
    )
    assert mistakes(text, directory) == [
        f"organizations[1].name: {unique('organizations[0].id')}",
        f"organizations[0].vaults[1].name: {unique('organizations[0].vaults[0].id')}",
    ]


def test_an_id_appears_once_in_the_file(directory: Path) -> None:
    text = document() + "- {id: abcdefghijklmnop, vaults: [{id: VABCDEF234567A}]}\n"
    assert mistakes(text, directory) == [
        f"organizations[1].id: {unique('organizations[0].id')}",
        f"organizations[1].vaults[0].id: {unique('organizations[0].vaults[0].id')}",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("organizations: []", f"organizations: must have at least one entry, {UNLESS_FOUND}"),
        ("organizations:", f"organizations: is required, {UNLESS_FOUND}"),
        ("", f"organizations: is required, {UNLESS_FOUND}"),
        ("discovery:\n", f"organizations: is required, {UNLESS_FOUND}"),
        (
            "organizations: {}",
            "organizations: must be a list (each entry after '- '), not a mapping",
        ),
    ],
)
def test_at_least_one_organization_is_required(text: str, mistake: str, directory: Path) -> None:
    before, _, _ = document().partition("organizations:")
    assert mistakes(before + text, directory) == [mistake]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("credentials: {}\n", "credentials: must have at least one entry"),
        ("", "credentials: is required"),
        (
            "credentials: [treasury]\n",
            "credentials: must be a mapping (lines of 'key: value'), not a list",
        ),
        (
            "credentials: {treasury: null}\n",
            "credentials.treasury: must be a mapping (lines of 'key: value'), not nothing",
        ),
    ],
)
def test_at_least_one_credential_is_required(text: str, mistake: str, directory: Path) -> None:
    text += "organizations: [{id: ABCD EFGH IJKL MNOP}]"
    assert mistakes(text, directory) == [mistake]


def test_an_organization_needs_no_vaults(directory: Path) -> None:
    for vaults in ("[]", "null"):
        text = f"{document().partition('organizations:')[0]}organizations:\n"
        text += f"- {{id: ABCD EFGH IJKL MNOP, vaults: {vaults}}}\n"
        assert read(text, directory).organizations[0].vaults == ()


def test_every_mistake_is_reported_at_once(directory: Path) -> None:
    text = """\
api: {timeout: 30, timeot: 10s, rate_limit: {requests: 1, window: 0}}
polling: {interval: 1 minute}
credentials:
  treasury: {api_key_file: missing, api_key_env: KEY, api_key: MARKER, max_in_flight: none}
  spare: {api_key_file: key, api_secret_file: key}
organizations:
- 5
- {id: 1234567890123456, name: acme, credentials: tresury, vaults: [{id: VABCDEF234567A}, {id: x}]}
- {name: acme, credentials: treasury, vaults: [{id: VABCDEF234567A, name: 'no'}, {name: 'no'}]}
"""
    form = "write a duration such as 500ms, 30s, 5m or 1h30m"
    assert sorted(mistakes(text, directory)) == sorted(
        [
            f"api.timeout: 30 has no unit: {form}",
            "api.timeot: unknown key; did you mean 'timeout'?",
            f"api.rate_limit.window: 0 has no unit: {form}",
            "api.rate_limit: requests times share must be at least 1",
            f"polling.interval: the value is not a duration: {form}",
            f"credentials.treasury.api_key_file: no such file: check the path ({directory}/missing)",
            (
                "credentials.treasury.api_key: unknown key (secrets come from files or the "
                "environment, never from this file); write api_key_file: PATH or api_key_env: NAME"
            ),
            (
                "credentials.treasury.max_in_flight: the value is not a whole number from 1 to "
                "999999999"
            ),
            "credentials.treasury: api_key_file and api_key_env are mutually exclusive: keep one",
            f"credentials.treasury: {SECRET_CHOICE}",
            (
                "credentials.spare.api_secret_file: is not base64: copy the whole secret as "
                "Kraken shows it, on one line and without quotes"
            ),
            (
                "credentials.spare: holds the same API key as "
                "credentials.treasury: nonces of two users of one key collide"
            ),
            "credentials.spare: is not used by any organization: use or remove it",
            "organizations[0]: must be a mapping (lines of 'key: value'), not a number",
            "organizations[1].id: 1234567890123456 is a number to YAML: put it in quotes",
            (
                "organizations[1].credentials: no credentials have this name: use one of treasury, "
                "spare"
            ),
            (
                "organizations[1].vaults[1].id: is not a vault id: V, 12 characters of A-Z and 2-7, "
                "and one of ACEGIKMOQSUWY246, such as VABCDEF234567A"
            ),
            "organizations[2].id: is required",
            f"organizations[2].name: {unique('organizations[1].name')}",
            f"organizations[2].vaults[0].id: {unique('organizations[1].vaults[0].id')}",
            "organizations[2].vaults[1].id: is required",
            f"organizations[2].vaults[1].name: {unique('organizations[2].vaults[0].name')}",
        ]
    )
