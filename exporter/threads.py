"""Work that cannot be cancelled, such as looking up a name: in threads that neither others nor the exit wait for."""

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
    """Do `work` in a thread of its own, which ends with the process if not before."""
    future: Future[Result] = Future()
    Thread(target=_do, args=(work, future), daemon=True).start()
    return future


class Worker(Executor):
    """A thread that does one piece of work after the other, and ends with the process if not before.

    Not a ThreadPoolExecutor, for which the exit waits.
    """

    def __init__(self, name: str) -> None:
        """Have a thread of that name as soon as there is work."""
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
    # Whoever has stopped waiting cancels the future, and could not from here on.
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        future.set_exception(error)
    else:
        future.set_result(result)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose threads hold up nobody: not each other, and not its end.

    asyncio's own has few of them, which hang together with a name server that does not answer, and waits for them at
    its end. Here each piece of work has one (`asyncio.to_thread` too), and each name is looked up once at a time,
    however many ask.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[object, ...], asyncio.Future[Any]] = {}

    @property
    def unresolved(self) -> list[str]:
        """The names that are being looked up, each once."""
        return list(dict.fromkeys(str(host) for host, *_ in self._lookups))

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """Do work in `executor`; where that is None, in a thread of its own."""
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
        """Look up a name, or wait for whoever does so already. Raises socket.gaierror."""
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
            # Nobody may have waited long enough to hear of it; asyncio would log that.
            lookup.exception()

    def close(self) -> None:
        """Close the loop; what is under way in threads goes on unheard."""
        for lookup in self._lookups.values():
            lookup.cancel()
        super().close()


def unresolved() -> list[str]:
    """Return the names that the running event loop is looking up, as far as it knows."""
    loop = asyncio.get_running_loop()
    return loop.unresolved if isinstance(loop, Loop) else []
