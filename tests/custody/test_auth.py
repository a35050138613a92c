import base64
import time
from itertools import pairwise

import httpx
import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Secrets
from exporter.custody.auth import NANOSECONDS_IN, KeyAuth, Nonce, Nonces, secret_texts, sign
from exporter.custody.errors import MayNotSendError
from exporter.secret import Secret
from tests.simulator.calling import API_SECRET, NOON
from tests.simulator.test_guard import DERIVED, VECTORS

SECRET = base64.b64decode(API_SECRET)
HOUR_NS = 3600 * 10**9
NOON_NS = int(NOON) * 10**9
# RFC 6238, appendix B: the seed is the ASCII text 12345678901234567890.
RFC_SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


class WallClock:
    """Nanoseconds that are what they are set to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def secrets(**optional: Secret[str]) -> Secrets:
    return Secrets(Secret("a-key"), Secret(SECRET), **optional)


def sent_headers(given: Secrets, wall: float = NOON) -> httpx.Headers:
    """The headers of a signed request."""
    return sent(given, "/v0/insto/custody/vaults", nonce=1, wall=wall).headers


def sent(given: Secrets, target: str, nonce: int, wall: float = NOON) -> httpx.Request:
    request = httpx.Request("GET", f"https://api.kraken.test{target}")
    KeyAuth(given, Nonce("nanoseconds", lambda: nonce), lambda: wall).sign(request)
    return request


@pytest.mark.parametrize("name", VECTORS)
def test_the_signature_is_the_published_one(name: str) -> None:
    target, nonce, body, signature = VECTORS[name]
    assert sign(SECRET, target.encode(), nonce, body.encode()) == signature


@pytest.mark.parametrize("name", DERIVED)
def test_a_request_goes_out_with_the_signature_of_its_own_request_line(name: str) -> None:
    target, nonce, _, signature = DERIVED[name]
    request = sent(secrets(), target, int(nonce))
    assert request.url.raw_path == target.encode()
    assert request.headers["api-key"] == "a-key"
    assert request.headers["api-nonce"] == nonce
    assert request.headers["api-sign"] == signature


def test_a_space_is_signed_as_it_is_sent() -> None:
    target, nonce, _, signature = DERIVED["D4"]
    request = sent(secrets(), target.replace("%20", " "), int(nonce))
    assert request.url.raw_path == target.encode()
    assert request.headers["api-sign"] == signature


@pytest.mark.parametrize(
    ("unit", "nonce"),
    [
        ("nanoseconds", "1795262400123456789"),
        ("microseconds", "1795262400123456"),
        ("milliseconds", "1795262400123"),
    ],
)
def test_a_nonce_is_the_time_in_the_unit_of_its_key(unit: str, nonce: str) -> None:
    assert Nonce(unit, WallClock(NOON_NS + 123_456_789)).next() == nonce


@pytest.mark.parametrize("unit", ["nanoseconds", "microseconds", "milliseconds"])
@pytest.mark.parametrize(
    "step", [0, -HOUR_NS, 1], ids=["stands still", "goes back by an hour", "hardly moves"]
)
def test_nonces_increase_by_one_while_the_clock_does_not_move_on(unit: str, step: int) -> None:
    clock = WallClock(NOON_NS)
    nonce = Nonce(unit, clock)
    first = int(nonce.next())
    clock.now += step
    assert [int(nonce.next()) for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_nonces_follow_the_clock_again_once_it_has_caught_up() -> None:
    clock = WallClock(NOON_NS)
    nonce = Nonce("milliseconds", clock)
    nonce.next()
    clock.now -= HOUR_NS
    nonce.next()
    clock.now += 2 * HOUR_NS
    assert nonce.next() == str((NOON_NS + HOUR_NS) // 10**6)


@pytest.mark.parametrize(
    ("unit", "nonce"),
    [
        ("nanoseconds", "2147483648000000000"),
        ("microseconds", "2147483648000000"),
        ("milliseconds", "2147483648000"),
    ],
)
def test_a_nonce_after_2038_fits_krakens_64_bits(unit: str, nonce: str) -> None:
    with freeze_time("2038-01-19 03:14:08"):
        assert Nonce(unit, lambda: time.time_ns()).next() == nonce  # noqa: PLW0108 - frozen when called
    assert int(nonce) < 2**64


@given(times=st.lists(st.integers(0, 2**62), min_size=2, max_size=20))
def test_nonces_increase_whatever_the_clock_does(times: list[int]) -> None:
    clock = WallClock(0)
    nonce = Nonce("nanoseconds", clock)
    nonces = []
    for clock.now in times:
        nonces.append(int(nonce.next()))
    assert all(earlier < later for earlier, later in pairwise(nonces))


def test_each_attempt_has_its_own_nonce_and_signature() -> None:
    auth = KeyAuth(secrets(), Nonce("nanoseconds", lambda: 1), lambda: NOON)
    request = httpx.Request("GET", "https://api.kraken.test/v0/insto/custody/vaults")
    headers = []
    for _ in range(2):
        auth.sign(request)
        headers.append((request.headers["api-nonce"], request.headers["api-sign"]))
    assert headers == [
        (nonce, sign(SECRET, b"/v0/insto/custody/vaults", nonce)) for nonce in ("1", "2")
    ]


def test_no_password_is_sent_where_none_is_configured() -> None:
    assert "api-otp" not in sent_headers(secrets())


def test_a_static_password_is_sent_as_it_is() -> None:
    assert sent_headers(secrets(otp=Secret("s3cret!")))["api-otp"] == "s3cret!"


@pytest.mark.parametrize(
    ("seconds", "password"),
    [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_109.9, "081804"),
        (1_111_111_111, "050471"),
        (20_000_000_000, "353130"),
    ],
)
def test_a_timed_password_is_that_of_rfc_6238_for_the_time(seconds: float, password: str) -> None:
    headers = sent_headers(secrets(totp_seed=Secret(RFC_SEED)), wall=seconds)
    assert headers["api-otp"] == password


@pytest.mark.parametrize("length", [18, 20, 26, 28, 31, 34])
def test_the_bits_of_a_seed_beyond_its_last_byte_are_no_part_of_the_key(length: int) -> None:
    shown, meant = "A" * (length - 1) + "B", "A" * length
    sent = [
        sent_headers(secrets(totp_seed=Secret(seed)), wall=59)["api-otp"] for seed in (shown, meant)
    ]
    assert sent[0] == sent[1]


def test_a_seed_of_80_bits_is_good_enough() -> None:
    headers = sent_headers(secrets(totp_seed=Secret("JBSWY3DPEHPK3PXP")), wall=59)
    assert headers["api-otp"] == "996554"


def test_every_secret_is_looked_for_in_what_the_api_says() -> None:
    assert secret_texts(secrets(otp=Secret("static"))) == ("a-key", API_SECRET, "static")
    assert secret_texts(secrets(totp_seed=Secret(RFC_SEED))) == ("a-key", API_SECRET, RFC_SEED)


def test_the_nonces_of_a_key_continue_with_a_new_client() -> None:
    clock = WallClock(NOON_NS)
    nonces = Nonces(clock)
    key, same_key, other = Secret("a-key"), Secret("a-key"), Secret("another-key")
    assert nonces.of(key, "nanoseconds").next() == str(NOON_NS)
    assert nonces.of(same_key, "nanoseconds").next() == str(NOON_NS + 1)
    assert nonces.of(other, "nanoseconds").next() == str(NOON_NS)
    # A coarser unit cannot go back below what the API has seen.
    assert nonces.of(key, "milliseconds").next() == str(NOON_NS + 2)
    assert nonces.of(Secret("a-third-key"), "milliseconds").next() == str(NOON_NS // 10**6)


def test_signatures_and_one_time_passwords_that_were_sent_are_left_out_of_a_text() -> None:
    given = secrets(totp_seed=Secret(RFC_SEED))
    auth = KeyAuth(given, Nonce("nanoseconds", lambda: 1), lambda: 59.0)
    request = httpx.Request("GET", "https://api.kraken.test/v0/insto/custody/vaults")
    auth.sign(request)
    signature, password = request.headers["api-sign"], request.headers["api-otp"]
    cleaned = auth.without_sent(f"refused: {signature} with {password}, please sign again")
    assert signature not in cleaned
    assert password not in cleaned
    assert cleaned.startswith("refused: ")
    assert cleaned.endswith(", please sign again")
    assert auth.without_sent("nothing was sent with this") == "nothing was sent with this"


def test_of_two_texts_that_were_sent_the_longer_is_left_out_first() -> None:
    # A static password that is a part of the signature must not tear the signature into two halves that are shown.
    request = httpx.Request("GET", "https://api.kraken.test/v0/insto/custody/vaults")
    signature = sign(SECRET, b"/v0/insto/custody/vaults", "1")
    auth = KeyAuth(
        secrets(otp=Secret(signature[20:60])), Nonce("nanoseconds", lambda: 1), lambda: NOON
    )
    auth.sign(request)
    cleaned = auth.without_sent(f"<{signature}>")
    assert signature[:20] not in cleaned
    assert signature[60:] not in cleaned


def test_the_last_sixteen_sent_texts_are_left_out_and_older_ones_forgotten() -> None:
    auth = KeyAuth(secrets(), Nonce("nanoseconds", lambda: 1), lambda: NOON)
    signatures = []
    for _ in range(17):
        request = httpx.Request("GET", "https://api.kraken.test/v0/insto/custody/vaults")
        auth.sign(request)
        signatures.append(request.headers["api-sign"])
    cleaned = auth.without_sent(" ".join(signatures))
    assert [signature for signature in signatures if signature in cleaned] == signatures[:1]


@pytest.mark.parametrize("unit", ["nanoseconds", "microseconds", "milliseconds"])
def test_nonces_begin_above_what_a_process_before_may_have_used(unit: str) -> None:
    divisor = NANOSECONDS_IN[unit]
    nonces = Nonces(WallClock(NOON_NS))
    nonces.bounds.above = NOON_NS + HOUR_NS + 1
    first = int(nonces.of(Secret("key"), unit).next())
    # The largest that was allowed until then, in this unit.
    assert first == (NOON_NS + HOUR_NS + 1) // divisor + 1


@pytest.mark.parametrize("unit", ["nanoseconds", "microseconds", "milliseconds"])
def test_no_nonce_is_above_its_bound(unit: str) -> None:
    divisor = NANOSECONDS_IN[unit]
    nonces = Nonces(WallClock(NOON_NS))
    nonces.bounds.up_to = NOON_NS + 2 * divisor
    nonce = nonces.of(Secret("key"), unit)
    taken = [int(nonce.next()) for _ in range(3)]
    assert taken == [NOON_NS // divisor + step for step in range(3)]
    with pytest.raises(MayNotSendError):
        nonce.next()
    nonces.bounds.up_to += divisor
    assert int(nonce.next()) == taken[-1] + 1


def test_a_clock_that_is_set_forward_uses_up_no_nonces() -> None:
    clock = WallClock(NOON_NS)
    nonces = Nonces(clock)
    nonces.bounds.up_to = NOON_NS + 60 * 10**9
    nonce = nonces.of(Secret("key"), "milliseconds")
    first = int(nonce.next())
    clock.now += HOUR_NS
    assert [int(nonce.next()) for _ in range(2)] == [first + 1, first + 2]


def test_the_highest_nonce_of_all_keys_is_known_in_nanoseconds() -> None:
    nonces = Nonces(WallClock(NOON_NS))
    nonces.of(Secret("key"), "milliseconds").next()
    assert nonces.bounds.highest == NOON_NS // 10**6 * 10**6
    nonces.of(Secret("other"), "nanoseconds").next()
    assert nonces.bounds.highest == NOON_NS
