"""Secrets: their sources, their form, and that none of them is ever shown."""

import base64
import copy
import traceback
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from exporter.config import ConfigError, CredentialSettings, SecretError, Secrets, Settings, parse
from exporter.config.credentials import unusual
from exporter.polling.credential import warn_of_unusual_secret
from exporter.secret import Secret
from tests.config.documents import (
    API_KEY,
    API_SECRET,
    ENVIRON,
    KEY_OF_KRAKEN,
    OTP,
    SECRET_OF_KRAKEN,
    SOURCES,
    TOTP_SEED,
    document,
    mistakes,
    read,
)

NO_HEADER = (
    "has a space, line break, byte order mark or other character that a header cannot contain: "
    "the file or variable must hold the value alone, as one line of ASCII text"
)
NO_BASE64 = (
    "is not base64: copy the whole secret as Kraken shows it, on one line and without quotes"
)
NO_BASE32 = "is not base32: letters A-Z and digits 2-7"
NO_TEXT = "is not text: put the secret there as one line of text"
EMPTY = "is empty: put the secret there"


def source(directory: Path, sources: str) -> CredentialSettings:
    return read(document(sources=sources), directory).credentials["treasury"]


def revealed(secrets: Secrets) -> tuple[str, bytes, str | None, str | None]:
    return (
        secrets.api_key.get_secret_value(),
        secrets.api_secret.get_secret_value(),
        secrets.otp.get_secret_value() if secrets.otp else None,
        secrets.totp_seed.get_secret_value() if secrets.totp_seed else None,
    )


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (SOURCES, (API_KEY, API_SECRET, None, None)),
        ("api_key_env: KEY, api_secret_env: SECRET", (API_KEY, API_SECRET, None, None)),
        ("api_key_env: KEY, api_secret_file: secret", (API_KEY, API_SECRET, None, None)),
        (f"{SOURCES}, otp_file: otp", (API_KEY, API_SECRET, OTP, None)),
        (f"{SOURCES}, totp_secret_file: seed", (API_KEY, API_SECRET, None, TOTP_SEED)),
    ],
)
def test_secrets_come_from_files_and_the_environment(
    sources: str, expected: tuple[str, bytes, str | None, str | None], directory: Path
) -> None:
    assert revealed(source(directory, sources).read()) == expected


def test_secrets_are_read_again_each_time(directory: Path) -> None:
    environ = {"KEY": "before"}
    text = document(sources="api_key_env: KEY, api_secret_file: secret")
    credentials = parse(text, directory=directory, environ=environ).credentials["treasury"]
    environ["KEY"] = "after"
    (directory / "secret").write_text("YWZ0ZXI=")
    assert revealed(credentials.read())[:2] == ("after", b"after")


def test_an_absolute_path_is_kept(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = tmp_path_factory.mktemp("elsewhere") / "key"
    key.write_text("x")
    credentials = source(directory, f"api_key_file: {key}, api_secret_file: secret")
    assert credentials.api_key_file == key


def test_a_tilde_is_not_a_home_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(directory))
    text = document(sources="api_key_file: ~/key, api_secret_file: secret")
    assert mistakes(text, directory) == [
        f"credentials.treasury.api_key_file: no such file: check the path ({directory}/~/key)"
    ]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_line_ends_after_a_secret_are_not_part_of_it(end: str, directory: Path) -> None:
    (directory / "key").write_bytes(f"{API_KEY}{end}".encode())
    assert revealed(source(directory, SOURCES).read())[0] == API_KEY


def test_a_seed_may_be_written_as_it_is_shown(directory: Path) -> None:
    (directory / "seed").write_text("mark erto tpse ed22 ====\n")
    credentials = source(directory, f"{SOURCES}, totp_secret_file: seed")
    assert revealed(credentials.read())[3] == TOTP_SEED


@pytest.mark.parametrize(
    ("field", "file", "content", "problem"),
    [
        ("api_key_file", "key", b"", EMPTY),
        ("api_key_file", "key", b"\r\n\n", EMPTY),
        ("api_key_file", "key", b"MARKER key", NO_HEADER),
        ("api_key_file", "key", b"MARKER\nkey", NO_HEADER),
        ("api_key_file", "key", b"MARKER\tkey", NO_HEADER),
        ("api_key_file", "key", b"MARKER\x00key", NO_HEADER),
        ("api_key_file", "key", "MARKER-ключ".encode(), NO_HEADER),
        ("api_key_file", "key", b"\xef\xbb\xbfMARKER", NO_HEADER),
        ("api_key_file", "key", b"MARKER\xff", NO_TEXT),
        ("api_key_file", "key", b"x" * 65_537, "is larger than 64 KiB: is it the right file?"),
        ("api_secret_file", "secret", b"", EMPTY),
        ("api_secret_file", "secret", b"MARKER", NO_BASE64),
        ("api_secret_file", "secret", b"TUFSS0VS TUFSS0VS", NO_BASE64),
        ("api_secret_file", "secret", b"TUFSS0V_", NO_BASE64),
        ("api_secret_file", "secret", b"====", NO_BASE64),
        ("api_secret_file", "secret", "TUFSS0Vé".encode(), NO_BASE64),
        ("api_secret_file", "secret", b"MARKER\xff", NO_TEXT),
        ("otp_file", "otp", b"\n", EMPTY),
        ("otp_file", "otp", b"MARKER otp", NO_HEADER),
        ("totp_secret_file", "seed", b"\n", EMPTY),
        ("totp_secret_file", "seed", b"MARKER18", NO_BASE32),
        ("totp_secret_file", "seed", b"MARKER", NO_BASE32),
        ("totp_secret_file", "seed", b" = ", NO_BASE32),
    ],
)
def test_a_secret_of_the_wrong_form_is_reported_at_its_field_and_on_reading(
    field: str, file: str, content: bytes, problem: str, directory: Path
) -> None:
    optional = {"otp": ", otp_file: otp", "seed": ", totp_secret_file: seed"}.get(file, "")
    text = document(sources=SOURCES + optional)
    credentials = read(text, directory).credentials["treasury"]
    (directory / file).write_bytes(content)
    named = f" ({directory / file})" if "larger" in problem else ""
    assert mistakes(text, directory) == [f"credentials.treasury.{field}: {problem}{named}"]
    with pytest.raises(SecretError) as caught:
        credentials.read()
    assert str(caught.value) == f"{field} ({directory / file}): {problem}"


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (SOURCES, "api_key_file ({}/key): no such file: check the path"),
        (
            "api_key_env: KEY, api_secret_file: secret",
            "api_key_env (KEY): the environment variable is not set",
        ),
    ],
)
def test_a_secret_that_disappeared_is_reported_with_its_source(
    sources: str, message: str, directory: Path
) -> None:
    environ = dict(ENVIRON)
    text = document(sources=sources)
    credentials = parse(text, directory=directory, environ=environ).credentials["treasury"]
    (directory / "key").unlink()
    del environ["KEY"]
    with pytest.raises(SecretError) as caught:
        credentials.read()
    assert str(caught.value) == message.format(directory)


def test_settings_built_in_code_report_a_missing_source() -> None:
    with pytest.raises(SecretError, match=r"^api_key_file or api_key_env must be given$"):
        CredentialSettings().read()


@pytest.fixture
def settings(directory: Path) -> Settings:
    return read(document(sources=f"{SOURCES}, totp_secret_file: seed"), directory)


def test_settings_show_neither_secrets_nor_the_environment(settings: Settings) -> None:
    secrets = settings.credentials["treasury"].read()
    shown = [
        repr(settings),
        str(settings),
        str(msgspec.to_builtins(settings, enc_hook=str)),
        repr(settings.credentials["treasury"]),
        repr(copy.deepcopy(settings)),
        repr(secrets),
        str(secrets),
    ]
    assert not [text for text in shown if "MARKER" in text or "OTHER_KEY" in text]


@pytest.mark.parametrize(
    "text",
    [
        document(treasury="api_key: MARKER"),
        document(treasury="api_secret: {a: MARKER}"),
        document(treasury="nonce: MARKER"),
        document(treasury="max_in_flight: 1234567.8"),
        document(treasury="rate_limit: {window: 1234567, share: MARKER, requests: MARKER}"),
        document(treasury="otp_file: MARKER"),
        document(sources="api_key_env: MARKER, api_secret_env: 'MARKER '"),
        document(sources="api_key_env: 1234567, api_secret_file: [MARKER]"),
        document(api="base_url: 'https://u:MARKER@api.kraken.com'"),
        document(api="api_key: MARKER, timeout: MARKER"),
        document(organization="credentials: MARKER"),
        "MARKER",
        "[MARKER]",
        "credentials: MARKER",
        "credentials: {treasury: MARKER}",
        "credentials: {treasury: {api_key: *MARKER}}",
        "credentials: {treasury: {api_key: !MARKER x}}",
        "credentials: {treasury: {api_key: 'MARKER",
        "api_key = MARKER\napi: 1",
    ],
)
def test_no_error_shows_what_may_be_a_secret(text: str, directory: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, directory)
    error = caught.value
    told = f"{error}{error!r}{error.mistakes}"
    assert not [secret for secret in ("MARKER", "1234567") if secret in told]
    assert error.__context__ is None
    trace = "".join(traceback.format_exception(error))
    assert "MARKER" not in trace


@pytest.mark.parametrize("content", [b"MARKER\xff", b"MARKER MARKER", b"MARKER=MARKER"])
def test_no_error_of_a_later_read_carries_the_secret(
    content: bytes, settings: Settings, directory: Path
) -> None:
    for file in ("key", "secret", "seed"):
        (directory / file).write_bytes(content)
    with pytest.raises(SecretError) as caught:
        settings.credentials["treasury"].read()
    error: BaseException | None = caught.value
    while error is not None:
        assert "MARKER" not in f"{error}{error!r}"
        error = error.__context__


def test_the_files_that_are_open_to_all_are_reported_by_field(
    directory: Path, open_directory: Path
) -> None:
    key = open_directory / "key"
    key.write_text(API_KEY)
    key.chmod(0o644)
    credentials = source(directory, f"api_key_file: {key}, api_secret_file: secret, otp_file: otp")
    assert credentials.files_open_to_all() == {"api_key_file": key}


def secrets_of(decoded: bytes, key: str = KEY_OF_KRAKEN) -> Secrets:
    return Secrets(Secret(key), Secret(decoded))


@pytest.mark.parametrize(
    ("decoded", "says"),
    [
        (bytes(64), None),
        (bytes(32), "copy the whole secret"),
        (bytes(63), "copy the whole secret"),
        (bytes(128), "copy the whole secret"),
        (base64.b64decode(KEY_OF_KRAKEN), "is the API key"),
        (base64.b64decode(KEY_OF_KRAKEN[::-1]), "and not the key"),
        (base64.b64encode(bytes(range(64))), "is encoded in base64 twice"),
    ],
)
def test_a_secret_that_cannot_be_krakens_is_reported_but_not_shown(
    decoded: bytes, says: str | None
) -> None:
    problem = unusual(secrets_of(decoded))
    assert (problem is None) == (says is None)
    assert (says or "") in (problem or "")


def test_a_secret_in_place_of_the_key_is_reported_before_it_is_sent() -> None:
    problem = unusual(secrets_of(bytes(range(64)), key=SECRET_OF_KRAKEN))
    assert problem == "is also where the API key belongs: put the key there"


def test_a_secret_that_cannot_be_krakens_is_logged_with_its_credential_and_nothing_of_it() -> None:
    with capture_logs() as events:
        warn_of_unusual_secret("treasury", secrets_of(b"MARKER"))
        warn_of_unusual_secret("spare", secrets_of(bytes(64)))
    (event,) = events
    assert (event["event"], event["credential"]) == ("secret_unusual", "treasury")
    assert "MARKER" not in str(event)
    assert base64.b64encode(b"MARKER").decode() not in str(event)
