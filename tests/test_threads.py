"""Work that cannot be cancelled delays neither other work nor the exit."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from threading import Event, current_thread
from typing import Any, TypeVar

import pytest

from exporter.threads import Loop, Worker, begin

Result = TypeVar("Result")


@pytest.fixture
def release() -> Iterator[Event]:
    """The event that hanging work waits for."""
    event = Event()
    yield event
    event.set()


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())


class NameServer:
    """Replaces socket.getaddrinfo: answers once it is released."""

    def __init__(self, release: Event, error: Exception | None = None) -> None:
        self._release = release
        self._error = error
        self.asked: list[object] = []

    def __call__(self, host: object, *_: object) -> list[object]:
        self.asked.append(host)
        self._release.wait()
        if self._error:
            raise self._error
        return [host]


def test_hanging_work_blocks_no_other_work(release: Event) -> None:
    async def main() -> str:
        for _ in range(40):
            asyncio.get_running_loop().run_in_executor(None, release.wait)
        return await asyncio.to_thread(lambda: "done")

    # That this returns is the point: the work hangs until the test is over.
    assert run(main) == "done"


def test_an_error_of_abandoned_work_is_not_logged(
    release: Event, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = Event()

    def fail() -> None:
        release.wait()
        ended.set()
        raise OSError

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.to_thread(fail)

    run(main)
    release.set()
    assert ended.wait(30)
    assert capsys.readouterr().err == ""


def test_work_that_was_cancelled_before_it_began_is_not_begun() -> None:
    began: list[None] = []
    future = begin(lambda: began.append(None))
    if future.cancel():
        assert began == []
    else:
        assert future.result(30) is None


def test_a_worker_does_its_work_one_after_the_other_and_leaves_out_what_was_cancelled(
    release: Event,
) -> None:
    worker, done = Worker("test"), list[int]()
    first = worker.submit(release.wait)
    failing = worker.submit(int, "x")
    cancelled = worker.submit(done.append, 1)
    assert cancelled.cancel()
    last = worker.submit(done.append, 2)
    release.set()
    assert first.result(30)
    assert isinstance(failing.exception(30), ValueError)
    last.result(30)
    assert done == [2]


def test_the_exit_waits_for_no_work() -> None:
    """Python waits at the end for every thread but daemons."""
    worker = Worker("of-a-test").submit(current_thread).result(30)
    assert (worker.name, worker.daemon) == ("of-a-test", True)
    assert begin(current_thread).result(30).daemon


def test_work_for_an_executor_is_done_there() -> None:
    async def main() -> tuple[str, int]:
        loop, worker = asyncio.get_running_loop(), Worker("of-a-test")
        name = await loop.run_in_executor(worker, lambda: current_thread().name)
        return name, await loop.run_in_executor(worker, int, "7")

    assert run(main) == ("of-a-test", 7)


def test_a_name_is_looked_up_once_at_a_time(
    release: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = NameServer(release)
    monkeypatch.setattr(socket, "getaddrinfo", server)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        askers = [asyncio.create_task(loop.getaddrinfo("api.test", 443)) for _ in range(20)]
        other = asyncio.create_task(loop.getaddrinfo("other.test", 443))
        impatient = asyncio.create_task(loop.getaddrinfo("api.test", 443))
        await asyncio.sleep(0)
        assert sorted(loop.unresolved) == ["api.test", "other.test"]
        impatient.cancel()
        release.set()
        answers = await asyncio.gather(*askers, other)
        assert loop.unresolved == []
        await loop.getaddrinfo("api.test", 443)
        return answers

    assert run(main) == [["api.test"]] * 20 + [["other.test"]]
    assert server.asked.count("api.test") == 2, "and again once it was answered"


def test_an_abandoned_lookup_fails_without_a_log_line(
    release: Event,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = NameServer(release, socket.gaierror(socket.EAI_AGAIN, "try again"))
    monkeypatch.setattr(socket, "getaddrinfo", server)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await loop.getaddrinfo("api.test", 443)
        release.set()
        while loop.unresolved:  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.01)

    run(main)
    assert (capsys.readouterr().err, caplog.text) == ("", "")


def test_the_end_of_the_loop_waits_for_no_name(
    release: Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", NameServer(release))
    loops: list[Loop] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        loops.append(loop)
        loop.create_task(loop.getaddrinfo("api.test", 443))  # noqa: RUF006 - it is the loop's end that is about
        await asyncio.sleep(0)

    run(main)
    assert loops[0].is_closed()
    release.set()
    assert caplog.text == ""
