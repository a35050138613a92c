"""Whatever comes over the wire, the result is balances or a CustodyError, and a page that every scraper can read."""

import gzip
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from exporter.assembly import LONGEST_CREDENTIAL_PAUSE_SECONDS
from exporter.custody.errors import CustodyError, Delivery
from exporter.metrics.negotiation import Format
from exporter.simulator import moods
from tests.custody.asking import ORGANIZATION_ID, VAULT_ID, Body, Client, make_client, run
from tests.polling.world import Stage, stage
from tests.polling.world import run as run_virtually
from tests.resources.answers import plain
from tests.resources.test_reading import DOCUMENTS
from tests.state.test_anything import HOSTILE, ROWS, read_back

Head = tuple[int, list[tuple[str, str]]]

STATUSES = st.integers(200, 599) | st.sampled_from([101, 200, 302, 304, 401, 429, 999])
NAMES = st.text(st.sampled_from(HOSTILE) | st.characters(), min_size=1, max_size=120)
PROBLEMS = st.fixed_dictionaries(
    {"type": NAMES.map("tag:kraken.com,2025:{}".format)},
    optional={
        "detail": NAMES,
        "data": st.fixed_dictionaries({}, optional={"core_error": NAMES, "message": NAMES}),
    },
)
ENTRIES = (
    NAMES
    | st.sampled_from(
        [
            "EAPI:Invalid nonce",
            "EService: Throttled: 1795262460",
            "EService: Throttled: 99999999999",
        ]
    )
    | st.fixed_dictionaries({"severity": NAMES, "errorClass": NAMES, "type": NAMES})
)
FAILURES = PROBLEMS | st.fixed_dictionaries(
    {}, optional={"error": st.lists(ENTRIES, max_size=3), "errors": st.lists(ENTRIES, max_size=3)}
)
SAID = (DOCUMENTS | FAILURES | st.lists(ROWS | DOCUMENTS, max_size=4)).map(
    lambda document: json.dumps(document).encode()
)
PACKED = (SAID | st.binary()).map(lambda body: gzip.compress(body, mtime=0))
BODIES = st.binary() | SAID | PACKED | (SAID | PACKED).map(lambda body: body[: len(body) // 2])

DATE_PARTS = st.sampled_from(
    ["Sun,", "Sunday,", "25", "Oct", "25-Oct-26", "2026", "01:30:00", "GMT", "-0000"]
) | st.sampled_from([":", ",", "-", "+", "1.2", "²", "9" * 30, "+" + "9" * 20, ""])
ADDRESSES = st.sampled_from(
    ["mailto:x", "https://x:y", "http://[", "//", "?", "https:///a", "https://xn--/", "/" * 70_000]
)
HEADER_TEXTS = (
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
    | st.lists(DATE_PARTS, max_size=7).map(" ".join)
    | st.sampled_from(
        ["gzip", "GZIP", " identity ", "br", "gzip, gzip", "-1", "0", "1e9", "9" * 5000]
    )
    | st.sampled_from(
        ["Sun, 25 Oct 2026 01:30:00 GMT", "Sun Oct 25 01:30:00 2026", "a=b; expires=x"]
    )
    | ADDRESSES
)
HEADER_NAMES = st.sampled_from(
    ["content-type", "content-encoding", "content-length"]
) | st.sampled_from(["retry-after", "date", "location", "set-cookie"])
HEADERS = st.lists(st.tuples(HEADER_NAMES, HEADER_TEXTS), max_size=4)
REDIRECTS = st.tuples(
    st.sampled_from([301, 302, 303, 307, 308]),
    ADDRESSES.map(lambda address: [("location", address)]),
)
HEADS = st.tuples(STATUSES, HEADERS) | REDIRECTS


async def vault(client: Client) -> list[float]:
    answer = await client.vault_asset_balances(VAULT_ID)
    return [float(row.balance) for row in answer.rows]


async def organization(client: Client) -> list[float]:
    return [float((await client.organization_balances(ORGANIZATION_ID)).total)]


def outcome(
    network: Callable[[httpx.Request], httpx.Response],
    ask: Callable[[Client], Awaitable[list[float]]],
) -> list[float] | CustodyError:
    try:
        return run(make_client(network), ask)
    except CustodyError as error:
        return error


def is_a_name(type_: str) -> bool:
    """Whether `type_` may come from a name that the API sent."""
    return 1 <= len(type_) <= 100 and type_.isprintable() and type_ == " ".join(type_.split())


def may_name(head: Head, body: bytes) -> bool:
    """Whether an answer may name its failure: only an object can."""
    return b"{" in body or "gzip" in dict(head[1]).get("content-encoding", "").lower()


@pytest.mark.parametrize("ask", [vault, organization])
@given(head=HEADS, body=BODIES, cut=st.integers(0, 50))
@example(head=(302, [("location", "mailto:x")]), body=b"", cut=0)
def test_any_answer_is_balances_or_an_error_of_a_documented_form(
    ask: Callable[[Client], Awaitable[list[float]]], head: Head, body: bytes, cut: int
) -> None:
    status, headers = head

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            status,
            headers=[(name.encode(), text.encode("latin-1")) for name, text in headers],
            stream=Body(body[:cut], body[cut:]),
        )

    came = outcome(answer, ask)
    if not isinstance(came, CustodyError):
        assert status == 200
        assert all(map(math.isfinite, came))
        return
    assert came.status == status
    assert came.delivery is Delivery.ANSWERED
    if may_name(head, body):
        assert is_a_name(came.type)
    else:
        assert came.type == ("response/invalid" if status == 200 else f"http/{status}")
    assert came.message.isprintable()
    assert len(came.message) <= 200
    assert came.retry_after is None or 0 <= came.retry_after < math.inf


def in_turn(answers: Iterator[Response]) -> moods.Mood:
    async def mood(_request: Request) -> Response | None:
        return next(answers, None)

    return mood


def responses(answers: list[tuple[int, bytes, str]]) -> Iterator[Response]:
    for status, body, retry_after in answers:
        yield Response(body, status, {"retry-after": retry_after})


def families(page: str) -> list[str]:
    """Return the names of the families of a page, in order; fail if a sample is outside its own block."""
    names: list[str] = []
    for line in page.split("\n"):
        if line.startswith("# HELP "):
            names.append(line.split(" ")[2])
        elif line and not line.startswith("# "):
            sample = re.split(r"[{ ]", line, maxsplit=1)[0]
            suffix = sample.removeprefix(names[-1])
            assert sample.startswith(names[-1])
            assert suffix in ("", "_total", "_info", "_bucket", "_sum", "_count")
    return names


def assert_sound(played: Stage) -> None:
    """Check that both parsers read the page, and that no series or family appears twice."""
    readers: dict[Format, Callable[[str], Any]] = {
        Format.TEXT_0_0_4: read_text,
        Format.OPENMETRICS_1_0_0: read_openmetrics,
    }
    for format_, read in readers.items():
        page = plain(played.exporter.store, played.exporter.registry, format_).decode()
        read_back([sample for family in read(page) for sample in family.samples])
        names = families(page)
        assert len(set(names)) == len(names)


@given(
    st.lists(
        st.tuples(STATUSES, BODIES | SAID, st.sampled_from(["", "0", "7", "x"])),
        min_size=1,
        max_size=5,
    )
)
# Shrinking would take minutes.
@settings(max_examples=settings().max_examples // 5, phases=[Phase.explicit, Phase.generate])
def test_any_sequence_of_answers_leaves_a_sound_page_and_a_poller_that_goes_on(
    answers: list[tuple[int, bytes, str]],
) -> None:
    async def main() -> None:
        played = stage(vaults=2, polling={"interval": "2m"})
        played.simulator.default_mood = in_turn(responses(answers))
        with capture_logs() as logs:
            await played.play(270)
            assert_sound(played)
            # Longer than any pause or back-off that five answers cause by themselves.
            await played.play(2500)
            assert_sound(played)
        await played.stop()
        # The longest pause that the API may ask for is an hour.
        if all(entry.get("seconds", 0) <= LONGEST_CREDENTIAL_PAUSE_SECONDS for entry in logs):
            assert [played.state(name).failure for name in ("v0", "v1")] == [None, None]
        assert not {"request_crashed", "poller_crashed"} & {entry["event"] for entry in logs}

    run_virtually(main())
