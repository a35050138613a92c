"""Runs work that cannot be cancelled, such as name resolution, in threads that do not delay other work or the exit."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")
Arguments = TypeVarTuple("Arguments")


def begin(work: Callable[[], Result]) -> Future[Result]:
    """Do `work` in a new daemon thread."""
    future: Future[Result] = Future()
    Thread(target=_do, args=(work, future), daemon=True).start()
    return future


class Worker(Executor):
    """A daemon thread that does one piece of work after the other.

    Not a ThreadPoolExecutor, because the exit would wait for it.
    """

    def __init__(self, name: str) -> None:
        """Create the executor; its thread starts with the first work."""
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def submit(
        self,
        fn: Callable[Parameters, Result],
        /,
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Future[Result]:
        """Do `fn` when its turn comes."""
        future: Future[Result] = Future()
        self._work.put((partial(fn, *args, **kwargs), future))
        if self._thread.ident is None:
            self._thread.start()
        return future

    def _run(self) -> None:
        while True:
            _do(*self._work.get())


def _do(work: Callable[[], Result], future: Future[Result]) -> None:
    # A caller that stopped waiting has cancelled the future; from here on it cannot.
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - passed on to the caller
        future.set_exception(error)
    else:
        future.set_result(result)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose threads block neither each other nor its end.

    asyncio's default executor has few threads, which all hang if a name server does not answer, and its end waits for
    them. Here each piece of work has its own thread (`asyncio.to_thread` too), and concurrent look-ups of a name share
    one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[object, ...], asyncio.Future[Any]] = {}

    @property
    def unresolved(self) -> list[str]:
        """The names being looked up."""
        return list(dict.fromkeys(str(host) for host, *_ in self._lookups))

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """Do work in `executor`, or in a new thread if that is None."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        return asyncio.wrap_future(begin(partial(func, *args)), loop=self)

    async def getaddrinfo(  # noqa: PLR0913 - as asyncio has it
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as asyncio has it
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Look up a name, or join a look-up in progress. Raises socket.gaierror."""
        question = (host, port, family, type, proto, flags)
        lookup = self._lookups.get(question)
        if lookup is None:
            lookup = self.run_in_executor(None, socket.getaddrinfo, *question)
            self._lookups[question] = lookup
            lookup.add_done_callback(partial(self._looked_up, question))
        answer: list[Any] = await asyncio.shield(lookup)
        return answer

    def _looked_up(self, question: tuple[object, ...], lookup: asyncio.Future[Any]) -> None:
        del self._lookups[question]
        if not lookup.cancelled():
            # If all callers have given up, asyncio would log the exception as never retrieved.
            lookup.exception()

    def close(self) -> None:
        """Close the loop; work in threads continues, but its results are ignored."""
        for lookup in self._lookups.values():
            lookup.cancel()
        super().close()


def unresolved() -> list[str]:
    """Return the names that the running event loop is looking up; none for a loop of another class."""
    loop = asyncio.get_running_loop()
    return loop.unresolved if isinstance(loop, Loop) else []
