"""How often a hash is computed, and that timing does not reveal which users exist."""

import asyncio
import gc
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import bcrypt
import pytest

from exporter.secret import Secret
from exporter.web.access.passwords import (
    MOST_WRONG,
    Asker,
    Passwords,
    Stranger,
    bcrypt_check,
)
from tests.web.access.files import HASH, OTHER_HASH, PASSWORD

USERS = {"alice": Secret[str](HASH), "bob": Secret[str](OTHER_HASH)}


class Counted:
    """Checks passwords, and counts how often. under_way: the most at any time."""

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
    passwords: Passwords, *asked: tuple[str, bytes], users: Mapping[str, Secret[str]] = USERS
) -> list[bool]:
    """Check one after the other."""

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
    users = {"alice": Secret[str](bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())}
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
def test_a_wrong_password_takes_one_hash_for_any_user(user: str) -> None:
    check = Counted()
    assert (
        ask(Passwords(check), (user, b"wrong"), (user, b"wrong"), (user, b"wronger")) == [False] * 3
    )
    assert len(check.hashes) == 2


def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    """Always the same user's hash, because changing costs would reveal it."""
    check = Counted()
    ask(Passwords(check), *[("carol", b"%d" % number) for number in range(20)])
    assert len(set(check.hashes)) == 1
    assert set(check.hashes) < {HASH.encode(), OTHER_HASH.encode()}


def test_unknown_users_are_spread_over_all_bcrypt_costs() -> None:
    check = Counted()
    ask(Passwords(check), *[(f"user {number}", b"") for number in range(50)])
    assert set(check.hashes) == {HASH.encode(), OTHER_HASH.encode()}


def test_one_password_is_checked_at_a_time() -> None:
    check = Counted()
    passwords = Passwords(check)

    async def at_once() -> list[bool]:
        asked = [passwords.is_right(USERS, "alice", b"%d" % number) for number in range(16)]
        return await asyncio.gather(*asked)

    assert asyncio.run(at_once()) == [False] * 16
    assert (len(check.hashes), check.most_under_way) == (16, 1)


def test_scrapers_that_come_together_pay_once() -> None:
    check = Counted()
    passwords = Passwords(check)

    async def at_once() -> list[bool]:
        return await asyncio.gather(
            *[passwords.is_right(USERS, "alice", PASSWORD) for _ in range(32)]
        )

    assert asyncio.run(at_once()) == [True] * (32)
    assert len(check.hashes) == 1


@dataclass
class Client:
    """A connection from a network. waits: whether it is in the queue."""

    network: str = "192.0.2.1"
    is_gone: bool = False
    waits: bool = False

    @contextmanager
    def queueing(self) -> Iterator[None]:
        self.waits = True
        yield
        self.waits = False


class Line:
    """Passwords of alice (or another user) that arrive while the first of them is being checked."""

    def __init__(self) -> None:
        self.checked: list[bytes] = []
        self._first_is_in = threading.Event()
        self._go_on = threading.Event()
        self._passwords = Passwords(self._check)

    def _check(self, password: bytes, _hashed: bytes) -> bool:
        self._first_is_in.set()
        assert self._go_on.wait(10)
        self.checked.append(password)
        return password == PASSWORD

    async def answers(
        self, first: tuple[Asker, str, bytes], *others: tuple[Asker, str, bytes]
    ) -> list[bool]:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._ask(*first))]
            await asyncio.to_thread(self._first_is_in.wait, 10)
            asked += [tasks.create_task(self._ask(*one)) for one in others]
            # Until all of them are in the queue: a task starts in the loop's next iteration.
            await asyncio.sleep(0)
            self._go_on.set()
        return [task.result() for task in asked]

    async def _ask(self, asker: Asker, user: str, password: bytes) -> bool:
        return await self._passwords.is_right(USERS, user, password, asker)


def guesses(network: str, user: str, count: int) -> list[tuple[Asker, str, bytes]]:
    return [(Client(network), user, f"{network} {number}".encode()) for number in range(count)]


@pytest.mark.no_cover
def test_guesses_of_one_client_delay_another_ones_right_password_by_one_check() -> None:
    line = Line()
    first, *more = guesses("198.51.100.7", "alice", 500)
    right = Client(), "alice", PASSWORD
    answers = asyncio.run(line.answers(first, *more, right))
    assert answers == [False] * 500 + [True]
    assert line.checked.index(PASSWORD) == 1


@pytest.mark.no_cover
def test_guesses_of_many_clients_delay_a_right_password_by_one_check_each() -> None:
    line = Line()
    networks = [f"198.51.100.{number}" for number in range(50)]
    first, *more = [guess for network in networks for guess in guesses(network, "alice", 10)]
    asyncio.run(line.answers(first, *more, (Client(), "alice", PASSWORD)))
    assert line.checked.index(PASSWORD) == 50


def test_users_behind_one_address_take_turns() -> None:
    line = Line()
    first, *more = guesses("192.0.2.1", "bob", 100)
    asyncio.run(line.answers(first, *more, (Client(), "alice", PASSWORD)))
    assert line.checked.index(PASSWORD) == 1


def test_a_right_password_gets_its_turn_also_among_guesses_for_its_user_from_its_address() -> None:
    line = Line()
    first, *more = guesses("192.0.2.1", "alice", 17)
    answers = asyncio.run(line.answers(first, *more, (Client(), "alice", PASSWORD)))
    assert answers[-1]
    assert line.checked.index(PASSWORD) == 17, "first come, first served"


def test_guesses_for_users_without_end_keep_a_right_password_out_no_longer_than_its_line() -> None:
    checked: list[bytes] = []

    def check(password: bytes, _hashed: bytes) -> bool:
        checked.append(password)
        return password == PASSWORD

    async def among_guesses() -> None:
        passwords = Passwords(check)
        is_in = asyncio.Event()

        async def guess(guesser: int) -> None:
            for number in range(200):
                if is_in.is_set():
                    break
                user = f"user {guesser} {number}" if guesser % 2 else "alice"
                guessed = f"{guesser} {number}".encode()
                assert not await passwords.is_right(USERS, user, guessed, Client())

        async with asyncio.TaskGroup() as tasks:
            for guesser in range(40):
                tasks.create_task(guess(guesser))
            await asyncio.sleep(0)
            assert await passwords.is_right(USERS, "alice", PASSWORD, Client())
            is_in.set()

    asyncio.run(among_guesses())
    assert checked.index(PASSWORD) <= 2 * 40


def test_a_known_scraper_does_not_queue() -> None:
    gate = threading.Event()

    def slow(password: bytes, _hashed: bytes) -> bool:
        return password == PASSWORD or not gate.wait(10)

    async def known_among_guesses() -> None:
        passwords = Passwords(slow)
        assert await passwords.is_right(USERS, "alice", PASSWORD)
        guess = asyncio.create_task(passwords.is_right(USERS, "alice", b"guess"))
        await asyncio.sleep(0)
        scraper = Client()
        assert await passwords.is_right(USERS, "alice", PASSWORD, scraper)
        assert not guess.done()
        gate.set()
        assert not await guess

    asyncio.run(known_among_guesses())


def test_a_client_that_is_gone_leaves_the_queue_unless_another_waits_for_the_same_check() -> None:
    line = Line()
    first, *_ = guesses("198.51.100.7", "alice", 1)
    gone, also_gone = Client(is_gone=True), Client(is_gone=True)
    others = [
        (gone, "alice", b"left"),
        (also_gone, "alice", PASSWORD),
        (Client(), "alice", PASSWORD),
    ]
    answers = asyncio.run(line.answers(first, *others))
    assert answers == [False, False, True, True]
    assert b"left" not in line.checked


def test_an_asker_waits_only_while_it_is_in_the_line() -> None:
    async def waiting() -> list[bool]:
        asker, entered = Client(), threading.Event()
        gate = threading.Event()

        def check(_password: bytes, _hashed: bytes) -> bool:
            entered.set()
            return gate.wait(10)

        asked = asyncio.create_task(Passwords(check).is_right(USERS, "alice", b"x", asker))
        await asyncio.to_thread(entered.wait, 10)
        seen = [asker.waits]
        gate.set()
        assert await asked
        return [*seen, asker.waits]

    assert asyncio.run(waiting()) == [True, False]


def test_a_check_that_fails_fails_for_its_asker_only() -> None:
    def check(password: bytes, _hashed: bytes) -> bool:
        if password == b"bad":
            raise ValueError("Invalid salt")
        return True

    async def both() -> tuple[object, object]:
        passwords = Passwords(check)
        bad, good = await asyncio.gather(
            passwords.is_right(USERS, "alice", b"bad", Stranger()),
            passwords.is_right(USERS, "alice", b"good"),
            return_exceptions=True,
        )
        return bad, good

    bad, good = asyncio.run(both())
    assert isinstance(bad, ValueError)
    assert good is True


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
    changed = {"alice": Secret[str](OTHER_HASH)}
    assert ask(passwords, ("alice", PASSWORD), ("alice", b"other"), users=changed) == [False, True]


def test_a_user_who_was_removed_is_unknown_and_may_come_back() -> None:
    passwords = Passwords()
    without = {"bob": Secret[str](HASH)}
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
