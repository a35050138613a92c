"""Signals, from the process's first line on: whatever it is doing, what ends it does so in time.

They are blocked, and taken by a thread that does nothing else: a handler would have its turn only once the main thread
comes round, which may be importing, or waiting for a file. A PID 1 gets no signal that it neither handles nor blocks.
"""

# Imports here come before the signals are heeded, so that there are few.
import os
import signal
import time
from collections.abc import Callable
from threading import Thread

STOP_SECONDS = 4.0
"""After which a stop is over, whatever is still under way."""
LAST_WORDS_SECONDS = 0.2


class Signals:
    """What SIGTERM and SIGINT end, and SIGHUP loads again.

    stop: begins to end what runs; without it nothing runs yet that would have to be ended. reload: loads the
    configuration again; without it, or where the process is not one to reload, nothing happens. late: tells that the
    stop takes too long, before the process ends anyway. All are called in a thread of their own.
    """

    def __init__(self, *, status: int, may_reload: bool) -> None:
        """Hold what is to be done. status: of the process where a signal ends it."""
        self._status = status
        self._numbers = {signal.SIGTERM, signal.SIGINT}
        if may_reload:
            self._numbers.add(signal.SIGHUP)
        self.stop: Callable[[], object] | None = None
        self.reload: Callable[[], object] | None = None
        self.late: Callable[[], object] | None = None

    def heed(self) -> None:
        """Heed signals from now on; to be called in the main thread before there are others."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        Thread(target=self._take, name="signals", daemon=True).start()

    def _take(self) -> None:
        while signal.sigwait(self._numbers) == signal.SIGHUP:
            _has(self.reload)
        if _has(self.stop):
            time.sleep(STOP_SECONDS)
            # Its log may be what does not end.
            telling = Thread(target=_has, args=(self.late,), daemon=True)
            telling.start()
            telling.join(LAST_WORDS_SECONDS)
        # Not sys.exit(): the main thread may never come round, and threads that hang would be waited for.
        os._exit(self._status)


def _has(call: Callable[[], object] | None) -> bool:
    """Make a call, if there is one; return whether it could be made."""
    if call is None:
        return False
    try:
        call()
    # The event loop has ended, and with it all that it ran.
    except RuntimeError:
        return False
    return True
