"""One credential: when its requests may be sent, and what a reload and other secrets change."""

import asyncio
import base64
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.config import CredentialSettings, Secrets, parse
from exporter.custody.client import CustodyClient
from exporter.custody.errors import CustodyError, Delivery
from exporter.polling.budget import Budget
from exporter.polling.credential import (
    Credential,
    warn_of_open_files,
    warn_of_unusual_secret,
)
from exporter.polling.difference import CredentialChange
from exporter.polling.nonce_watch import NonceWatch
from exporter.polling.pause import Cause, Pause
from exporter.secret import Secret

SECRET = base64.b64encode(bytes(64)).decode()
REFUSED = Cause("InvalidKey", "the key is not known", 401)
LOCKED_OUT = Cause("EGeneral:Temporary lockout", "", is_lockout=True)
TIMEOUT = Cause("transport/timeout", "")
INVALID_NONCE = CustodyError("EAPI:Invalid nonce")


@dataclass
class Client:
    """A stand-in for a client: only its credential, and whether it was closed, matter here."""

    secrets: Secrets
    closed: bool = field(default=False)

    async def close(self) -> None:
        self.closed = True


def connect(secrets: Secrets) -> CustodyClient:
    return cast("CustodyClient", Client(secrets))


def settings_of(directory: Path = Path(), **keys: object) -> CredentialSettings:
    source = {"api_secret_env": "SECRET", **keys}
    if "api_key_file" not in source:
        source["api_key_env"] = "KEY"
    document = {"credentials": {"main": source}, "organizations": [{"id": "AAAABBBBCCCCDDDD"}]}
    environ = {"KEY": "a-key", "SECRET": SECRET}
    return parse(yaml.safe_dump(document), directory=directory, environ=environ).credentials["main"]


def credential_with(
    settings: CredentialSettings | None = None, own_budget: Budget | None = None, name: str = "main"
) -> Credential:
    settings = settings or settings_of()
    secrets = settings.read()
    return Credential(
        name=name,
        settings=settings,
        secrets=secrets,
        connect=connect,
        client=connect(secrets),
        pause=Pause(60.0, 900.0),
        own_budget=own_budget,
    )


def budget(requests: int = 5, window: float = 10.0) -> Budget:
    return Budget(requests, window, in_flight=0, now=0.0)


@pytest.mark.parametrize(
    ("most", "in_flight", "moment"),
    [(1, 0, 100.0), (1, 1, math.inf), (3, 2, 100.0), (3, 3, math.inf), (3, 4, math.inf)],
)
def test_a_request_waits_while_the_maximum_is_in_flight(
    most: int, in_flight: int, moment: float
) -> None:
    credential = credential_with(settings_of(max_in_flight=most))
    credential.in_flight = in_flight
    assert credential.ready_at(100.0) == moment


def test_requests_go_one_after_the_other_while_nothing_is_answered() -> None:
    credential = credential_with(settings_of(max_in_flight=3))
    credential.in_flight = 1
    for _ in range(2):
        assert credential.ready_at(100.0) == 100.0
        credential.silence.unanswered(TIMEOUT, 90.0, is_news=True)
    assert credential.ready_at(100.0) == math.inf
    credential.in_flight = 0
    assert credential.ready_at(100.0) == 100.0
    credential.in_flight = 1
    credential.silence.answered()
    assert credential.ready_at(100.0) == 100.0


def test_a_request_waits_for_the_credentials_own_budget_and_for_its_pause() -> None:
    credential = credential_with(own_budget=budget())
    assert credential.own_budget is not None
    assert credential.ready_at(0.0) == 2.5
    credential.own_budget.take(2.5)
    assert credential.ready_at(2.5) == 5.0
    # A slot that is free by then counts as free.
    for moment in (5.0, 7.5, 10.0, 12.5):
        credential.own_budget.take(moment)
        credential.own_budget.give_back(Delivery.ANSWERED, moment)
    credential.own_budget.give_back(Delivery.ANSWERED, 12.5)
    assert credential.ready_at(12.5) == 15.0
    assert credential.ready_at(30.0) == 15.0
    credential.pause.begin(REFUSED, sent_at=2.5, now=3.0)
    assert credential.ready_at(3.0) == 63.0


@pytest.mark.parametrize(
    ("lost", "is_slow", "slow_turn_at"),
    [(0.0, False, 7.0), (1.0, False, 7.0), (1.5, True, 113.5), (10.0, True, 190.0)],
)
def test_a_target_that_took_more_than_a_second_to_fail_gives_way_for_nine_times_as_long(
    lost: float,
    is_slow: bool,  # noqa: FBT001 - a column of the table
    slow_turn_at: float,
) -> None:
    credential = credential_with()
    credential.slow_turn_at = 7.0
    assert credential.deprioritise_slow(100.0 - lost, 100.0) is is_slow
    assert credential.slow_turn_at == pytest.approx(slow_turn_at)


@pytest.mark.parametrize(
    ("has_accepted", "most", "event"),
    [
        (True, 1, "key_shared"),
        (False, 1, "nonce_behind"),
        (False, 2, "nonce_behind"),
        (True, 2, None),
    ],
)
def test_the_third_refused_nonce_is_logged_with_its_meaning(
    has_accepted: bool,  # noqa: FBT001 - a column of the table
    most: int,
    event: str | None,
) -> None:
    credential, watch = credential_with(settings_of(max_in_flight=most)), NonceWatch()
    if has_accepted:
        watch.accepted()
    with capture_logs() as events:
        for moment in (10.0, 20.0, 30.0, 40.0):
            assert not events or moment > 30.0
            credential.check_nonce_conflict(INVALID_NONCE, watch, moment)
    assert [logged["event"] for logged in events] == ([event] if event else [])
    for logged in events:
        assert logged["log_level"] == "warning"
        assert (logged["credential"], logged["type"]) == ("main", "EAPI:Invalid nonce")
        assert logged["problem"]


def test_other_errors_say_nothing_about_nonces() -> None:
    credential, watch = credential_with(), NonceWatch()
    with capture_logs() as events:
        for moment in range(10):
            credential.check_nonce_conflict(CustodyError("EAPI:Invalid key"), watch, moment)
    assert events == []


RENEWED = CredentialChange("main", "main", is_renewed=True)
ANOTHER_KEY = CredentialChange("main", "main", is_renewed=True, is_another_key=True)
SAME = CredentialChange("main", "main")
ANOTHER_LIMIT = CredentialChange("main", "main", has_another_limit=True)


@pytest.mark.parametrize(
    ("change", "cause", "is_over"),
    [
        (SAME, REFUSED, False),
        (RENEWED, REFUSED, True),
        (RENEWED, LOCKED_OUT, False),
        (ANOTHER_KEY, LOCKED_OUT, True),
        (ANOTHER_KEY, REFUSED, True),
    ],
)
def test_a_reload_ends_the_pause_unless_what_it_was_about_is_the_same(
    change: CredentialChange,
    cause: Cause,
    is_over: bool,  # noqa: FBT001 - a column of the table
) -> None:
    credential, new = credential_with(), credential_with()
    credential.pause.begin(cause, sent_at=0.0, now=0.0)
    credential.reload(new, change, now=10.0)
    assert credential.pause.is_active is not is_over
    assert (credential.pause is new.pause) is is_over


@pytest.mark.parametrize(("change", "generation"), [(SAME, 3), (ANOTHER_LIMIT, 3), (RENEWED, 4)])
def test_a_reload_watches_other_secrets_from_the_start_and_counts_them(
    change: CredentialChange, generation: int
) -> None:
    credential, new = credential_with(), credential_with()
    credential.generation = 3
    before = credential.nonce_watch, credential.silence
    credential.reload(new, change, now=10.0)
    assert credential.generation == generation
    after = credential.nonce_watch, credential.silence
    assert after == ((new.nonce_watch, new.silence) if change is RENEWED else before)


def test_a_reload_takes_over_name_settings_secrets_and_client_and_keeps_requests_in_flight() -> (
    None
):
    credential = credential_with()
    new = credential_with(settings_of(nonce="milliseconds"), name="renamed")
    credential.in_flight, credential.slow_turn_at, credential.secrets_problem = 2, 50.0, "gone"
    credential.reload(new, SAME, now=10.0)
    assert credential.name == "renamed"
    assert credential.settings is new.settings
    assert credential.secrets is new.secrets
    assert credential.connect is new.connect
    assert credential.client is new.client
    assert (credential.in_flight, credential.slow_turn_at) == (2, 50.0)
    assert credential.secrets_problem == ""


def test_a_credentials_budget_keeps_its_requests_under_another_limit() -> None:
    own = budget(5, 10.0)
    credential = credential_with(own_budget=own)
    own.take(10.0)
    credential.reload(credential_with(own_budget=budget(3, 30.0)), ANOTHER_LIMIT, now=10.0)
    assert credential.own_budget is own
    assert (own.requests, own.window, own.used(10.0)) == (3, 30.0, 1)


def test_an_own_budget_stays_what_it_is_while_its_limit_does() -> None:
    own = budget(5, 10.0)
    credential = credential_with(own_budget=own)
    credential.reload(credential_with(own_budget=budget(5, 10.0)), RENEWED, now=10.0)
    assert credential.own_budget is own


def test_an_own_budget_comes_and_goes_with_its_limit() -> None:
    credential, own = credential_with(), budget()
    credential.reload(credential_with(own_budget=own), ANOTHER_LIMIT, now=10.0)
    assert credential.own_budget is own
    credential.reload(credential_with(), ANOTHER_LIMIT, now=10.0)
    assert credential.own_budget is None


def read_again(credential: Credential) -> list[Any]:
    """Let a credential read its secrets again, and return the log."""
    with capture_logs() as events:
        asyncio.run(credential.read_secrets_again())
    return cast("list[Any]", events)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("a-key")
    file.chmod(0o600)
    return file


def test_secrets_that_have_changed_are_used_from_then_on(key_file: Path) -> None:
    credential = credential_with(settings_of(api_key_file=str(key_file)))
    old_client, old_watch = credential.client, credential.nonce_watch
    key_file.write_text("another-key")
    events = read_again(credential)
    assert events == [{"event": "secrets_changed", "log_level": "info", "credential": "main"}]
    assert credential.secrets.api_key == Secret("another-key")
    assert cast("Any", credential.client).secrets is credential.secrets
    assert cast("Any", old_client).closed
    assert credential.generation == 1
    assert isinstance(credential.nonce_watch, NonceWatch)
    assert credential.nonce_watch is not old_watch
    key_file.write_text("a-third-key")
    read_again(credential)
    assert credential.generation == 2


def test_secrets_that_have_not_changed_change_nothing(key_file: Path) -> None:
    credential = credential_with(settings_of(api_key_file=str(key_file)))
    before = credential.client, credential.nonce_watch, credential.secrets
    credential.secrets_problem = "was unreadable"
    assert read_again(credential) == []
    assert (credential.client, credential.nonce_watch, credential.secrets) == before
    assert not cast("Any", credential.client).closed
    assert (credential.generation, credential.secrets_problem) == (0, "")


def test_secrets_that_cannot_be_read_change_nothing_and_are_logged_once(key_file: Path) -> None:
    credential = credential_with(settings_of(api_key_file=str(key_file)))
    client = credential.client
    key_file.unlink()
    (event,) = read_again(credential)
    assert (event["event"], event["log_level"]) == ("secrets_unusable", "error")
    assert event["credential"] == "main"
    assert str(key_file) in event["problem"]
    assert credential.secrets_problem == event["problem"]
    assert read_again(credential) == []
    assert credential.client is client
    key_file.write_text("a-key")
    assert read_again(credential) == []
    assert credential.secrets_problem == ""
    key_file.unlink()
    assert [it["event"] for it in read_again(credential)] == ["secrets_unusable"]


def test_secrets_that_a_reload_has_read_meanwhile_are_not_replaced_by_older_ones(
    key_file: Path,
) -> None:
    credential = credential_with(settings_of(api_key_file=str(key_file)))
    key_file.write_text("another-key")

    async def main() -> None:
        reading = asyncio.create_task(credential.read_secrets_again())
        await asyncio.sleep(0)
        credential.reload(credential_with(), SAME, now=0.0)
        await reading

    asyncio.run(main())
    assert credential.secrets.api_key == Secret("a-key")
    assert credential.generation == 0


def test_a_changed_secret_that_cannot_be_krakens_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    settings = settings_of(api_secret_file=str(file), api_secret_env=None)
    credential = credential_with(settings)
    file.write_text(base64.b64encode(b"half a secret").decode())
    changed, unusual = read_again(credential)
    assert changed["event"] == "secrets_changed"
    assert (unusual["event"], unusual["credential"]) == ("secret_unusual", "main")


def test_a_secret_of_the_right_length_is_not_warned_of_and_another_one_is() -> None:
    good = settings_of().read()
    with capture_logs() as events:
        warn_of_unusual_secret("main", good)
        assert events == []
        short = Secrets(good.api_key, type(good.api_secret)(b"half a secret"))
        warn_of_unusual_secret("main", short)
    (event,) = events
    assert (event["event"], event["log_level"], event["credential"]) == (
        "secret_unusual",
        "warning",
        "main",
    )
    assert event["problem"].startswith("the API secret is not as long as")
    assert "half a secret" not in str(event)


@dataclass
class OpenFiles:
    """A stand-in for settings with secret files that every user can read."""

    files: dict[str, Path]

    def files_open_to_all(self) -> dict[str, Path]:
        return self.files


def test_each_secret_file_that_everybody_can_read_is_warned_of() -> None:
    files = {"api_key_file": Path("/etc/key"), "otp_file": Path("/etc/otp")}
    with capture_logs() as events:
        warn_of_open_files("main", cast("CredentialSettings", OpenFiles(files)))
    assert all("chmod 600" in event.pop("problem") for event in events)
    assert events == [
        {
            "event": "secret_file_readable",
            "log_level": "warning",
            "credential": "main",
            "field": field_,
            "file": str(file),
        }
        for field_, file in files.items()
    ]
