"""Signals, from the process's first line on: it stops in time whatever it is doing.

They are blocked and received by a thread: a handler would run only in the main thread, which may be importing or
waiting for a file. PID 1 receives no signal that it neither handles nor blocks.
"""

# Few imports, because they run before signals are handled.
import os
import signal
import time
from collections.abc import Callable
from threading import Thread

STOP_SECONDS = 4.0
"""Maximum duration of a stop; then the process exits, whatever is still running."""
LAST_WORDS_SECONDS = 0.2


class Signals:
    """Callbacks for SIGTERM, SIGINT and SIGHUP.

    stop: begins to stop; None if nothing runs yet.
    reload: reloads the configuration; None to ignore SIGHUP.
    late: reports that the stop takes too long, before the process exits anyway.

    All are called in the signal thread.
    """

    def __init__(self, *, status: int, may_reload: bool) -> None:
        """Create without callbacks. status: exit status if a signal ends the process."""
        self._status = status
        self._numbers = {signal.SIGTERM, signal.SIGINT}
        if may_reload:
            self._numbers.add(signal.SIGHUP)
        self.stop: Callable[[], object] | None = None
        self.reload: Callable[[], object] | None = None
        self.late: Callable[[], object] | None = None

    def heed(self) -> None:
        """Handle signals from now on; call this in the main thread before other threads start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        Thread(target=self._take, name="signals", daemon=True).start()

    def _take(self) -> None:
        while signal.sigwait(self._numbers) == signal.SIGHUP:
            _has(self.reload)
        if _has(self.stop):
            time.sleep(STOP_SECONDS)
            # Logging itself may hang.
            telling = Thread(target=_has, args=(self.late,), daemon=True)
            telling.start()
            telling.join(LAST_WORDS_SECONDS)
        # Not sys.exit(): the main thread may never get there, and it would wait for hanging threads.
        os._exit(self._status)


def _has(call: Callable[[], object] | None) -> bool:
    """Call `call`, if there is one; return whether that was possible."""
    if call is None:
        return False
    try:
        call()
    # The event loop has ended, with everything that it ran.
    except RuntimeError:
        return False
    return True
