"""The result of a scrape: pages with the same content in every format and encoding."""

import asyncio
import gzip
import subprocess
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from exporter.assembly import Exporter
from exporter.metrics import catalog
from exporter.metrics import exposition as exposition_module
from exporter.metrics.exposition import Exposition
from exporter.metrics.lines import Snapshot
from exporter.metrics.metric import Metric
from exporter.metrics.negotiation import Format
from exporter.state.lines import TARGET_ERROR, TARGET_REFRESH_INTERVAL
from exporter.state.state import Failure, TargetState
from exporter.state.store import Store
from tests.programs import program
from tests.resources.answers import (
    EXPECTED,
    HOT,
    VAULT_EXAMPLE,
    make_store,
    page,
    plain,
    put,
    read_vault,
    row,
    vault_answer,
)
from tools.docs import all_metrics

# Absent after the first poll: these need a second one, or a failure.
UNITS = ("_bytes", "_fields", "_ratio", "_requests", "_rows", "_seconds", "_series")
LATER = (TARGET_REFRESH_INTERVAL, TARGET_ERROR)


def own_metrics() -> CollectorRegistry:
    """Return own metrics of the exporter that do not change between scrapes."""
    registry = CollectorRegistry()
    Gauge("kraken_custody_own", "One of its own.", registry=registry).set(1)
    return registry


def compressed(exposition: Exposition, format_: Format) -> bytes:
    return b"".join(asyncio.run(exposition.gzip(format_)))


@pytest.mark.parametrize("format_", Format)
def test_the_compressed_page_is_the_plain_page(demo: Exporter, format_: Format) -> None:
    exposition = Exposition(demo.store, own_metrics())
    page = b"".join(exposition.plain(format_))
    assert gzip.decompress(compressed(exposition, format_)) == page
    assert b"\nkraken_custody_own 1.0\n" in page
    assert len(compressed(exposition, format_)) < len(page) / 5


def test_pieces_are_joined_until_a_chunk_is_long_enough() -> None:
    pieces = [b"ab", b"cd", b"efg", b"h", b"i"]
    assert list(exposition_module.joined(pieces, 4)) == [b"abcd", b"efgh", b"i"]


def test_the_compressed_page_is_one_member_as_not_every_client_reads_more(demo: Exporter) -> None:
    exposition = Exposition(demo.store, own_metrics())
    reader = zlib.decompressobj(wbits=31)
    reader.decompress(compressed(exposition, Format.TEXT_0_0_4))
    assert reader.eof
    assert reader.unused_data == b""


def test_the_compressed_page_follows_the_store_and_the_own_metrics() -> None:
    store, registry = make_store(HOT), CollectorRegistry()
    gauge = Gauge("kraken_custody_own", "One of its own.", registry=registry)
    exposition = Exposition(store, registry)
    for number, asset in enumerate(("BTC", "ETH", "ETH")):
        put(store, HOT, vault_answer(row(asset, balance=str(number))))
        gauge.set(number)
        for format_ in Format:
            page = b"".join(exposition.plain(format_))
            assert f'asset="{asset}",asset_class="currency"}} {number}.0\n'.encode() in page
            assert f"\nkraken_custody_own {number}.0\n".encode() in page
            assert gzip.decompress(compressed(exposition, format_)) == page


MADE_UP = Snapshot(
    (
        (
            (
                Metric(
                    "a_rows_total", "counter", "Rows, with \\ and\nmore.", (), "rows", "made up"
                ),
                Metric("a_wait_seconds", "gauge", "A wait.", (), "seconds", "made up"),
                Metric("a_sum_total", "gauge", "A sum.", (), "units", "made up"),
            ),
            (
                {
                    "a_rows_total": b"a_rows_total 1.0\n",
                    "a_wait_seconds": b"a_wait_seconds 2.0\n",
                    "a_sum_total": b"a_sum_total 3.0\n",
                },
            ),
        ),
    )
)


class MadeUp:
    def snapshot(self) -> Snapshot:
        return MADE_UP


TEXT = r"""# HELP a_rows_total Rows, with \\ and\nmore.
# TYPE a_rows_total counter
a_rows_total 1.0
# HELP a_wait_seconds A wait.
# TYPE a_wait_seconds gauge
a_wait_seconds 2.0
# HELP a_sum_total A sum.
# TYPE a_sum_total gauge
a_sum_total 3.0
"""
OPENMETRICS = r"""# HELP a_rows Rows, with \\ and\nmore.
# TYPE a_rows counter
# UNIT a_rows rows
a_rows_total 1.0
# HELP a_wait_seconds A wait.
# TYPE a_wait_seconds gauge
# UNIT a_wait_seconds seconds
a_wait_seconds 2.0
# HELP a_sum_total A sum.
# TYPE a_sum_total gauge
a_sum_total 3.0
# EOF
"""


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        (Format.TEXT_0_0_4, TEXT),
        (Format.TEXT_1_0_0, TEXT),
        (Format.OPENMETRICS_1_0_0, OPENMETRICS),
    ],
)
def test_a_header_is_that_of_its_format(format_: Format, expected: str) -> None:
    """In OpenMetrics a family of counters is called without `_total`, and only counters are."""
    exposition = Exposition(MadeUp(), CollectorRegistry())
    assert b"".join(exposition.plain(format_)).decode() == expected


def test_an_empty_page_can_be_compressed_too() -> None:
    exposition = Exposition(make_store(), CollectorRegistry())
    assert gzip.decompress(compressed(exposition, Format.TEXT_0_0_4)) == b""
    assert gzip.decompress(compressed(exposition, Format.OPENMETRICS_1_0_0)) == b"# EOF\n"


def test_a_page_of_many_chunks_is_whole(demo: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    exposition = Exposition(demo.store, own_metrics())
    (whole, own) = exposition.plain(Format.TEXT_0_0_4)
    monkeypatch.setattr(exposition_module, "CHUNK_BYTES", 1000)
    chunks = list(exposition.plain(Format.TEXT_0_0_4))
    assert len(chunks) > 20
    assert b"".join(chunks) == whole + own
    in_chunks = Exposition(demo.store, own_metrics())
    assert gzip.decompress(compressed(in_chunks, Format.TEXT_0_0_4)) == whole + own


def test_scrapes_at_the_same_time_get_whole_pages_while_the_store_changes() -> None:
    store = make_store(HOT)
    exposition = Exposition(store, own_metrics())
    put(store, HOT, vault_answer(row("BTC")))

    async def scrape() -> tuple[bytes, list[bytes]]:
        before = b"".join(exposition.plain(Format.TEXT_0_0_4))
        scrapes = [asyncio.ensure_future(exposition.gzip(Format.TEXT_0_0_4)) for _ in range(8)]
        # Each begins with the current state, before the store changes.
        await asyncio.sleep(0)
        put(store, HOT, vault_answer(row("ETH")))
        return before, [
            gzip.decompress(b"".join(parts)) for parts in await asyncio.gather(*scrapes)
        ]

    before, pages = asyncio.run(scrape())
    assert pages == [before] * 8


def test_however_many_scrape_at_once_one_thread_compresses() -> None:
    at_work = set[int]()

    class Watched(MadeUp):
        def snapshot(self) -> Snapshot:
            return Snapshot(((Watching(), ()),))  # type: ignore[arg-type] # it is only gone through

    class Watching:
        def __iter__(self) -> Iterator[Metric]:
            at_work.add(threading.get_ident())
            time.sleep(0.001)
            return iter(())

    async def scrape() -> None:
        exposition = Exposition(Watched(), CollectorRegistry())
        await asyncio.gather(*(exposition.gzip(Format.TEXT_0_0_4) for _ in range(8)))

    asyncio.run(scrape())
    assert len(at_work) == 1
    assert at_work != {threading.get_ident()}


def test_openmetrics_is_the_text_with_units() -> None:
    store = make_store(HOT)
    put(store, HOT, read_vault(VAULT_EXAMPLE))
    lines = page(store, Format.OPENMETRICS_1_0_0).splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("# UNIT "))
    assert text == (EXPECTED / "vault.prom").read_text() + "# EOF\n"
    assert [line for line in lines if line.startswith("# UNIT ")] == [
        "# UNIT kraken_custody_target_last_success_timestamp_seconds seconds\n",
        "# UNIT kraken_custody_target_rows rows\n",
        "# UNIT kraken_custody_target_invalid_rows rows\n",
        "# UNIT kraken_custody_target_invalid_fields fields\n",
    ]


def test_openmetrics_has_the_unit_of_each_name_that_has_one(demo: Exporter) -> None:
    found = families(demo, Format.OPENMETRICS_1_0_0)
    assert {name: family.unit for name, family in found.items() if family.unit} == {
        name: name.rpartition("_")[2] for name in found if name.endswith(UNITS)
    }
    # Of the store, of our own registry, and of the client library.
    for name, unit in {
        "kraken_custody_target_last_success_timestamp_seconds": "seconds",
        "kraken_custody_rate_limit_wait_seconds": "seconds",
        "kraken_custody_rate_limit_demand_ratio": "ratio",
        "process_resident_memory_bytes": "bytes",
    }.items():
        assert found[name].unit == unit


def test_text_has_no_units(demo: Exporter) -> None:
    assert b"# UNIT" not in plain(demo.store, demo.registry, Format.TEXT_0_0_4)


def test_text_1_0_0_is_text_0_0_4_as_no_name_needs_escaping() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row("Ether é")))
    assert page(store, Format.TEXT_1_0_0) == page(store, Format.TEXT_0_0_4)


def test_only_openmetrics_says_where_it_ends_and_says_so_once(demo: Exporter) -> None:
    ends = [plain(demo.store, demo.registry, format_).split(b"# EOF") for format_ in Format]
    assert [len(parts) for parts in ends] == [1, 1, 2]
    assert ends[-1][-1] == b"\n"


def families(demo: Exporter, format_: Format) -> dict[str, Family]:
    """Return the families of the demo's page as a client reads them; the parsers refuse one that is there twice."""
    text = plain(demo.store, demo.registry, format_).decode()
    read = read_openmetrics if format_ is Format.OPENMETRICS_1_0_0 else read_text
    found: Iterable[Family] = read(text)
    return {family.name: family for family in found}


def test_each_metric_is_on_the_page_in_both_formats_with_its_type(demo: Exporter) -> None:
    now = [metric for metric in all_metrics() if metric not in LATER]
    check_headers(now, demo.store, demo.registry)


def test_a_metric_that_comes_later_is_on_the_page_then() -> None:
    store = make_store(HOT)
    failure = Failure("http/502", 502, "", since=0.0)
    store.put(TargetState(HOT, polls=2, failure=failure, refresh_interval=30.0))
    check_headers(LATER, store, CollectorRegistry())


def check_headers(metrics: Iterable[Metric], store: Store, registry: CollectorRegistry) -> None:
    text = plain(store, registry, Format.TEXT_0_0_4).decode()
    openmetrics = plain(store, registry, Format.OPENMETRICS_1_0_0).decode()
    for metric in metrics:
        family = metric.name.removesuffix("_total")
        for shown, name in ((text, metric.name), (openmetrics, family)):
            assert shown.count(f"# TYPE {name} {metric.type}\n") == 1
            assert shown.count(f"# HELP {name} {metric.help}\n") == 1


@pytest.mark.parametrize("format_", Format)
def test_the_lines_of_each_family_stand_together(demo: Exporter, format_: Format) -> None:
    names = sorted(families(demo, format_), key=len, reverse=True)
    lines = plain(demo.store, demo.registry, format_).decode().split("\n")[:-1]

    def family(line: str) -> str:
        name = line.split(" ")[2] if line.startswith(("# HELP ", "# TYPE ", "# UNIT ")) else line
        return next((known for known in names if name.startswith(known)), line)

    groups = [name for name, _ in groupby(lines, family)]
    assert len(groups) == len(set(groups))


def test_both_formats_have_the_same_values(demo: Exporter) -> None:
    def values(format_: Format) -> dict[str, float]:
        found = families(demo, format_).values()
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in found
            for sample in family.samples
            # Slots of the budget become free between the two.
            if sample.name.startswith("kraken_custody_") and sample.name != catalog.BUDGET_USED.name
        }

    text = values(Format.TEXT_0_0_4)
    assert text == values(Format.OPENMETRICS_1_0_0)
    assert len(text) > demo.store.series > 300


def test_the_demo_exposes_all_fields_of_its_api(demo: Exporter) -> None:
    assert all(state.polls and not state.failure for state in demo.store.states())


@pytest.mark.parametrize("format_", [Format.TEXT_0_0_4, Format.TEXT_1_0_0])
def test_promtool_finds_nothing_to_complain_of(demo: Exporter, format_: Format) -> None:
    check(plain(demo.store, demo.registry, format_))


@pytest.mark.parametrize("example", ["vault.prom", "organization.prom"])
def test_promtool_finds_nothing_to_complain_of_in_the_examples(example: str) -> None:
    check((EXPECTED / example).read_bytes())


def test_promtool_finds_nothing_to_complain_of_in_hostile_names() -> None:
    store = make_store(HOT)
    put(store, HOT, vault_answer(row('"\\\n{}\x00\u2028é🪙', name="a\nb", quote_price="1")))
    check(plain(store, CollectorRegistry(), Format.TEXT_0_0_4))


def check(page: bytes) -> None:
    promtool = program("promtool", package="prometheus")
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
