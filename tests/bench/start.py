"""What an idle daemon costs: the time of a start, its memory, and its share of a core."""

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.bench.daemon import Server, command, running

DEADLINE_SECONDS = 20.0
EXPORTER = "exporter"
STANDARD = "its standard library"
OTHERS = "other libraries"
LIBRARIES = (
    "yaml",
    "httpx",
    "structlog",
    "prometheus_client",
    "starlette",
    "uvicorn",
    "msgspec",
)
"""In this order: a module that two of them need is counted with the first."""
EMPTY = """
api: {base_url: "https://127.0.0.1:9"}
credentials: {bench: {api_key_env: KEY, api_secret_env: SECRET}}
organizations: [{id: ABCD EFGH IJKL MNOP}]
"""


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    runs = 5 if quick else 20
    print("| start | median | worst |\n| --- | --- | --- |")
    cases: dict[str, Callable[[], float]] = {
        "`--version`": version,
        "process start to first answered scrape": start,
        "the same of the demo, with its simulator": start_of_demo,
    }
    for name, run in cases.items():
        times = [run() for _ in range(runs)]
        print(f"| {name} | {statistics.median(times):.2f} s | {max(times):.2f} s |")
    sizes = [resident() for _ in range(3)]
    print(
        f"| resident memory of an empty daemon | {statistics.median(sizes):.0f} MiB | {max(sizes):.0f} MiB |"
    )
    shares = [idle_share(5 if quick else 20) for _ in range(3)]
    print(
        f"| share of a core that it takes, not scraped | {statistics.median(shares):.2%} | {max(shares):.2%} |"
    )
    _print_loading(runs, statistics.median(sizes))


class Taken(NamedTuple):
    """mebibytes: of resident memory. seconds: of processor time."""

    mebibytes: float
    seconds: float

    def __sub__(self, other: "Taken") -> "Taken":
        return Taken(self.mebibytes - other.mebibytes, self.seconds - other.seconds)


def _print_loading(runs: int, mebibytes: float) -> None:
    """Print how the time and the memory (in MiB) of an empty daemon are divided among the libraries."""
    left = whole = Taken(mebibytes, statistics.median(_processor_seconds() for _ in range(runs)))
    print("\n| until the first scrape is answered | resident memory | processor time |")
    print("| --- | --- | --- |")
    for name, taken in _loading(runs).items():
        _print_taken(name, taken)
        left -= taken
    _print_taken("configuration, certificates, server, scrape", left)
    _print_taken("**total**", whole)


def _print_taken(name: str, taken: Taken) -> None:
    print(f"| {name} | {taken.mebibytes:.1f} MiB | {taken.seconds * 1000:.0f} ms |")


def _loading(runs: int) -> Mapping[str, Taken]:
    """Return what loading the interpreter and each library takes, as medians."""
    groups: dict[str, list[str]] = {name: [] for name in (STANDARD, *LIBRARIES, OTHERS, EXPORTER)}
    for module in json.loads(_load("")):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            groups[STANDARD].append(module)
        elif top != "tests":
            groups[top if top in groups else OTHERS].append(module)
    found = [json.loads(_load(json.dumps(groups))) for _ in range(runs)]
    medians = [
        Taken(*map(statistics.median, zip(*taken, strict=True)))
        for taken in zip(*found, strict=True)
    ]
    return dict(zip(("Python", *groups), medians, strict=True))


def _load(text: str) -> str:
    command = (sys.executable, "-m", "tests.bench.loading")
    return subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True).stdout


def version() -> float:
    """Return the seconds that `--version` takes."""
    began = time.perf_counter()
    subprocess.run(command("--version"), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def resident() -> float:
    """Return the MiB of a daemon with one target, whose API is not there, after its first scrapes."""
    with _empty() as daemon:
        for _ in range(5):
            first_answer(daemon, time.perf_counter())
        return daemon.memory()


def idle_share(seconds: float) -> float:
    """Return the share of a core that a daemon takes while it is not scraped."""
    with _empty() as daemon:
        first_answer(daemon, time.perf_counter())
        return daemon.share_of_a_core(seconds)


@contextlib.contextmanager
def _empty() -> Iterator[Server]:
    environ = {"KEY": "bench", "SECRET": "YmVuY2g="}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(EMPTY)
        with running("--config.file", str(file), environ=environ) as daemon:
            yield daemon


def start() -> float:
    """Return the seconds from the start of that daemon to the end of its first scrape."""
    began = time.perf_counter()
    with _empty() as daemon:
        return first_answer(daemon, began)


def _processor_seconds() -> float:
    """Return the processor time from the start of that daemon to the end of its first scrape."""
    with _empty() as daemon:
        first_answer(daemon, time.perf_counter())
        return daemon.processor_seconds()


def start_of_demo() -> float:
    """Return the seconds from the start of the demo to the end of its first scrape."""
    began = time.perf_counter()
    with running("--demo") as daemon:
        return first_answer(daemon, began)


def first_answer(daemon: Server, began: float) -> float:
    """Scrape as soon as the port is open, and return the seconds since `began`."""
    while time.perf_counter() - began < DEADLINE_SECONDS:
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            if answer.status == 200 and answer.read().startswith(b"# HELP"):
                return time.perf_counter() - began
        except ConnectionError:
            time.sleep(0.002)  # The process is not listening yet.
        finally:
            connection.close()
    raise TimeoutError("the exporter did not answer")
