"""How often a hash is computed, and that nobody learns from it who there is."""

import asyncio
import gc
import threading
from collections.abc import Mapping
from typing import Any

import bcrypt
import pytest
from pydantic import SecretStr

from exporter.web.access.passwords import (
    MOST_WAITING,
    MOST_WRONG,
    Passwords,
    TooManyChecksError,
    bcrypt_check,
)
from tests.web.access.files import HASH, OTHER_HASH, PASSWORD

USERS = {"alice": SecretStr(HASH), "bob": SecretStr(OTHER_HASH)}


class Counted:
    """Checks passwords, and counts how often. under_way: the most at any moment."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.under_way = 0
        self.most_under_way = 0

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.hashes.append(hashed)
        is_right = bcrypt_check(password, hashed)
        self.under_way -= 1
        return is_right


def ask(
    passwords: Passwords, *asked: tuple[str, bytes], users: Mapping[str, SecretStr] = USERS
) -> list[bool]:
    """Ask one after the other."""

    async def all_of_them() -> list[bool]:
        return [await passwords.is_right(users, *one) for one in asked]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("alice", PASSWORD, True),
        ("bob", b"other", True),
        ("alice", b"other", False),
        ("alice", b"", False),
        ("alice", PASSWORD + b"\0", False),
        ("alice", b"\0", False),
        ("alice", b"\xff" * 1000, False),
        ("carol", PASSWORD, False),
        ("carol", b"other", False),
        ("", b"", False),
        ("\udcff", PASSWORD, False),
    ],
)
def test_a_password_is_right_for_its_own_user_only(
    user: str, password: bytes, *, expected: bool
) -> None:
    assert ask(Passwords(), (user, password)) == [expected]


def test_what_bcrypt_does_not_look_at_makes_no_difference() -> None:
    """Other programs cut a password of more than 72 bytes when they hash it, and when they check it."""
    users = {"alice": SecretStr(bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())}
    asked = [("alice", b"x" * length) for length in (71, 72, 73)]
    assert ask(Passwords(), *asked, users=users) == [False, True, True]


def test_a_scraper_pays_for_its_password_once() -> None:
    check = Counted()
    assert ask(Passwords(check), *[("alice", PASSWORD)] * 10) == [True] * 10
    assert len(check.hashes) == 1


def test_a_wrong_password_is_remembered_too() -> None:
    check = Counted()
    assert ask(Passwords(check), *[("alice", b"old")] * 10) == [False] * 10
    assert len(check.hashes) == 1


@pytest.mark.parametrize("user", ["alice", "carol", ""])
def test_a_wrong_password_costs_one_hash_whoever_is_named(user: str) -> None:
    check = Counted()
    assert (
        ask(Passwords(check), (user, b"wrong"), (user, b"wrong"), (user, b"wronger")) == [False] * 3
    )
    assert len(check.hashes) == 2


def test_a_name_that_nobody_has_costs_what_somebody_elses_does() -> None:
    """Always the same one's, or it would be told by its changing costs."""
    check = Counted()
    ask(Passwords(check), *[("carol", b"%d" % number) for number in range(20)])
    assert len(set(check.hashes)) == 1
    assert set(check.hashes) < {HASH.encode(), OTHER_HASH.encode()}


def test_names_that_nobody_has_are_spread_over_all_costs() -> None:
    check = Counted()
    ask(Passwords(check), *[(f"user {number}", b"") for number in range(50)])
    assert set(check.hashes) == {HASH.encode(), OTHER_HASH.encode()}


def test_one_password_is_checked_at_a_time() -> None:
    check = Counted()
    passwords = Passwords(check)

    async def at_once() -> list[bool]:
        asked = [
            passwords.is_right(USERS, "alice", b"%d" % number) for number in range(MOST_WAITING)
        ]
        return await asyncio.gather(*asked)

    assert asyncio.run(at_once()) == [False] * MOST_WAITING
    assert (len(check.hashes), check.most_under_way) == (MOST_WAITING, 1)


def test_scrapers_that_come_together_pay_once() -> None:
    check = Counted()
    passwords = Passwords(check)

    async def at_once() -> list[bool]:
        return await asyncio.gather(
            *[passwords.is_right(USERS, "alice", PASSWORD) for _ in range(2 * MOST_WAITING)]
        )

    assert asyncio.run(at_once()) == [True] * (2 * MOST_WAITING)
    assert len(check.hashes) == 1


def test_a_flood_of_passwords_waits_in_a_short_line_and_stops_no_known_scraper() -> None:
    gate = threading.Event()

    def slow(password: bytes, hashed: bytes) -> bool:
        if password != PASSWORD:
            gate.wait(10)
        return bcrypt_check(password, hashed)

    async def flood() -> list[Any]:
        passwords = Passwords(slow)
        assert await passwords.is_right(USERS, "alice", PASSWORD)
        wrong = [
            asyncio.create_task(passwords.is_right(USERS, "alice", b"%d" % number))
            for number in range(MOST_WAITING + 5)
        ]
        await asyncio.sleep(0)
        assert await passwords.is_right(USERS, "alice", PASSWORD)
        gate.set()
        return await asyncio.gather(*wrong, return_exceptions=True)

    answers = asyncio.run(flood())
    assert answers[:MOST_WAITING] == [False] * MOST_WAITING
    assert [type(answer) for answer in answers[MOST_WAITING:]] == [TooManyChecksError] * 5


def test_wrong_passwords_do_not_make_the_right_one_forgotten_and_are_forgotten_themselves() -> None:
    check = Counted()
    passwords = Passwords(check)
    wrong = [("alice", b"%d" % number) for number in range(MOST_WRONG + 1)]
    ask(passwords, ("alice", PASSWORD), *wrong, ("alice", PASSWORD))
    assert len(check.hashes) == 1 + len(wrong)
    ask(passwords, wrong[-1], wrong[0])
    assert len(check.hashes) == 1 + len(wrong) + 1


def test_a_new_hash_makes_the_old_password_wrong_at_once() -> None:
    passwords = Passwords()
    assert ask(passwords, ("alice", PASSWORD)) == [True]
    changed = {"alice": SecretStr(OTHER_HASH)}
    assert ask(passwords, ("alice", PASSWORD), ("alice", b"other"), users=changed) == [False, True]


def test_a_user_who_was_removed_is_unknown_and_may_come_back() -> None:
    passwords = Passwords()
    without = {"bob": SecretStr(HASH)}
    assert ask(passwords, ("alice", PASSWORD)) == [True]
    assert ask(passwords, ("alice", PASSWORD), users=without) == [False]
    assert ask(passwords, ("alice", PASSWORD)) == [True]


def test_no_password_is_kept() -> None:
    passwords = Passwords()
    ask(passwords, ("alice", PASSWORD), ("alice", b"MARKER-wrong"))
    seen: set[int] = set()
    reachable: list[object] = [passwords._right, passwords._wrong, vars(passwords)]
    kept = []
    while reachable:
        one = reachable.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kept.append(one)
        if isinstance(one, dict | list | tuple | set):
            reachable.extend(gc.get_referents(one))
    texts = [one for one in kept if isinstance(one, str | bytes)]
    assert texts
    assert not any("MARKER" in str(one) for one in texts)
