import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.guard import Guard, Refusal, signature
from tests.simulator.calling import API_KEY, API_SECRET

NONCE = "1616492376594"
LATE_NONCE = "1791504602000000000"
ROOT = "/v0/insto/custody"
TARGET = b"/v0/insto/custody/vaults"

# Published by Kraken (A: Spot REST authentication; B: Custody REST authentication) and in an
# independent client's tests (C1, C2: gocryptotrader).
PUBLISHED = {
    "A": (
        "/0/private/AddOrder",
        NONCE,
        "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25",
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ==",
    ),
    "B": (
        "/0/private/GetCustodyTask?id=TGWOJ4JQPOTZT2",
        NONCE,
        '{"nonce":1616492376594}',
        "2rM09q8HG7LvjivBitQUybwZ/DSeO8+i0U/at/wclH2Jma6gMaE/0Nw9dyLR+ykMd5eWCngSL4K58i6uJzXDCw==",
    ),
    "C1": (
        "/0/private/BalanceEx?account_id=WX6V-JUKW-KKPB-QE36",
        NONCE,
        '{"nonce":1616492376594}',
        "mDKg80CLShRldrIGu7taGp/GfMXUwqa53OEktcFfiiAJpU89rGT78n4oS/sEceeBmue9I87upd8KZ0OhfvlPxg==",
    ),
    "C2": (
        "/funding/v1/methods/withdraw?asset%5Bclass%5D=currency&asset%5Bname%5D=USDC&limit=50",
        LATE_NONCE,
        "",
        "ZDMDcR+vhL/pc5gQTi+RiuIVfTVW4HY/I8OHyuNzm+gVzPDwsnUDc6zH/BiYQaXblbP8LTrLbkGYA2oOzwaFvQ==",
    ),
}

# Not published: the same formula applied to custody requests, computed with other tools.
DERIVED = {
    "D1": (
        f"{ROOT}/organizations",
        NONCE,
        "",
        "eoa+LmyZ6D3v9v8r1HyDGmQM3p04LjEfHjEPc34O9ZSITt9qzDOCE2DrXYqEwSw08N97ePWEZBGc3RUjyQHv/w==",
    ),
    "D2": (
        f"{ROOT}/vaults/VW44KPQC4C62K6/assets/balances?quote_asset=USD",
        NONCE,
        "",
        "axG6Em8Gn6fb+0KKMRYaCft12QLK5IgaQoFFQbqoO9OlsXIqKH5JuSyG9Sy2y34DblJpKU5SVOVzwh7u7VOLJA==",
    ),
    "D3": (
        f"{ROOT}/vaults?limit=100&offset=0",
        NONCE,
        "",
        "2vrX30t1AnZTXVVeqCGwIBKNF1dyWSC6z5GWbn9/z/wEgNDoa6VkUP2rpWmOCMl0YMlqr5cBm8yd59W0sjGL6Q==",
    ),
    "D4": (
        f"{ROOT}/organizations/ABCD%20EFGH%20IJKL%20MNOP/balances?quote_asset=USD",
        NONCE,
        "",
        "DWXUZ72Cg8KeI7Wsc6sDuU+AxkXh8Ki/+C3drujglTrsZLWEUF0twMr0+MGIRidS/CjfYGhhviYHF0UFy/3fMg==",
    ),
    "D5": (
        f"{ROOT}/organizations/ABCDEFGHIJKLMNOP/balances?quote_asset=USD",
        NONCE,
        "",
        "lUn7j1eVwyMdjnpdJ0GjXd7E7axIGVlZwCRdEWV3/IeN7ueeEoxIXlSPkpq7AeUxmxTnqT56sfAnLj5p0OenVA==",
    ),
    "D6": (
        f"{ROOT}/vaults/VW44KPQC4C62K6/balances?quote_asset=USD",
        NONCE,
        "",
        "e3JLb4b24aVSvfsEIkHY/hKSPUKYWK6PXrQkeCK2ab4n4dib+D9Rbl51uXYmLp0mJUSNCA96UrrZ+04RPBWWZA==",
    ),
    "D7": (
        f"{ROOT}/vaults",
        NONCE,
        "",
        "4uotVP/1I1yfROlFi0zQicTck2tE1JhZdbHL+0WUDknkPKmEKClxMBQIwts6b3JTQO6KhuvWI69Jo3nuNbVNHw==",
    ),
    "D8": (
        f"{ROOT}/vaults/VW44KPQC4C62K6/assets/balances?quote_asset=USD",
        LATE_NONCE,
        "",
        "/8XvGYdS5wyKDJ3zLocVyg2/+h+VBwHhPNt0yzbwJTO7xQjpsBCot9uf3x+zN9KJUoQFdgwGXirnZPSVadkjKQ==",
    ),
}
VECTORS = PUBLISHED | DERIVED


# eighths of a second, whose sums are exact
GAPS = st.integers(0, 160).map(lambda eighths: eighths / 8)


def guard(limit: int = 3, window: float = 30.0, otp: str | None = None) -> Guard:
    return Guard({API_KEY: API_SECRET}, limit, window, otp)


def signed(nonce: str, *, secret: str = API_SECRET, **others: str) -> dict[str, str]:
    headers = {
        "api-key": API_KEY,
        "api-nonce": nonce,
        "api-sign": signature(secret, TARGET, nonce),
    }
    return headers | {name.replace("_", "-"): value for name, value in others.items()}


def without(header: str) -> dict[str, str]:
    return {name: value for name, value in signed("1").items() if name != header}


@pytest.mark.parametrize("name", VECTORS)
def test_the_known_signature_passes(name: str) -> None:
    target, nonce, body, sign = VECTORS[name]
    headers = {"api-key": API_KEY, "api-nonce": nonce, "api-sign": sign}
    assert guard().authenticate(target.encode(), headers, body.encode()) is None


@pytest.mark.parametrize("name", VECTORS)
def test_the_known_signature_passes_for_nothing_else(name: str) -> None:
    target, nonce, body, sign = VECTORS[name]
    headers = {"api-key": API_KEY, "api-nonce": nonce, "api-sign": sign}
    for other_target, other_headers, other_body in (
        (target + "x", headers, body),
        (target, headers | {"api-nonce": nonce + "0"}, body),
        (target, headers, body + " "),
    ):
        refusal = guard().authenticate(other_target.encode(), other_headers, other_body.encode())
        assert refusal is Refusal.INVALID_SIGNATURE


def test_the_encoded_and_the_raw_space_are_signed_differently() -> None:
    target, nonce, _, sign = VECTORS["D4"]
    assert signature(API_SECRET, target.replace("%20", " ").encode(), nonce) != sign


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, Refusal.INVALID_KEY),
        (without("api-key"), Refusal.INVALID_KEY),
        (signed("1", api_key="another"), Refusal.INVALID_KEY),
        (without("api-sign"), Refusal.INVALID_SIGNATURE),
        (without("api-nonce"), Refusal.INVALID_SIGNATURE),
        (signed("1", secret="c2VjcmV0"), Refusal.INVALID_SIGNATURE),
        (signed("1", api_sign="é"), Refusal.INVALID_SIGNATURE),
        (signed(""), Refusal.INVALID_NONCE),
        (signed("-1"), Refusal.INVALID_NONCE),
        (signed("+1"), Refusal.INVALID_NONCE),
        (signed("1.5"), Refusal.INVALID_NONCE),
        (signed("1_000"), Refusal.INVALID_NONCE),
        (signed("²"), Refusal.INVALID_NONCE),
        (signed(str(2**64)), Refusal.INVALID_NONCE),
        (signed("9" * 5000), Refusal.INVALID_NONCE),
        (signed(str(2**64 - 1)), None),
        (signed("0"), None),
    ],
)
def test_the_caller_is_authenticated(headers: dict[str, str], refusal: Refusal | None) -> None:
    checked = guard()
    assert checked.authenticate(TARGET, headers, b"") is refusal
    assert checked.refusals == ({refusal: 1} if refusal else {})


@pytest.mark.parametrize(
    ("second", "refusal"),
    [("99", Refusal.INVALID_NONCE), ("100", Refusal.INVALID_NONCE), ("101", None)],
)
def test_a_nonce_must_exceed_the_last_one(second: str, refusal: Refusal | None) -> None:
    checked = guard()
    assert checked.authenticate(TARGET, signed("100"), b"") is None
    assert checked.authenticate(TARGET, signed(second), b"") is refusal


def test_nonces_are_compared_as_numbers() -> None:
    checked = guard()
    assert checked.authenticate(TARGET, signed("9"), b"") is None
    assert checked.authenticate(TARGET, signed("10"), b"") is None


def test_a_refused_request_does_not_use_up_its_nonce() -> None:
    checked = guard()
    forged = signed("100", secret="c2VjcmV0")
    assert checked.authenticate(TARGET, forged, b"") is Refusal.INVALID_SIGNATURE
    assert checked.authenticate(TARGET, signed("50"), b"") is None


def test_each_key_has_its_own_nonces() -> None:
    checked = guard()
    checked.secrets["second"] = API_SECRET
    assert checked.authenticate(TARGET, signed("100"), b"") is None
    assert checked.authenticate(TARGET, signed("1", api_key="second"), b"") is None


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        (signed("1"), Refusal.INVALID_OTP),
        (signed("1", api_otp="000000"), Refusal.INVALID_OTP),
        (signed("1", api_otp="123456"), None),
    ],
)
def test_a_configured_password_is_required(
    headers: dict[str, str], refusal: Refusal | None
) -> None:
    assert guard(otp="123456").authenticate(TARGET, headers, b"") is refusal


@pytest.mark.parametrize(
    ("moments", "refused"),
    [
        ([0, 0, 0], 0),
        ([0, 0, 0, 0], 1),
        ([0, 10, 20, 29.9], 1),
        ([0, 10, 20, 30], 0),
        ([0, 10, 20, 30, 39.9], 1),
        ([0, 10, 20, 30, 40, 50], 0),
        ([29, 29, 29, 31], 1),
        ([0, 1, 2, 3, 31, 32, 33.5], 1),
        ([0, 1, 2, 3, 30, 31], 3),
    ],
)
def test_three_calls_fit_into_any_window_of_thirty_seconds(
    moments: list[float], refused: int
) -> None:
    checked = guard(limit=3, window=30.0)
    answers = [checked.count("10.0.0.1", "/", now) for now in moments]
    assert answers.count(Refusal.OVER_LIMIT) == refused
    assert checked.refusals[Refusal.OVER_LIMIT] == refused
    assert checked.arrivals == len(moments)


def test_a_refused_call_counts_too() -> None:
    checked = guard(limit=1, window=30.0)
    assert checked.count("10.0.0.1", "/", 0) is None
    assert checked.count("10.0.0.1", "/", 20) is Refusal.OVER_LIMIT
    assert checked.count("10.0.0.1", "/", 40) is Refusal.OVER_LIMIT


def test_each_address_has_its_own_window() -> None:
    checked = guard(limit=1)
    assert checked.count("10.0.0.1", "/", 0) is None
    assert checked.count("10.0.0.2", "/", 0) is None
    assert checked.largest_window == 1


@given(
    gaps=st.lists(GAPS, min_size=1, max_size=40),
    limit=st.integers(1, 5),
)
def test_the_largest_window_is_what_counting_each_window_gives(
    gaps: list[float], limit: int
) -> None:
    checked = guard(limit, window=30.0)
    moments = [sum(gaps[:number]) for number in range(1, len(gaps) + 1)]
    for now in moments:
        checked.count("10.0.0.1", "/", now)
    windows = [
        sum(now - 30 < moment for moment in moments[: number + 1])
        for number, now in enumerate(moments)
    ]
    assert checked.largest_window == max(windows)
    assert checked.refusals[Refusal.OVER_LIMIT] == sum(window > limit for window in windows)


def test_a_caller_below_the_limit_need_not_wait_and_one_above_it_must() -> None:
    checked = guard(1, window=30.0)
    assert checked.retry_after("10.0.0.1", 7.0) == 0
    checked.count("10.0.0.1", "/", 7.0)
    assert checked.retry_after("10.0.0.1", 9.5) == 28


@given(gaps=st.lists(GAPS, max_size=20), limit=st.integers(1, 5))
def test_a_caller_that_waits_for_retry_after_is_let_in(gaps: list[float], limit: int) -> None:
    checked = guard(limit, window=30.0)
    now = 0.0
    for gap in gaps:
        now += gap
        checked.count("10.0.0.1", "/", now)
    now += checked.retry_after("10.0.0.1", now)
    assert checked.count("10.0.0.1", "/", now) is None


def test_requests_in_flight_are_counted_by_key() -> None:
    checked = guard()
    with checked.in_flight("a"), checked.in_flight("b"):
        pass
    with checked.in_flight("a"), checked.in_flight("a"):
        pass
    assert checked.largest_in_flight == {"a": 2, "b": 1}


def test_polls_are_counted_by_path() -> None:
    checked = guard()
    for path in ("/a", "/b", "/a"):
        checked.count("10.0.0.1", path, 0)
    assert checked.polls == {"/a": 2, "/b": 1}
