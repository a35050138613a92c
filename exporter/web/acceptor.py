"""Accepts connections, a few at a time, and continues when the process is out of file descriptors.

asyncio accepts as many at once as its backlog says, before any of them is counted, and logs a traceback for each that
fails.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

from exporter.logs import get_logger

AT_ONCE: Final = 16
"""Maximum connections accepted before they are counted, so that a flood does not use up the open files."""
PAUSE_SECONDS: Final = 1.0
"""Seconds without accepting if no connection could be closed to make room."""
LOG_AGAIN_SECONDS: Final = 60.0

log = get_logger()


class Acceptor:
    """Passes each connection to `listener` on to `serve`, until closed.

    make_room: closes a connection, so that its file is free by the loop's next turn; returns whether there was one.
    """

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[socket.socket], Coroutine[Any, Any, object]],
        make_room: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._serve = serve
        self._make_room = make_room
        self._loop = asyncio.get_running_loop()
        self._logged_at = -math.inf
        self._again: asyncio.Handle | None = None
        # The event loop itself keeps no task alive.
        self._tasks = set[asyncio.Task[object]]()
        listener.setblocking(False)  # noqa: FBT003 - the socket's own form
        self._go_on()

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove_reader(self._listener)
        if self._again:
            self._again.cancel()

    def _go_on(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        # Accepting only one in each turn of a busy loop could be too slow.
        for _ in range(AT_ONCE):
            try:
                client, _ = self._listener.accept()
            except ConnectionError:
                # The client has disconnected again.
                continue
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._pause(error)
                return
            client.setblocking(False)  # noqa: FBT003 - the socket's own form
            task = self._loop.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pause(self, error: OSError) -> None:
        # The listener stays readable, so the loop would call this again and again.
        self._loop.remove_reader(self._listener)
        if self._make_room():
            self._again = self._loop.call_soon(self._go_on)
        else:
            self._again = self._loop.call_later(PAUSE_SECONDS, self._go_on)
        now = self._loop.time()
        if now - self._logged_at >= LOG_AGAIN_SECONDS:
            self._logged_at = now
            problem = (
                f"cannot accept a connection: {error.strerror}; those idle longest are closed. "
                "Raise the limit of open files (LimitNOFILE, ulimit -n), or lower --web.max-connections"
            )
            log.warning("web_accept_failed", problem=problem)
