"""Each kind of value: what is accepted, what is not, and the whole message."""

from decimal import Decimal
from pathlib import Path

import certifi
import pytest

from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.scalars import Unquoted, number, text
from tests.config.documents import document, mistakes, one_mistake, read

FORM = "write a duration such as 500ms, 30s, 5m or 1h30m"
WHOLE = "is not a whole number from 1 to 999999999"
OUT_OF_RANGE = f"the value must be more than 0s and at most 366d: {FORM}"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1ms", 0.001),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1d", 86_400.0),
        ("2w", 1_209_600.0),
        ("1y", 31_536_000.0),
        ("1y1d", 31_622_400.0),
        ("1w2d3h4m5s6ms", 788_645.006),
        ("'30s'", 30.0),
        ("1.5h", 5400.0),
        ("null", 10.0),
    ],
)
def test_durations_are_read(written: str, seconds: float, directory: Path) -> None:
    assert read(document(api=f"timeout: {written}"), directory).api.timeout == seconds


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("30", f"30 has no unit: {FORM}"),
        ("0.5", f"0.5 has no unit: {FORM}"),
        ("'30'", f"the value has no unit: {FORM}"),
        ("1:30", f"1:30 is not a duration: {FORM}"),
        ("yes", f"yes is not a duration: {FORM}"),
        ("-5s", f"the value is not a duration: {FORM}"),
        ("30 s", f"the value is not a duration: {FORM}"),
        ("30S", f"the value is not a duration: {FORM}"),
        ("''", f"the value is not a duration: {FORM}"),
        ('"30s\\n"', f"the value is not a duration: {FORM}"),
        ("٣s", f"the value is not a duration: {FORM}"),
        ("0s", OUT_OF_RANGE),
        ("366d1ms", OUT_OF_RANGE),
        ("999999999999999y", OUT_OF_RANGE),
        ("[30s]", f"must be a duration, not a list: {FORM}"),
        ("{s: 30}", f"must be a duration, not a mapping: {FORM}"),
    ],
)
def test_other_durations_are_refused(written: str, problem: str, directory: Path) -> None:
    text = document(api=f"timeout: {written}")
    assert one_mistake(text, directory) == f"api.timeout: {problem}"


even = number("an even number", lambda it: it % 2 == 0)


@pytest.mark.parametrize("written", ["4", "4.0", ".4e1", "4e+2", Unquoted("4")])
def test_a_number_is_read_exactly_and_must_fit(written: str) -> None:
    assert even(written) == Decimal(written)


@pytest.mark.parametrize("written", ["3", "04", "4_0", "4e999", "", "-2", "4 ", ["4"], None])
def test_another_number_is_refused_with_what_is_expected(written: object) -> None:
    with pytest.raises(ProblemError, match="is not an even number"):
        even(written)


def test_a_text_may_be_longer_than_a_name() -> None:
    assert text("x" * 129) == "x" * 129


@pytest.mark.parametrize(("written", "number"), [("1", 1), ("'20'", 20), ("999999999", 999999999)])
def test_whole_numbers_are_read(written: str, number: int, directory: Path) -> None:
    settings = read(document(polling=f"max_series: {written}"), directory)
    assert settings.polling.max_series == number


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("0", "0"),
        ("-1", "-1"),
        ("1.0", "1.0"),
        ("1e3", "the value"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1000000000", "1000000000"),
        ("true", "true"),
        ("many", "the value"),
        ("[1]", "the value"),
        ("9" * 41, "the value"),
        ("9" * 5000, "the value"),
    ],
)
def test_other_whole_numbers_are_refused(written: str, shown: str, directory: Path) -> None:
    text = document(polling=f"max_series: {written}")
    assert one_mistake(text, directory) == f"polling.max_series: {shown} {WHOLE}"


@pytest.mark.parametrize("name", ["x", "a b", "Kasse №1", "x" * 128])
def test_names_are_any_printable_text(name: str, directory: Path) -> None:
    settings = read(document(organization=f"name: {name}", vault=f"name: {name}"), directory)
    assert settings.organizations[0].name == settings.organizations[0].vaults[0].name == name


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("yes", "yes is a boolean to YAML: put it in quotes"),
        ("7", "7 is a number to YAML: put it in quotes"),
        ("7.5", "7.5 is a number to YAML: put it in quotes"),
        ("2026-11-21", "2026-11-21 is a date to YAML: put it in quotes"),
        ("''", "is empty: write some text"),
        ("' '", "is empty: write some text"),
        ('"a\\nb"', "has a control or invisible character: write printable text"),
        ('"a\\ud800b"', "has a control or invisible character: write printable text"),
        ("x" * 129, "is longer than 128 characters"),
        ("[x]", "must be text, not a list"),
        ("{x: y}", "must be text, not a mapping"),
    ],
)
def test_other_names_are_refused(written: str, problem: str, directory: Path) -> None:
    text = document(organization=f"name: {written}", vault=f"name: {written}")
    assert mistakes(text, directory) == [
        f"organizations[0].name: {problem}",
        f"organizations[0].vaults[0].name: {problem}",
    ]


def test_an_asset_that_yaml_reads_as_a_boolean_needs_quotes(directory: Path) -> None:
    text = document(vault="min_available: {NO: 5}")
    problem = "NO is a boolean to YAML: put it in quotes"
    assert one_mistake(text, directory) == (
        f"organizations[0].vaults[0].min_available.NO: {problem}"
    )
    assert not mistakes(document(vault="min_available: {'NO': 5}"), directory)


def ca_mistake(directory: Path) -> str:
    return one_mistake(document(api="ca_file: ca.pem"), directory)


@pytest.mark.parametrize(
    "content",
    ["", "no certificate", "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----"],
)
def test_a_ca_file_without_certificates_is_refused(content: str, directory: Path) -> None:
    (directory / "ca.pem").write_text(content)
    assert ca_mistake(directory) == (
        "api.ca_file: has no valid certificates: they must be in PEM format"
    )


def test_a_missing_ca_file_is_a_mistake(directory: Path) -> None:
    assert (
        ca_mistake(directory) == f"api.ca_file: no such file: check the path ({directory}/ca.pem)"
    )


def test_a_ca_file_with_a_certificate_is_accepted(directory: Path) -> None:
    end = "-----END CERTIFICATE-----\n"
    (directory / "ca.pem").write_text(certifi.contents().partition(end)[0] + end)
    assert read(document(api="ca_file: ca.pem"), directory).api.ca_file == directory / "ca.pem"


def test_a_ca_file_with_one_broken_certificate_is_refused(directory: Path) -> None:
    broken = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"
    (directory / "ca.pem").write_text(certifi.contents() + broken)
    assert ca_mistake(directory) == (
        "api.ca_file: has no valid certificates: they must be in PEM format"
    )
