"""Each kind of value: what is accepted, what is not, and the whole message."""

from decimal import Decimal
from pathlib import Path

import pytest

from exporter.config import RateLimit
from tests.config.documents import document, mistakes, one_mistake, read

FORM = "write a duration such as 500ms, 30s, 5m or 1h30m"
WHOLE = "is not a whole number from 1 to 999999999"
SHARE = "is not a number above 0 and up to 1, such as 0.5"
AMOUNT = 'is not a number of 0 or more, such as "0.5"'
URL = "must be https://, a host and optionally a port, such as https://api.kraken.com"
LOOPBACK_ONLY = "must begin with https://: http:// is for loopback addresses only"
VAULT_ID = (
    "is not a vault id: V, 12 characters of A-Z and 2-7, and one of ACEGIKMOQSUWY246, "
    "such as VABCDEF234567A"
)
ORGANIZATION_ID = "is not an organization id: 16 letters or digits, such as ABCD EFGH IJKL MNOP"


@pytest.mark.parametrize("written", ["0.25", "'0.25'", ".25", "25e-2", "0.250"])
def test_a_share_is_a_number_or_text(written: str, directory: Path) -> None:
    settings = read(document(api=f"rate_limit: {{share: {written}}}"), directory)
    assert settings.api.rate_limit.share == Decimal("0.25")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("0", "0"),
        ("0.0", "0.0"),
        ("-0.5", "-0.5"),
        ("1.0000000000000000000000000000001", "1.0000000000000000000000000000001"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("50%", "the value"),
        ("NaN", "the value"),
        ("no", "no"),
        ("[]", "the value"),
    ],
)
def test_a_share_is_above_0_and_up_to_1(written: str, shown: str, directory: Path) -> None:
    text = document(api=f"rate_limit: {{share: {written}}}")
    assert one_mistake(text, directory) == f"api.rate_limit.share: {shown} {SHARE}"


@pytest.mark.parametrize(
    ("requests", "share", "budget"),
    [
        ("200", "0.5", 100),
        ("200", "1", 200),
        ("10", "0.1", 1),
        ("3", "0.34", 1),
        ("10", "0.29", 2),
        ("100", "0.29", 29),
        ("3", "0.3333333333333333333333333333333333333334", 1),
        ("999999999", "0.9999999999999999999999999999999999999999", 999999998),
    ],
)
def test_a_budget_is_an_exact_floor(
    requests: str, share: str, budget: int, directory: Path
) -> None:
    text = document(api=f"rate_limit: {{requests: {requests}, share: {share}}}")
    assert read(text, directory).api.rate_limit.budget == budget


@pytest.mark.parametrize(
    "limit",
    [
        "{requests: 1}",
        "{requests: 10, share: 0.09}",
        "{requests: 3, share: 0.3333333333333333333333333333333333333333}",
    ],
)
def test_a_budget_below_one_request_is_a_mistake_of_its_rate_limit(
    limit: str, directory: Path
) -> None:
    problem = "requests times share must be at least 1"
    text = document(api=f"rate_limit: {limit}", treasury=f"rate_limit: {limit}")
    assert mistakes(text, directory) == [
        f"api.rate_limit: {problem}",
        f"credentials.treasury.rate_limit: {problem}",
    ]


def test_a_budget_is_checked_even_if_the_window_is_invalid(directory: Path) -> None:
    text = document(api="rate_limit: {requests: 1, window: 3}")
    assert mistakes(text, directory) == [
        f"api.rate_limit.window: 3 has no unit: {FORM}",
        "api.rate_limit: requests times share must be at least 1",
    ]


def test_models_can_be_built_in_code() -> None:
    limit = RateLimit(requests=20, window=1.5, share=Decimal("0.1"))
    assert (limit.budget, limit.window) == (2, 1.5)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("0", "0"),
        ("5", "5"),
        ('"0.5"', "0.5"),
        ("0.10", "0.10"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("1e-08", "1E-8"),
        ("1.5e+06", "1.5E+6"),
    ],
)
def test_amounts_are_read_exactly(written: str, amount: str, directory: Path) -> None:
    settings = read(document(vault=f"min_available: {{BTC: {written}}}"), directory)
    assert str(settings.organizations[0].vaults[0].min_available["BTC"]) == amount


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("-0.1", "-0.1"),
        (".inf", ".inf"),
        ("007", "007"),
        ("1e999999999", "the value"),
        ("'1,5'", "the value"),
        ("lots", "the value"),
        ("true", "true"),
        ("null", "the value"),
    ],
)
def test_other_amounts_are_refused(written: str, shown: str, directory: Path) -> None:
    text = document(vault=f"min_available: {{BTC: {written}}}")
    path = "organizations[0].vaults[0].min_available.BTC"
    assert one_mistake(text, directory) == f"{path}: {shown} {AMOUNT}"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://api.kraken.com", "https://api.kraken.com"),
        ("https://api.kraken.com/", "https://api.kraken.com"),
        ("https://api.kraken.com:8443", "https://api.kraken.com:8443"),
        ("https://gateway:65535", "https://gateway:65535"),
        ("HTTPS://Gateway", "HTTPS://Gateway"),
        ("https://[2001:db8::1]:443", "https://[2001:db8::1]:443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.255.255.254:1", "http://127.255.255.254:1"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_base_urls_are_read_without_a_slash_at_the_end(
    written: str, url: str, directory: Path
) -> None:
    api = read(document(api=f'base_url: "{written}"'), directory).api
    assert api.base_url == url
    assert api.is_encrypted == url.lower().startswith("https")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("api.kraken.com", URL),
        ("ftp://api.kraken.com", URL),
        ("https://", URL),
        ("https://:443", URL),
        ("https://api.kraken.com:0", URL),
        ("https://api.kraken.com:65536", URL),
        ("https://api.kraken.com:", URL),
        ("https://api.kraken.com//", URL),
        ("https://api.kraken.com/v0", URL),
        ("https://api.kraken.com?x=1", URL),
        ("https://api.kraken.com#top", URL),
        ("https://user:MARKER@api.kraken.com", URL),
        ("https://api kraken.com", URL),
        ("https://api..kraken.com", URL),
        ("https://[::g]", URL),
        ("https://[::1", URL),
        (f"https://{'a' * 64}.com", URL),
        ("http://api.kraken.com", LOOPBACK_ONLY),
        ("http://localhost.evil.com", LOOPBACK_ONLY),
        ("http://128.0.0.1", LOOPBACK_ONLY),
        ("http://127.1", LOOPBACK_ONLY),
        ("http://[::2]", LOOPBACK_ONLY),
        ("", "is empty: write some text"),
        (r"https://api.kraken.com\n", "has a control or invisible character: write printable text"),
    ],
)
def test_other_base_urls_are_refused(written: str, problem: str, directory: Path) -> None:
    text = document(api=f'base_url: "{written}"')
    assert one_mistake(text, directory) == f"api.base_url: {problem}"


def test_a_host_label_may_have_63_characters(directory: Path) -> None:
    url = f"https://{'a' * 63}.com"
    assert read(document(api=f"base_url: '{url}'"), directory).api.base_url == url


@pytest.mark.parametrize(
    "written",
    ["ABCD EFGH IJKL MNOP", "ABCDEFGHIJKLMNOP", "abcd efgh ijkl mnop", "' A BCDEFGHIJKLMNO P '"],
)
def test_an_organization_id_is_kept_in_groups_of_four(written: str, directory: Path) -> None:
    settings = read(document(organization_id=f"id: {written}"), directory)
    assert settings.organizations[0].id == "ABCD EFGH IJKL MNOP"


def test_an_organization_id_of_digits_is_accepted_in_quotes(directory: Path) -> None:
    settings = read(document(organization_id="id: '1234567890123456'"), directory)
    assert settings.organizations[0].id == "1234 5678 9012 3456"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("1234567890123456", "1234567890123456 is a number to YAML: put it in quotes"),
        ("ABCDEFGHIJKLMNO", ORGANIZATION_ID),
        ("ABCDEFGHIJKLMNOPQ", ORGANIZATION_ID),
        ("ABCD-EFGH-IJKL-MNO", ORGANIZATION_ID),
        ("ABCDEFGHIJKLMNß", ORGANIZATION_ID),
        ("[ABCD]", "must be text, not a list"),
        ("''", "is empty: write some text"),
        ("null", "is required"),
    ],
)
def test_other_organization_ids_are_refused(written: str, problem: str, directory: Path) -> None:
    text = document(organization_id=f"id: {written}")
    assert one_mistake(text, directory) == f"organizations[0].id: {problem}"


@pytest.mark.parametrize("vault_id", ["VABCDEF234567A", "VW44KPQC4C62K6", "VN2F7NJJWKJHI2"])
def test_documented_vault_ids_are_accepted(vault_id: str, directory: Path) -> None:
    settings = read(document(vault_id=f"id: {vault_id}"), directory)
    assert settings.organizations[0].vaults[0].id == vault_id


@pytest.mark.parametrize(
    "vault_id",
    [
        "VABCDEF234567B",  # no such last character
        "VABCDEF234561A",  # 1 is not in base 32
        "VABCDEF23456A",
        "VABCDEF2345677A",
        "TABCDEF234567A",
        "vabcdef234567a",
        "VABC DEF234567A",
    ],
)
def test_other_vault_ids_are_refused(vault_id: str, directory: Path) -> None:
    text = document(vault_id=f"id: {vault_id}")
    assert one_mistake(text, directory) == f"organizations[0].vaults[0].id: {VAULT_ID}"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            document(api="organization_id_format: dotted"),
            "api.organization_id_format: must be 'spaced' or 'compact'",
        ),
        (
            document(treasury="nonce: seconds"),
            "credentials.treasury.nonce: must be 'nanoseconds', 'microseconds' or 'milliseconds'",
        ),
        (
            document(treasury="max_in_flight: 0"),
            f"credentials.treasury.max_in_flight: the value {WHOLE}",
        ),
    ],
)
def test_choices_name_what_can_be_chosen(text: str, mistake: str, directory: Path) -> None:
    assert one_mistake(text, directory) == mistake
