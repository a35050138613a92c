"""What hostile answers cost the running exporter: eight credentials get the same 16 KB of gzip at once.

Memory is the maximum above what it was before, including the series that are served. The event loop is watched
meanwhile.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from exporter.app import favour_event_loop
from exporter.assembly import Exporter, World
from exporter.config import parse
from exporter.logs import configure
from exporter.simulator.portfolio import invented_vault_id
from tests.bench.daemon import process_status
from tests.bench.filled import API_KEY, API_SECRET
from tests.bench.hostile_bodies import BODIES
from tests.bench.loop_watch import LoopWatch
from tests.bench.polling import reporting, stop_event

CREDENTIALS, VAULTS = 8, 2
WARM_UP_SECONDS = 2.0


def measure(quick: bool) -> None:  # noqa: FBT001 - every benchmark has this one switch
    """Print the table."""
    print("| answer | bytes of gzip | polls | memory, MiB | loop held, ms | by the clock, ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, made in BODIES.items():
        with hostile_api() as (base_url, api):
            with reporting("exporter", base_url, module=__spec__.name) as (_, stop):
                api.answer, api.arrivals = gzip.compress(made()), 0
                time.sleep(3 if quick else 10)
                report = stop()
            print(
                f"| {name} | {len(api.answer):,} | {api.arrivals} | {report['memory']:.1f} "
                f"| {report['longest_of_its_own'] * 1000:.1f} | {report['longest'] * 1000:.1f} |",
                flush=True,
            )


class Api(ThreadingHTTPServer):
    """Gives every client the same answer. arrivals: how often."""

    answer = gzip.compress(b"[]")
    arrivals = 0
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Do not report a client that has disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        api = self.server
        assert isinstance(api, Api)
        api.arrivals += 1
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(api.answer)))
        self.end_headers()
        self.wfile.write(api.answer)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def hostile_api() -> Iterator[tuple[str, Api]]:
    """Run that API; lends its base URL and what it answers with."""
    with Api(("127.0.0.1", 0), _Handler) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{api.server_port}", api
        finally:
            api.shutdown()


def document(base_url: str) -> dict[str, object]:
    """Return a configuration whose credentials all poll at once, as often as they may."""
    return {
        "api": {
            "base_url": base_url,
            "rate_limit": {"requests": 2000, "window": "10s", "share": 1},
        },
        "polling": {"interval": "1s", "max_series": 100_000},
        "credentials": {
            f"key{number}": {"api_key_env": f"KEY{number}", "api_secret_env": "SECRET"}
            for number in range(CREDENTIALS)
        },
        "organizations": [
            {
                "name": f"org{number}",
                "id": f"{number:016}",
                "credentials": f"key{number}",
                "vaults": [
                    {"id": invented_vault_id(number * VAULTS + vault)} for vault in range(VAULTS)
                ],
            }
            for number in range(CREDENTIALS)
        ],
    }


def environment() -> dict[str, str]:
    """Return the secrets of those credentials."""
    return {f"KEY{number}": f"{API_KEY}{number}" for number in range(CREDENTIALS)} | {
        "SECRET": API_SECRET
    }


async def _run_exporter(base_url: str) -> None:
    text = yaml.safe_dump(document(base_url))
    exporter = Exporter(parse(text, directory=Path(), environ=environment()), World())
    favour_event_loop()
    stop, loop = stop_event(), LoopWatch()
    polling = asyncio.create_task(exporter.poller.run())
    # The very first request imports what it needs, once.
    await asyncio.sleep(WARM_UP_SECONDS)
    before = process_status("self", "VmRSS")
    # From here on VmHWM is the most since now (Linux, proc_pid_clear_refs(5)).
    await asyncio.to_thread(Path("/proc/self/clear_refs").write_text, "5", encoding="ascii")
    print("ready", flush=True)
    await loop.watch(stop)
    polling.cancel()
    await asyncio.wait({polling})
    memory = (process_status("self", "VmHWM") - before) / 1024
    print(json.dumps({"memory": memory, **dataclasses.asdict(loop)}), flush=True)


if __name__ == "__main__":
    configure("error", "logfmt")
    asyncio.run(_run_exporter(sys.argv[2]))
