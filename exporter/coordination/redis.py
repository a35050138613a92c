"""A lease as a key of Redis or Valkey, with its record as JSON, without expiry.

Compare-and-set is a Lua script, which the server runs atomically (Redis, "Scripting with Lua"). A server that restarts
may lose its last writes, so `run_id` tells its runs apart.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import asdict

from exporter.coordination.engine import (
    LONGEST_MESSAGE,
    EngineError,
    Found,
    Record,
    printable,
    without,
)
from exporter.strict_yaml.mistakes import ProblemError
from exporter.strict_yaml.secret_text import secret_text

if TYPE_CHECKING:
    from redis.asyncio import Redis

COMPARE_AND_SET: Final = """
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
DEFAULT_PORT: Final = 6379


class Server(Struct, frozen=True):
    """The address and credentials of the server.

    url: redis:// or rediss:// (TLS), a host, and optionally a port and a database number.
    username: "" for the default user.
    password_file: read for each connection.
    ca_file: certificates to trust in addition to the system's.
    """

    url: str
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None


class RedisEngine:
    """Stores the record under the key `name`. Raises EngineError if redis-py is not installed."""

    def __init__(self, name: str, server: Server) -> None:
        self._name = name
        self._server = server
        self._redis = _client(server)

    async def read(self) -> Found:
        """Return what is stored. Raises EngineError."""

        async def ask(redis: "Redis") -> list[Any]:
            # On one connection, so that both answers are of one run of the server.
            pipeline = redis.pipeline(transaction=False)
            pipeline.info("server")
            pipeline.get(self._name)
            answers = await pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

        info, written = await self._do(ask)
        return Found(_record(self._name, written), written or b"", str(info.get("run_id", "")))

    async def swap(self, found: Found, record: Record) -> bool:
        """Write `record` if the key is still `found`; return whether it was. Raises EngineError."""
        written = json.dumps(asdict(record), separators=(",", ":"))
        before = cast("bytes", found.version)
        return bool(
            await self._do(
                lambda redis: redis.eval(COMPARE_AND_SET, 1, self._name, before, written)
            )
        )

    async def close(self) -> None:
        """Close the connection; the next one reads the certificates again."""
        closed, self._redis = self._redis, _client(self._server)
        await closed.connection_pool.disconnect()

    async def _do(self, work: "Callable[[Redis], Awaitable[Any]]") -> Any:  # noqa: ANN401 - as redis-py has it
        from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

        try:
            return await work(self._redis)
        except (RedisError, OSError) as error:
            await self.close()
            raise EngineError(f"{self._server.url}: {await self._words(error)}") from None
        except BaseException:
            # A late reply would be taken for the reply to the next command.
            await self.close()
            raise

    async def _words(self, error: Exception) -> str:
        # A server that does not know AUTH quotes the beginning of its arguments.
        told = printable(str(error).partition(", with args beginning with")[0])
        with contextlib.suppress(EngineError):
            password = await asyncio.to_thread(_password, self._server.password_file)
            told = without(password, told)
        return told[:LONGEST_MESSAGE] or type(error).__name__


def _client(server: Server) -> "Redis":
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.credentials import CredentialProvider  # noqa: PLC0415
    except ImportError:
        raise EngineError(
            "lease.kind redis needs redis-py: pip install 'kraken-custody-exporter[redis]', or pipx "
            "inject kraken-custody-exporter redis"
        ) from None

    class Credentials(CredentialProvider):
        """Reads the current password, which no other object holds."""

        async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
            password = await asyncio.to_thread(_password, server.password_file)
            return (server.username, password) if server.username else (password,)

    url = urlsplit(server.url)
    return Redis(
        host=url.hostname or "",
        port=url.port or DEFAULT_PORT,
        db=int(url.path.strip("/") or 0),
        credential_provider=Credentials() if server.password_file else None,
        ssl=url.scheme == "rediss",
        ssl_ca_certs=str(server.ca_file) if server.ca_file else None,
        # Callers have their own timeout and retries.
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        max_connections=1,
        protocol=2,
        driver_info=None,
    )


def _password(file: Path | None) -> str:
    try:
        return secret_text(file, {}) if file else ""
    except ProblemError as problem:
        raise EngineError(f"lease.redis.password_file ({file}): {problem}") from None


def _record(name: str, written: bytes | None) -> Record | None:
    if not written:
        return None
    try:
        fields = json.loads(written)
        return Record(
            holder=str(fields["holder"]),
            renewals=int(fields["renewals"]),
            ceiling=int(fields["ceiling"]),
            duration=int(fields["duration"]),
            acquired=float(fields["acquired"]),
            standby=str(fields["standby"]),
        )
    except (KeyError, TypeError, ValueError):
        raise EngineError(
            f"the key {name} was not written by this exporter: choose another lease.name, or delete the key"
        ) from None
