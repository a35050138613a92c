"""Settings: every key has an effect, what is left out is inherited, and nothing changes later."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import certifi
import msgspec
import pytest

from exporter.config import Filter, Settings
from exporter.strict_yaml.validation import Model, keys_of
from tests.config.documents import SOURCES, document, mistakes, read

DEFAULTS = """\
credentials:
  treasury: {api_key_file: key, api_secret_file: secret}
organizations:
- {id: ABCD EFGH IJKL MNOP, vaults: [{id: VABCDEF234567A}]}
"""


def value_at(settings: Settings, path: str) -> Any:
    value: Any = settings
    for step in path.split("."):
        match value:
            case tuple():
                value = value[int(step)]
            case dict():
                value = value[step]
            case _:
                value = getattr(value, step)
    return value


CHANGES: list[tuple[dict[str, str], str, object]] = [
    ({"api": "base_url: http://localhost:1/"}, "api.base_url", "http://localhost:1"),
    ({"api": "timeout: 1s"}, "api.timeout", 1.0),
    ({"api": f"ca_file: {certifi.where()}"}, "api.ca_file", Path(certifi.where())),
    ({"api": "rate_limit: {requests: 20}"}, "api.rate_limit.requests", 20),
    ({"api": "rate_limit: {requests: 20}"}, "api.rate_limit.budget", 10),
    ({"api": "rate_limit: {window: 3s}"}, "api.rate_limit.window", 3.0),
    ({"api": "rate_limit: {share: 0.25}"}, "api.rate_limit.share", Decimal("0.25")),
    ({"api": "rate_limit: {share: 0.25}"}, "api.rate_limit.budget", 50),
    ({"api": "organization_id_format: compact"}, "api.organization_id_format", "compact"),
    ({"api": "local_address: 2001:DB8::7"}, "api.local_address", "2001:db8::7"),
    ({"polling": "interval: 1s"}, "polling.interval", 1.0),
    ({"polling": "interval: 1s"}, "organizations.0.interval", 1.0),
    ({"polling": "interval: 1s"}, "organizations.0.vaults.0.interval", 1.0),
    ({"polling": "stale_after: 1s"}, "polling.stale_after", 1.0),
    ({"polling": "max_series: 1"}, "polling.max_series", 1),
    (
        {"sources": "api_key_env: KEY, api_secret_file: secret"},
        "credentials.treasury.api_key_env",
        "KEY",
    ),
    (
        {"sources": "api_key_file: key, api_secret_env: SECRET"},
        "credentials.treasury.api_secret_env",
        "SECRET",
    ),
    ({"treasury": "otp_file: otp"}, "credentials.treasury.otp_file.name", "otp"),
    ({"treasury": "totp_secret_file: seed"}, "credentials.treasury.totp_secret_file.name", "seed"),
    ({"treasury": "nonce: milliseconds"}, "credentials.treasury.nonce", "milliseconds"),
    ({"treasury": "nonce: microseconds"}, "credentials.treasury.nonce", "microseconds"),
    (
        {"treasury": "rate_limit: {requests: 60, share: 1}"},
        "credentials.treasury.rate_limit.budget",
        60,
    ),
    ({"treasury": "max_in_flight: 2"}, "credentials.treasury.max_in_flight", 2),
    ({"organization": "name: acme"}, "organizations.0.name", "acme"),
    ({"organization_id": "id: ABCDEFGHIJKLMNOQ"}, "organizations.0.id", "ABCD EFGH IJKL MNOQ"),
    ({"organization": "interval: 1s"}, "organizations.0.interval", 1.0),
    ({"organization": "collect: [pending_tasks]"}, "organizations.0.collect", ("pending_tasks",)),
    ({"vault": "name: hot"}, "organizations.0.vaults.0.name", "hot"),
    ({"vault_id": "id: VW44KPQC4C62K6"}, "organizations.0.vaults.0.id", "VW44KPQC4C62K6"),
    ({"vault": "interval: 1s"}, "organizations.0.vaults.0.interval", 1.0),
    (
        {"vault": "min_available: {BTC: 1}"},
        "organizations.0.vaults.0.min_available",
        {"BTC": Decimal(1)},
    ),
]


@pytest.mark.parametrize(("written", "path", "value"), CHANGES)
def test_every_key_changes_the_settings(
    written: dict[str, str], path: str, value: object, directory: Path
) -> None:
    changed = read(document(**written), directory)
    assert value_at(changed, path) == value
    assert changed != read(document(), directory)


def test_omitted_keys_have_their_defaults(directory: Path) -> None:
    written = msgspec.json.encode(read(DEFAULTS, directory), enc_hook=str)
    assert msgspec.json.decode(written) == {
        "api": {
            "base_url": "https://api.kraken.com",
            "timeout": 10.0,
            "ca_file": None,
            "rate_limit": {"requests": 200, "window": 30.0, "share": "0.5"},
            "organization_id_format": "spaced",
            "local_address": None,
        },
        "polling": {"interval": 60.0, "stale_after": None, "max_series": 500_000},
        "credentials": {
            "treasury": {
                "api_key_file": str(directory / "key"),
                "api_key_env": None,
                "api_secret_file": str(directory / "secret"),
                "api_secret_env": None,
                "otp_file": None,
                "totp_secret_file": None,
                "nonce": "nanoseconds",
                "rate_limit": None,
                "max_in_flight": 1,
                "_environment": "**********",
            }
        },
        "discovery": None,
        "collect": ["balances"],
        "lease": None,
        "organizations": [
            {
                "id": "ABCD EFGH IJKL MNOP",
                "name": "ABCD EFGH IJKL MNOP",
                "credentials": "treasury",
                "interval": 60.0,
                "collect": ["balances"],
                "vaults": [
                    {
                        "id": "VABCDEF234567A",
                        "name": "VABCDEF234567A",
                        "interval": 60.0,
                        "min_available": {},
                    }
                ],
            }
        ],
        "_shard": [0, 1],
    }


def test_a_vault_inherits_the_interval_of_polling_not_of_its_organization(directory: Path) -> None:
    settings = read(document(polling="interval: 1s", organization="interval: 2s"), directory)
    assert settings.organizations[0].interval == 2.0
    assert settings.organizations[0].vaults[0].interval == 1.0


def test_a_wrong_interval_is_not_reported_again_where_it_is_inherited(directory: Path) -> None:
    (mistake,) = mistakes(document(polling="interval: 1"), directory)
    assert mistake.startswith("polling.interval: 1 has no unit")


def test_a_wrong_credential_is_not_reported_again_where_it_is_inherited(directory: Path) -> None:
    assert len(mistakes(document(treasury="nonce: 5"), directory)) == 1


def test_organizations_and_vaults_keep_the_order_of_the_file(directory: Path) -> None:
    text = f"""\
credentials:
  treasury: {{{SOURCES}}}
organizations:
- {{id: ZZZZ EFGH IJKL MNOP, vaults: [{{id: VW44KPQC4C62K6}}, {{id: VABCDEF234567A}}]}}
- {{id: AAAA EFGH IJKL MNOP}}
"""
    last, first = read(text, directory).organizations
    assert (last.id[0], first.id[0]) == ("Z", "A")
    assert [vault.id[1] for vault in last.vaults] == ["W", "A"]


def test_settings_are_frozen(directory: Path) -> None:
    settings = read(document(), directory)
    parts: list[Model] = [
        settings,
        settings.api,
        settings.api.rate_limit,
        settings.polling,
        settings.credentials["treasury"],
        settings.organizations[0],
        settings.organizations[0].vaults[0],
    ]
    for part in parts:
        field = next(iter(keys_of(type(part))))
        with pytest.raises(AttributeError, match="immutable"):
            setattr(part, field, None)


@pytest.mark.parametrize(
    ("written", "names", "admitted"),
    [
        ("{}", ("hot", "VABCDEF234567A"), True),
        ("{include: [hot-*]}", ("hot-1", "VABCDEF234567A"), True),
        ("{include: [hot-*]}", ("cold-1", "VABCDEF234567A"), False),
        ("{include: []}", ("hot", "VABCDEF234567A"), False),
        ('{exclude: ["test-*"]}', ("test-1", "VABCDEF234567A"), False),
        ('{exclude: ["test-*"]}', ("Test-1", "VABCDEF234567A"), True),
        ("{exclude: [VABCDEF234567A]}", ("hot", "VABCDEF234567A"), False),
        ('{include: ["hot-*"], exclude: ["hot-[0-9]"]}', ("hot-1", "VABCDEF234567A"), False),
        ('{include: ["hot-*"], exclude: ["hot-[0-9]"]}', ("hot-x", "VABCDEF234567A"), True),
    ],
)
def test_a_filter_admits_by_name_or_id(
    written: str, names: tuple[str, ...], *, admitted: bool, directory: Path
) -> None:
    settings = read(f"discovery: {{vaults: {written}}}\n{document()}", directory)
    assert settings.discovery is not None
    assert settings.discovery.vaults.admits(*names) is admitted


@pytest.mark.parametrize(
    ("filter_", "nothing"),
    [
        (Filter(), False),
        (Filter(include=()), True),
        (Filter(exclude=("*",)), True),
        (Filter(exclude=("test-*", "**")), True),
        (Filter(include=("hot-*",), exclude=("test-*",)), False),
    ],
)
def test_a_filter_that_can_find_nothing_says_so(filter_: Filter, *, nothing: bool) -> None:
    assert filter_.admits_nothing is nothing


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        ("5m", "discovery: must be a mapping (lines of 'key: value'), not text"),
        ("{interval: 0s}", "discovery.interval: the value must be more than 0s"),
        ("{vaults: {include: hot}}", "discovery.vaults.include: must be a list (each entry"),
        ("{vaults: {only: [hot]}}", "discovery.vaults.only: unknown key; known here: include, "),
        ("{organizations: {exclude: [1]}}", "discovery.organizations.exclude[0]: 1 is a number to"),
    ],
)
def test_mistakes_in_discovery_are_reported_with_their_place(
    written: str, mistake: str, directory: Path
) -> None:
    (found,) = mistakes(f"discovery: {written}\n{document()}", directory)
    assert found.startswith(mistake)


def test_an_organization_inherits_collect_unless_it_has_its_own(
    directory: Path,
) -> None:
    own = "collect: [balances]"
    for organization, expected in (("", ("pending_tasks",)), (own, ("balances",))):
        text = "collect: [pending_tasks]\n" + document(organization=organization)
        settings = read(text, directory)
        assert settings.collect == ("pending_tasks",)
        assert settings.organizations[0].collect == expected


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("[balance]", "collect[0]: must be 'balances', 'pending_tasks' or 'whitelist'"),
        ("[]", "collect: must have at least one entry"),
        ("[balances, balances]", "collect: has duplicates: name each once"),
        ("balances", "collect: must be a list (each entry after '- '), not text"),
    ],
)
def test_collect_is_a_list_of_known_names_without_duplicates(
    written: str, problem: str, directory: Path
) -> None:
    assert mistakes(f"collect: {written}\n{document()}", directory) == [problem]
    own = document(organization=f"collect: {written}")
    assert mistakes(own, directory) == [f"organizations[0].{problem}"]
