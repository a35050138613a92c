"""A lease as a key of a real Redis or Valkey."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import asdict, replace
from redis import Redis

from exporter.config import LeaseSettings, RedisSettings
from exporter.coordination.coordinator import engine_of
from exporter.coordination.engine import EngineError, Found, Record
from exporter.coordination.redis import RedisEngine, Server
from tests.coordination.redis_server import RedisServer, redis_server
from tests.coordination.shelf import NOON
from tests.custody.servers import make_certificate, serving, silence

Result = TypeVar("Result")

NAME = "treasury"
RECORD = Record("host-1a2b3c4d", 3, 1_790_000_060_000_000_000, 30, NOON + 0.5)
PASSWORD = "hunter2-of-the-redis"
RIGHTS = f"user default off\nuser exporter on >{PASSWORD} ~{NAME} +get +set +eval +info\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    with Redis(port=shared.port) as redis:
        redis.flushall()
    return shared


def played(server: Server, play: Callable[[RedisEngine], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        engine = RedisEngine(NAME, server)
        try:
            return await play(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


def read(server: Server) -> Found:
    return played(server, lambda engine: engine.read())


def read_as_configured(server: RedisServer, **settings: Any) -> Record | None:
    """Return what an engine with these settings reads."""
    redis = RedisSettings(url=server.url, **settings)

    async def main() -> Found:
        engine = engine_of(LeaseSettings(kind="redis", name=NAME, redis=redis), {}, lambda: 0.0)
        try:
            return await engine.read()
        finally:
            await engine.close()

    return asyncio.run(main()).record


def write(server: Server, *records: Record) -> list[bool]:
    """Read once, then try to write each of these in place of what was read."""

    async def play(engine: RedisEngine) -> list[bool]:
        found = await engine.read()
        return [await engine.swap(found, record) for record in records]

    return played(server, play)


def problem(server: Server) -> str:
    with pytest.raises(EngineError) as caught:
        read(server)
    return str(caught.value)


@pytest.mark.parametrize(
    "record", [RECORD, replace(RECORD, standby="ünïcode"), replace(RECORD, holder="")]
)
def test_what_was_written_is_read(server: RedisServer, record: Record) -> None:
    assert read(Server(server.url)).record is None
    assert write(Server(server.url), record) == [True]
    assert read(Server(server.url)).record == record


def test_the_first_of_two_that_write_wins(server: RedisServer) -> None:
    other = replace(RECORD, holder="b")
    assert write(Server(server.url), RECORD, other) == [True, False]
    assert write(Server(server.url), other, RECORD) == [True, False]
    assert read(Server(server.url)).record == other


def test_the_key_has_no_expiry(server: RedisServer) -> None:
    write(Server(server.url), RECORD)
    with Redis(port=server.port) as redis:
        assert redis.ttl(NAME) == -1
        assert redis.keys() == [NAME.encode()]


def test_a_database_can_be_chosen(server: RedisServer) -> None:
    write(Server(server.url.removesuffix("0") + "3"), RECORD)
    assert read(Server(server.url)).record is None


@pytest.mark.parametrize("forgets", [False, True])
def test_a_restart_is_another_run_with_or_without_the_data(
    tmp_path: Path, *, forgets: bool
) -> None:
    with redis_server(tmp_path / "redis") as server:

        async def play(engine: RedisEngine) -> tuple[Found, Found]:
            await engine.swap(await engine.read(), RECORD)
            before = await engine.read()
            server.kill()
            if forgets:
                server.forget()
            with pytest.raises(EngineError, match=f"^{server.url}: "):
                await engine.read()
            server.start()
            return before, await engine.read()

        before, after = played(Server(server.url), play)
    assert after.record == (None if forgets else RECORD)
    assert before.epoch != after.epoch


def test_a_restart_between_two_answers_gives_no_record_of_one_run_as_of_another() -> None:
    """The data before the last writes would make two processes holders."""
    written = json.dumps(asdict(RECORD))
    answers = {
        b"INFO": b"$17\r\n# Server\r\nrun_id:1\r\n",
        b"GET": f"${len(written)}\r\n{written}\r\n".encode(),
    }

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(1024)
        writer.write(next(answer for word, answer in answers.items() if word in asked))
        await writer.drain()

    async def main() -> None:
        async with serving(one_answer) as url:
            engine = RedisEngine(NAME, Server(url.replace("http", "redis")))
            with pytest.raises(EngineError):
                await engine.read()
            await engine.close()

    asyncio.run(main())


def test_a_caller_that_stops_waiting_leaves_no_reply_behind(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:

        async def play(engine: RedisEngine) -> Found:
            assert await engine.swap(await engine.read(), RECORD)
            with Redis(port=server.port) as redis:
                redis.client_pause(200)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await engine.swap(Found(None, b"something else"), RECORD)
            return await engine.read()

        assert played(Server(server.url), play).record == RECORD


@pytest.mark.parametrize("written", ["", "{}", "[]", "null", "text", '{"holder":1,"renewals":"x"}'])
def test_a_key_of_another_program_is_left_alone(server: RedisServer, written: str) -> None:
    with Redis(port=server.port) as redis:
        redis.set(NAME, written)
    if written:
        assert problem(Server(server.url)) == (
            f"the key {NAME} was not written by this exporter: choose another lease.name, or delete the key"
        )
    else:
        assert read(Server(server.url)).record is None


def test_a_refusal_has_the_message_of_the_server(server: RedisServer) -> None:
    with Redis(port=server.port) as redis:
        redis.rpush(NAME, "a list")
    assert problem(Server(server.url)).endswith("holding the wrong kind of value")


def test_an_unreachable_server_is_named_without_a_retry() -> None:
    assert problem(Server("redis://127.0.0.1:1/0")).startswith("redis://127.0.0.1:1/0: ")


def test_a_user_needs_no_more_rights_than_these(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "users.acl").write_text(RIGHTS)
    with redis_server(tmp_path / "redis", "--aclfile", str(tmp_path / "users.acl")) as server:
        as_user = Server(server.url, "exporter", tmp_path / "password")
        assert write(as_user, RECORD) == [True]
        assert read(as_user).record == RECORD
        assert (
            read_as_configured(server, username="exporter", password_file=tmp_path / "password")
            == RECORD
        )
        assert "hentication required" in problem(Server(server.url))
        (tmp_path / "password").write_text("not-the-password-2")
        told = problem(as_user)
        assert "invalid username-password pair" in told
        assert "not-the-password-2" not in told


REPEATED = [
    (f"unknown command 'AUTH', with args beginning with: 'exporter' '{PASSWORD}' ", "unknown command 'AUTH'"),
    (f"unknown command 'AUTH', with args beginning with: 'exporter' '{PASSWORD[:9]}", "unknown command 'AUTH'"),
    (f"what is {PASSWORD} to me", "what is <secret> to me"),
    (f"{'x' * 195}{PASSWORD}", f"{'x' * 195}<secr"),
    # It does not answer.
    ("", ": ResponseError"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "told"), REPEATED)
def test_a_server_that_repeats_the_password_is_quoted_without_it(
    tmp_path: Path, said: str, told: str
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            writer.write(f"-ERR {said}\r\n".encode())

    async def main() -> str:
        async with serving(repeat) as url:
            server = Server(url.replace("http", "redis"), "exporter", tmp_path / "password")
            engine = RedisEngine(NAME, server)
            with pytest.raises(EngineError) as caught:
                await engine.read()
            return str(caught.value).partition("/: ")[2] or str(caught.value)

    assert asyncio.run(main()).endswith(told)


def test_a_changed_password_is_used_for_the_next_connection(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    with redis_server(tmp_path / "redis", "--requirepass", PASSWORD) as server:

        async def play(engine: RedisEngine) -> Found:
            await engine.read()
            assert PASSWORD not in f"{engine!r} {vars(engine)!r} {engine._redis.connection_pool!r}"
            password.unlink()
            await engine.close()
            with pytest.raises(
                EngineError, match=r"^lease\.redis\.password_file \(.*/password\): "
            ):
                await engine.read()
            password.write_text(PASSWORD)
            return await engine.read()

        assert played(Server(server.url, password_file=password), play).record is None


def test_tls_trusts_the_certificates_it_is_given_and_checks_the_name(tmp_path: Path) -> None:
    for name in ("good", "other"):
        (tmp_path / name).mkdir()
    good = make_certificate(tmp_path / "good")
    other = make_certificate(tmp_path / "other", "DNS:elsewhere.example")

    def flags(directory: Path) -> tuple[str, ...]:
        files = directory / "certificate.pem", directory / "key.pem"
        return ("--tls-cert-file", str(files[0]), "--tls-key-file", str(files[1]))

    for directory, certificate, expected in (
        (tmp_path / "good", good.file, ""),
        (tmp_path / "good", other.file, "certificate verify failed"),
        (tmp_path / "other", other.file, "certificate is not valid for '127.0.0.1'"),
    ):
        tls = ("--tls-auth-clients", "no", *flags(directory))
        with redis_server(tmp_path / "redis", *tls) as server:
            secured = Server(server.url, ca_file=certificate)
            if expected:
                assert expected in problem(secured)
            else:
                assert write(secured, RECORD) == [True]
                assert read_as_configured(server, ca_file=certificate) == RECORD


def test_changed_certificates_are_read_again(tmp_path: Path) -> None:
    for name in ("good", "other"):
        (tmp_path / name).mkdir()
    good, other = (make_certificate(tmp_path / name) for name in ("good", "other"))
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(other.file.read_bytes())
    files = ("--tls-cert-file", str(good.file), "--tls-key-file", str(good.file.parent / "key.pem"))
    with redis_server(tmp_path / "redis", "--tls-auth-clients", "no", *files) as server:

        async def play(engine: RedisEngine) -> Found:
            with pytest.raises(EngineError, match="certificate verify failed"):
                await engine.read()
            trusted.write_bytes(good.file.read_bytes())
            return await engine.read()

        assert played(Server(server.url, ca_file=trusted), play).record is None


def test_callers_time_out_on_a_server_that_does_not_answer() -> None:
    async def main() -> None:
        async with serving(silence) as url:
            engine = RedisEngine(NAME, Server(url.replace("http:", "redis:")))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await engine.read()
            await engine.close()

    asyncio.run(main())


def test_without_redis_py_it_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from exporter.coordination.redis import RedisEngine, Server\n"
        "RedisEngine('treasury', Server('redis://127.0.0.1'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'kraken-custody-exporter[redis]', or pipx inject" in done.stderr
