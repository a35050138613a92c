"""Where a secret is read from: what cannot be read, and what may be the secret itself and is not shown."""

from pathlib import Path

import pytest

from exporter.strict_yaml.mistakes import NamedProblemError
from exporter.strict_yaml.secret_text import IN_ITS_PLACE, secret_text
from tests.config.documents import (
    KEY_OF_KRAKEN,
    SECRET_OF_KRAKEN,
    document,
    mistakes,
)

EMPTY = "is empty: put the secret there"


def test_only_the_line_ends_after_a_secret_are_left_out() -> None:
    assert secret_text("KEY", {"KEY": " a\nb \r\n\n"}) == " a\nb "


def test_a_secret_has_at_most_64_kib(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"x" * 65_536)
    assert secret_text(file, {}) == "x" * 65_536
    file.write_bytes(b"x" * 65_537)
    with pytest.raises(NamedProblemError, match=r"^is larger than 64 KiB"):
        secret_text(file, {})


@pytest.mark.parametrize(
    ("sources", "mistake"),
    [
        ("api_key_file: missing", "api_key_file: no such file: check the path ({}/missing)"),
        ("api_key_file: .", "api_key_file: is a directory: name a file ({})"),
        (
            "api_key_file: /dev/zero",
            "api_key_file: is not a regular file: it must be one that can be read again (/dev/zero)",
        ),
        ("api_key_file: 12345678", "api_key_file: the value is a number to YAML: put it in quotes"),
        ("api_key_file: ''", "api_key_file: is empty: write some text"),
        ("api_key_file: [key]", "api_key_file: must be text, not a list"),
        (
            'api_key_file: "\\0"',
            "api_key_file: has a control or invisible character: write printable text",
        ),
        (
            "api_key_env: MISSING_KEY",
            "api_key_env: the environment variable is not set (MISSING_KEY)",
        ),
        ("api_key_env: EMPTY", f"api_key_env: {EMPTY}"),
        (
            "api_key_env: MARKER/inline+secret==",
            f"api_key_env: must be the name of an environment variable: letters, digits and _{IN_ITS_PLACE}",
        ),
        (
            "api_key_env: 'ключ'",
            f"api_key_env: must be the name of an environment variable: letters, digits and _{IN_ITS_PLACE}",
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_reported_at_its_field(
    sources: str, mistake: str, directory: Path
) -> None:
    text = document(sources=f"{sources}, api_secret_file: secret")
    assert mistakes(text, directory) == [f"credentials.treasury.{mistake.format(directory)}"]


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("api_key_file", KEY_OF_KRAKEN),
        ("api_key_file", f"/{KEY_OF_KRAKEN[1:]}"),
        ("api_key_file", f"./{KEY_OF_KRAKEN.replace('/', '')}"),
        ("api_secret_file", SECRET_OF_KRAKEN),
        ("api_secret_file", SECRET_OF_KRAKEN[:44]),
        ("api_secret_file", "MARKER"),
        ("otp_file", "hunter2"),
        ("otp_file", "correct"),
        ("otp_file", "c0rrect horse"),
        ("totp_secret_file", "MFRGGZDFMZTWQ2LK"),
        ("totp_secret_file", "mfrg gzdf mztw q2lk"),
        ("api_key_env", KEY_OF_KRAKEN),
        ("api_key_env", KEY_OF_KRAKEN.replace("/", "")),
        ("api_secret_env", SECRET_OF_KRAKEN),
        ("api_secret_env", "Abc123"),
    ],
)
def test_a_secret_given_as_its_source_is_not_shown_and_the_message_says_where_it_belongs(
    field: str, written: str, directory: Path
) -> None:
    sources = {"api_key_file": "key", "api_secret_file": "secret", field: written}
    for one, other in (("api_key", "api_key_env"), ("api_secret", "api_secret_env")):
        if other in sources:
            del sources[f"{one}_file"]
    text = document(sources=", ".join(f"{key}: '{value}'" for key, value in sources.items()))
    (mistake,) = mistakes(text, directory)
    assert mistake.startswith(f"credentials.treasury.{field}: ")
    assert mistake.endswith(IN_ITS_PLACE)
    assert written not in mistake


@pytest.mark.parametrize(
    "written", ["api-key", "secrets/api-key", "/run/secrets/Kraken/API_KEY_1", "kraken.key", "../k"]
)
def test_a_missing_file_is_named_with_its_directory(written: str, directory: Path) -> None:
    text = document(sources=f"api_key_file: {written}, api_secret_file: secret")
    assert mistakes(text, directory) == [
        f"credentials.treasury.api_key_file: no such file: check the path ({directory / written})"
    ]
