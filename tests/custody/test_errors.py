import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.custody.errors import (
    DOCUMENTED_PROBLEMS,
    FORESEEN,
    BoundedNames,
    Cleaner,
    CustodyError,
    Reaction,
    reaction_to,
)


@pytest.mark.parametrize(
    ("type_", "status", "reaction"),
    [
        ("BadRequest", 400, Reaction.BACK_OFF),
        ("PermissionDenied", 403, Reaction.BACK_OFF),
        ("gateway/ReadUpstream", 500, Reaction.RETRY),
        ("gateway/WriteResponse", 500, Reaction.RETRY),
        ("gateway/Connect", 500, Reaction.RETRY),
        ("gateway/Connect", 503, Reaction.RETRY),
        ("gateway/Fatal", 500, Reaction.RETRY),
        ("Unknown", 500, Reaction.RETRY),
        ("InvalidKey", 401, Reaction.PAUSE_CREDENTIAL),
        ("InvalidKey", 403, Reaction.PAUSE_CREDENTIAL),
        ("InvalidSignature", 401, Reaction.PAUSE_CREDENTIAL),
        ("NobodyForesawThis", 401, Reaction.PAUSE_CREDENTIAL),
        ("InvalidNonce", 401, Reaction.AGAIN),
        ("InvalidNonce", 400, Reaction.AGAIN),
        ("RateLimitExceeded", 403, Reaction.PAUSE_ALL),
        ("rate_limit", 503, Reaction.PAUSE_ALL),
        ("NobodyForesawThis", 429, Reaction.PAUSE_ALL),
        ("NobodyForesawThis", 418, Reaction.BACK_OFF),
        ("NobodyForesawThis", 200, Reaction.SLOW_DOWN),
        ("NobodyForesawThis", 408, Reaction.RETRY),
        ("NobodyForesawThis", 421, Reaction.RETRY),
        ("NobodyForesawThis", 425, Reaction.RETRY),
        ("EAPI:Invalid nonce", 200, Reaction.AGAIN),
        ("EAPI:Invalid nonce", 401, Reaction.AGAIN),
        ("EAPI:Invalid key", 200, Reaction.PAUSE_CREDENTIAL),
        ("EAPI:Invalid signature", 200, Reaction.PAUSE_CREDENTIAL),
        ("EGeneral:Temporary lockout", 200, Reaction.LOCK_OUT),
        ("EGeneral:Temporary lockout", 401, Reaction.LOCK_OUT),
        ("EGeneral:Internal error", 200, Reaction.RETRY),
        ("EDatabase:Internal error", 200, Reaction.RETRY),
        ("EDatabase:Timeout", 400, Reaction.RETRY),
        ("EGeneral:Maintenance of something", 200, Reaction.SLOW_DOWN),
        ("EQuery:Unknown asset", 200, Reaction.SLOW_DOWN),
        ("EQuery:Unknown asset", 400, Reaction.BACK_OFF),
        ("EGeneral:Invalid arguments", 200, Reaction.BACK_OFF),
        ("EGeneral:Unknown method", 200, Reaction.BACK_OFF),
        ("EAPI:Rate limit exceeded", 200, Reaction.PAUSE_ALL),
        ("EAuth:Rate limit exceeded", 200, Reaction.PAUSE_ALL),
        ("EAuth:Too many requests", 200, Reaction.PAUSE_ALL),
        ("EGeneral:Too many requests", 200, Reaction.PAUSE_ALL),
        ("EService:Throttled", 200, Reaction.PAUSE_ALL),
        ("EService:Unavailable", 200, Reaction.RETRY),
        ("EService:Busy", 520, Reaction.RETRY),
        ("EGeneral:Unknown method", 404, Reaction.BACK_OFF),
        ("EGeneral:Permission denied", 200, Reaction.BACK_OFF),
        ("http/204", 204, Reaction.SLOW_DOWN),
        ("http/301", 301, Reaction.SLOW_DOWN),
        ("http/404", 404, Reaction.BACK_OFF),
        ("http/408", 408, Reaction.RETRY),
        ("http/blocked", 403, Reaction.SLOW_DOWN),
        ("http/blocked", 520, Reaction.SLOW_DOWN),
        ("http/429", 429, Reaction.PAUSE_ALL),
        ("http/502", 502, Reaction.RETRY),
        ("http/599", 599, Reaction.RETRY),
        ("http/999", 999, Reaction.SLOW_DOWN),
    ],
)
def test_each_failure_has_its_reaction(type_: str, status: int, reaction: Reaction) -> None:
    assert reaction_to(status, type_) is reaction


@given(status=st.integers(100, 999), type_=st.text())
def test_no_failure_is_without_a_reaction(status: int, type_: str) -> None:
    assert reaction_to(status, type_) in Reaction


def test_the_failures_that_are_known_in_advance_are_those_that_kraken_documents_and_our_own() -> (
    None
):
    assert FORESEEN == (
        (400, "BadRequest"),
        (403, "PermissionDenied"),
        (500, "gateway/ReadUpstream"),
        (500, "gateway/WriteResponse"),
        (500, "gateway/Connect"),
        (500, "gateway/Fatal"),
        (500, "Unknown"),
        (503, "gateway/Connect"),
        (200, "EAPI:Invalid key"),
        (200, "EAPI:Invalid nonce"),
        (200, "EAPI:Invalid signature"),
        (200, "EAPI:Rate limit exceeded"),
        (200, "EAuth:Rate limit exceeded"),
        (200, "EAuth:Too many requests"),
        (200, "EGeneral:Internal error"),
        (200, "EGeneral:Invalid arguments"),
        (200, "EGeneral:Permission denied"),
        (200, "EGeneral:Temporary lockout"),
        (200, "EGeneral:Too many requests"),
        (200, "EGeneral:Unknown method"),
        (200, "EService: Throttled"),
        (200, "EService:Busy"),
        (200, "EService:Throttled"),
        (200, "EService:Unavailable"),
        (403, "http/blocked"),
        (None, "transport/timeout"),
        (None, "transport/connect"),
        (None, "transport/tls"),
        (None, "transport/protocol"),
        (200, "response/invalid"),
        (200, "response/too_large"),
        (200, "limit/series"),
        (None, "internal"),
    )


def test_at_most_64_unforeseen_names_pass_and_stay() -> None:
    bounded = BoundedNames(known=("BadRequest",))
    names = [f"name {number}" for number in range(65)]
    assert [bounded(name) for name in names] == [*names[:64], "other"]
    assert [bounded(name) for name in names] == [*names[:64], "other"]


def test_a_documented_name_passes_however_many_came_before() -> None:
    bounded = BoundedNames(known=tuple(name for _, name in DOCUMENTED_PROBLEMS), limit=1)
    assert [bounded(name) for name in ("first", "second", "BadRequest")] == [
        "first",
        "other",
        "BadRequest",
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Permission denied.", "Permission denied."),
        ("", ""),
        ("  two\r\n lines\t", "two lines"),
        ("\x1b[31mred\x07\x00", "[31mred"),
        ("zero\u200bwidth and \u202eturned", "zero width and turned"),
        ("half \ud83d of it", "half of it"),
        ("non\u00a0breaking", "non breaking"),
        ("naïve 日本 ₿", "naïve 日本 ₿"),
        ("x" * 30, "x" * 30),
        ("x" * 31, "x" * 29 + "…"),
        ("the key is opensesame!", "the key is <secret>!"),
        ("opensesameopensesame", "<secret><secret>"),
        ("x" * 25 + "opensesame", "x" * 25 + "<sec…"),
        ("longer: opensesame-street", "longer: <secret>"),
    ],
    ids=repr,
)
def test_what_the_api_says_is_cleaned_and_cut(said: str, shown: str) -> None:
    assert Cleaner("opensesame", "opensesame-street")(said, 30) == shown


def test_a_secret_that_was_replaced_is_left_out_as_well() -> None:
    clean = Cleaner("old-key")
    clean.learn("new-key", "new-key-2")
    assert clean("old-key, new-key, new-key-2", 60) == "<secret>, <secret>, <secret>"


def test_only_the_beginning_of_an_endless_text_is_looked_at() -> None:
    assert Cleaner()("\x00" * 9_998 + "early", 30) == "ea"


def test_only_the_beginning_of_an_endless_text_is_searched_for_secrets() -> None:
    """With a hundred credentials that would hold everything else up for seconds."""

    class Endless(str):
        __slots__ = ()

        def replace(self, *_: object) -> str:
            raise AssertionError

    assert Cleaner("secret")(Endless("a secret " + " " * 20_000), 30) == "a <secret>"


def test_no_part_of_a_secret_is_left_at_the_cut_of_an_endless_text() -> None:
    assert Cleaner("opensesame")(" " * 9_995 + "opensesame", 30) == ""
    assert Cleaner("x" * 1_000)("y" * 10_001, 30) == ""


@given(said=st.text(st.characters()), length=st.integers(1, 50))
def test_cleaned_text_is_printable_short_and_without_the_secret(said: str, length: int) -> None:
    shown = Cleaner("secret")(said + "secret" + said, length)
    assert shown.isprintable()
    assert len(shown) <= length
    assert "secret" not in shown.replace("<secret>", "|").removesuffix("<secret…")


def test_an_error_reads_as_its_type_and_its_message() -> None:
    assert str(CustodyError("BadRequest", message="Invalid parameter.")) == (
        "BadRequest: Invalid parameter."
    )
    assert str(CustodyError("http/502")) == "http/502"


@pytest.mark.parametrize(
    ("reaction", "status", "type_", "may_be_mended"),
    [
        (Reaction.PAUSE_CREDENTIAL, 401, "InvalidKey", True),
        (Reaction.PAUSE_CREDENTIAL, 200, "EAPI:Invalid signature", True),
        (Reaction.BACK_OFF, 403, "http/403", True),
        (Reaction.BACK_OFF, 200, "EGeneral:Permission denied", True),
        (Reaction.BACK_OFF, 400, "PERMISSION_DENIED", True),
        (Reaction.BACK_OFF, 404, "http/404", False),
        (Reaction.BACK_OFF, 400, "BadRequest", False),
        (Reaction.SLOW_DOWN, 403, "http/blocked", False),
        (Reaction.RETRY, 500, "PermissionService", False),
        (Reaction.LOCK_OUT, 403, "EGeneral:Temporary lockout", False),
        (Reaction.WAIT, None, "transport/timeout", False),
    ],
)
def test_other_secrets_may_fix_a_refused_key_or_a_missing_permission(
    reaction: Reaction,
    status: int | None,
    type_: str,
    may_be_mended: bool,  # noqa: FBT001 - a column of the table
) -> None:
    error = CustodyError(type_, status=status, reaction=reaction)
    assert error.may_be_mended_by_secrets is may_be_mended


@pytest.mark.parametrize(
    ("type_", "refuses"),
    [
        ("EAPI:Invalid nonce", True),
        ("InvalidNonce", True),
        ("NONCE_TOO_SMALL", True),
        ("EAPI:Invalid key", False),
        ("http/401", False),
    ],
)
def test_an_error_that_names_the_nonce_refuses_it(
    type_: str,
    refuses: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert CustodyError(type_).refuses_nonce is refuses


def test_an_answer_counts_as_the_apis_by_default() -> None:
    assert reaction_to(404, "http/404") is Reaction.BACK_OFF
    assert reaction_to(404, "http/404", is_from_api=False) is Reaction.SLOW_DOWN


def test_64_unknown_names_are_passed_by_default() -> None:
    bounded = BoundedNames()
    names = [bounded(f"Name{number}") for number in range(65)]
    assert names == [f"Name{number}" for number in range(64)] + ["other"]
