"""Four vaults that hold 1, 2, 3 and 4 BTC, read through a gateway that sends more than was requested."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from exporter.assembly import Exporter, World
from exporter.config import parse
from exporter.custody import keeping
from exporter.resources.resource import Table
from exporter.resources.vault_balances import COLUMNS
from exporter.state.state import TargetState
from tests.custody.servers import make_certificate, serving
from tests.custody.vaults import VAULTS, Api, Misdeed, amount, balances
from tests.exporting import ENVIRON, NO_LIMIT

ROUNDS = 4


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep connections from timing out because this machine is busy."""
    monkeypatch.setattr(keeping, "LONGEST_IDLE_SECONDS", 3600.0)


def exporter_of(
    base_url: str, ca_file: Path, max_in_flight: int = 1, interval: str = "200ms"
) -> Exporter:
    key = {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}
    document = {
        "api": {"base_url": base_url, "ca_file": str(ca_file), "rate_limit": NO_LIMIT},
        "polling": {"interval": interval},
        "credentials": {"treasury": key | {"max_in_flight": max_in_flight}},
        "organizations": [
            {
                "name": "fund",
                "id": "ABCD EFGH IJKL MNOP",
                "interval": "1d",
                "vaults": [{"name": vault, "id": vault} for vault in VAULTS],
            }
        ],
    }
    return Exporter(parse(yaml.safe_dump(document), directory=Path(), environ=ENVIRON), World())


def held(state: TargetState) -> Decimal | None:
    if state.balances is None:
        return None
    table = state.balances.table(state.target)
    assert isinstance(table, Table)
    (row,) = table.rows
    return row.cells[[it.field for it in COLUMNS].index("balance")].amount


class Watch:
    """Records every amount that a vault ever showed. false: those that are not its own."""

    def __init__(self, exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: dict[str, list[Decimal]] = {vault: [] for vault in VAULTS}
        put = exporter.store.put

        def watched(state: TargetState) -> None:
            put(state)
            if state.target.vault and (shown := held(state)) is not None:
                self.shown[state.target.vault].append(shown)

        monkeypatch.setattr(exporter.store, "put", watched)

    @property
    def false(self) -> list[str]:
        return [
            vault
            for vault, amounts in self.shown.items()
            for it in amounts
            if it != Decimal(amount(vault))
        ]

    def is_enough(self) -> bool:
        return all(len(amounts) >= ROUNDS for amounts in self.shown.values())


def twice(api: Api, vault: str, writer: asyncio.StreamWriter) -> None:
    del api
    writer.write(balances(vault) * 2)


def another(api: Api, vault: str, writer: asyncio.StreamWriter) -> None:
    del api
    writer.write(balances(vault) + balances(VAULTS[0]))


def always(act: Callable[[Api, str, asyncio.StreamWriter], None]) -> Misdeed:
    async def misdeed(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
        api.when = set(VAULTS)
        act(api, vault.decode(), writer)

    return misdeed


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of what is no coroutine
            await asyncio.sleep(0.005)


async def poll(
    api: Api, directory: Path, monkeypatch: pytest.MonkeyPatch, tls: str, max_in_flight: int
) -> tuple[Watch, list[dict[str, Any]]]:
    """Poll until every vault was shown several times; return the amounts and the log."""
    certificate = make_certificate(directory)
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file, certificate.file.with_name("key.pem"))
        context.maximum_version = ssl.TLSVersion[tls]
    async with serving(api, context) as base_url:
        exporter = exporter_of(base_url, certificate.file, max_in_flight)
        watch = Watch(exporter, monkeypatch)
        with capture_logs() as logs:
            polling = asyncio.create_task(exporter.poller.run())
            await until(watch.is_enough)
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
    return watch, [dict(log) for log in logs]


@pytest.mark.parametrize("max_in_flight", [1, 4])
@pytest.mark.parametrize("tls", ["", "TLSv1_2", "TLSv1_3"], ids=["plain", "TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("act", [twice, another], ids=lambda act: act.__name__)
def test_no_vault_ever_shows_what_another_holds(
    act: Callable[[Api, str, asyncio.StreamWriter], None],
    tls: str,
    max_in_flight: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api(always(act), when=VAULTS)
    watch, logs = asyncio.run(poll(api, tmp_path, monkeypatch, tls, max_in_flight))
    assert watch.false == []
    finds = [log for log in logs if log["event"] == "unasked_answer"]
    assert 2 <= len(finds) <= 1 + max_in_flight, "then no connection is kept any more"
    for find in finds:
        assert (find["log_level"], find["credential"]) == ("warning", "treasury")
        assert find["vault"] in VAULTS
        assert (find["status"], find["bytes"]) == (200, len(balances(VAULTS[0])))
        assert "gateway" in find["problem"]


def test_an_answer_that_comes_too_late_has_the_targets_read_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only after their interval, which is an hour."""
    go, last = asyncio.Event(), VAULTS[-1]

    async def late(api: Api, vault: bytes, writer: asyncio.StreamWriter) -> None:
        del api
        writer.write(balances(vault.decode()))
        await writer.drain()
        await go.wait()
        writer.write(balances(VAULTS[0]))

    async def main() -> None:
        api = Api(late, when=(last,))
        async with serving(api) as base_url:
            exporter = exporter_of(base_url, make_certificate(tmp_path).file, interval="1h")
            watch = Watch(exporter, monkeypatch)
            polling = asyncio.create_task(exporter.poller.run())
            await until(lambda: bool(watch.shown[last]))
            go.set()
            await until(lambda: all(len(amounts) == 2 for amounts in watch.shown.values()))
            polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await polling
        assert watch.false == []
        before, after = api.asked[:4], api.asked[4:]
        assert before == [(vault, 1) for vault in VAULTS]
        assert {vault for vault, _ in after} == set(VAULTS)
        numbers = {number for _, number in after}
        assert len(numbers) == len(VAULTS), "each on a connection of its own"
        assert 1 not in numbers

    asyncio.run(main())


def test_connections_are_reused_while_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api()
    watch, logs = asyncio.run(poll(api, tmp_path, monkeypatch, "TLSv1_3", 1))
    assert watch.false == []
    assert len(api.asked) >= len(VAULTS) * ROUNDS
    assert api.connections == 1
    assert not [log for log in logs if log["event"] == "unasked_answer"]
