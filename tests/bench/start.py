"""How long a start takes: `--version`, and from process start to the first scrape that is answered."""

import http.client
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.bench.daemon import running

DEADLINE_SECONDS = 20.0


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    runs = 5 if quick else 20
    print("| start | median | worst |\n| --- | --- | --- |")
    cases: dict[str, Callable[[], float]] = {
        "`--version`": version,
        "process start to first answered scrape": first_scrape,
    }
    for name, run in cases.items():
        times = [run() for _ in range(runs)]
        print(f"| {name} | {statistics.median(times):.2f} s | {max(times):.2f} s |")


def version() -> float:
    """Return the seconds that `--version` takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "exporter", "--version"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def first_scrape() -> float:
    """Return the seconds from the start of the demo to the end of its first scrape."""
    began = time.perf_counter()
    with running("--demo") as daemon:
        address = urlsplit(daemon.url).netloc
        while time.perf_counter() - began < DEADLINE_SECONDS:
            connection = http.client.HTTPConnection(address, timeout=DEADLINE_SECONDS)
            try:
                connection.request("GET", "/metrics")
                answer = connection.getresponse()
                if answer.status == 200 and answer.read().startswith(b"# HELP"):
                    return time.perf_counter() - began
            except ConnectionError:
                time.sleep(0.002)  # the process is not listening yet
            finally:
                connection.close()
    raise TimeoutError("the exporter did not answer")
