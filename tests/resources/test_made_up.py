"""A new resource is one module and one line: this is such a module, and the fixture is the line.

It is as different from the others as future ones may be: it belongs to a credential, so it has label `credential`
instead of organization and vault; it counts; and it has no amounts to show.
"""

import asyncio
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from msgspec import NODEFAULT
from msgspec.structs import fields

from exporter.assembly import Exporter
from exporter.config import parse
from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError
from exporter.custody.errors import FORESEEN
from exporter.custody.transport import ON_SEND
from exporter.discovery.inventory import Inventory
from exporter.metrics.lines import Lines, Page, count_series
from exporter.metrics.metric import Metric
from exporter.resources import RESOURCES
from exporter.resources.resource import CACHED, Answer, Description, Exposed, MakeRequest, Resource
from exporter.resources.target import Target
from exporter.turns import Steps
from exporter.web.site import Site
from tests.custody.asking import answer, problem
from tests.exporting import ENVIRON
from tests.polling.world import run, world
from tools.docs import metric_tables

RINGING: Final = Metric(
    name="kraken_custody_bells_ringing",
    type="gauge",
    help=f"Bells that ring (API field ringing). {CACHED}",
    labels=("credential",),
    unit="bells",
    source="ringing",
    is_field=True,
)
RUNG: Final = Metric(
    name="kraken_custody_bells_rung_total",
    type="counter",
    help="Bells that were rung since the start.",
    labels=("credential",),
    unit="bells",
    source="ringing",
)


@dataclass(frozen=True)
class Bells:
    ringing: int
    rung: int

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        del known
        lines = yield from self.lines(target, ())
        return Exposed(lines, count_series(lines), self)

    def lines(self, target: Target, described: Sequence[object]) -> Steps[Lines]:
        del described
        yield from ()
        page = Page()
        page.sample(RINGING, (target.credential,), self.ringing)
        page.sample(RUNG, (target.credential,), self.rung)
        return page.done()

    def table(self, target: Target, described: Sequence[object], *, is_whole: bool) -> None:
        del target, described, is_whole

    def worth(self, target: Target, described: Sequence[object], *, is_whole: bool) -> None:
        del target, described, is_whole


def requester() -> MakeRequest:
    rung = 0

    def read(document: object) -> Steps[Bells]:
        nonlocal rung
        yield from ()
        match document:
            case {"ringing": bytes(number)}:
                rung += int(number)
                return Bells(int(number), rung)
        raise InvalidAnswerError("has no bells")

    def ask(target: Target) -> Request[Answer]:
        return Request(endpoint="bells", tag=target.key, path="bells", read=read)

    return ask


def targets(inventory: Inventory) -> Iterable[Target]:
    for name in dict.fromkeys(of.credential for of in inventory.organizations):
        yield Target("bells", name, "", "", 60.0, name)


BELLS: Final = Resource(
    kind="bells",
    endpoint="bells",
    singular="set of bells",
    plural="sets of bells",
    folder="/bells/",
    metrics=(RINGING, RUNG),
    targets=targets,
    name=lambda _: "(bells)",
    requester=requester,
    foreseen=((418, "Teapot"),),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RESOURCES, BELLS.kind, BELLS)


CONFIGURATION: Final = """\
api: {base_url: "http://127.0.0.1"}
polling: {interval: 60s, stale_after: 100s}
credentials:
  tower: {api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET}
organizations:
- {name: acme, id: ABCD EFGH IJKL MNOP}
"""


class Api:
    """An API with bells, which may be broken, and an organization."""

    is_broken = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.extensions[ON_SEND]()
        if request.url.path != "/v0/insto/custody/bells":
            return answer({"balance": {"total": "1"}})
        return answer(problem("gateway/Connect"), 500) if self.is_broken else answer({"ringing": 3})


async def page(exporter: Exporter, path: str, accept: str = "*/*") -> str:
    transport = httpx.ASGITransport(Site(exporter, "/metrics").app())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get(path, headers={"accept": accept})
    assert response.status_code == 200
    return response.text


def test_a_made_up_resource_has_everything_that_the_others_have() -> None:
    async def main() -> None:
        api = Api()
        exporter = exporter_of(api)
        preset = 'kraken_custody_api_errors_total{endpoint="bells",status="418",type="Teapot"} 0.0'
        assert preset in await page(exporter, "/metrics")
        polling = asyncio.create_task(exporter.poller.run())
        await asyncio.sleep(70)

        text = await page(exporter, "/metrics")
        assert 'kraken_custody_bells_ringing{credential="tower"} 3.0' in text
        assert "# TYPE kraken_custody_bells_rung_total counter" in text
        assert 'kraken_custody_bells_rung_total{credential="tower"} 6.0' in text
        assert 'kraken_custody_target_up{kind="bells",credential="tower"} 1.0' in text
        assert 'kraken_custody_api_requests_total{endpoint="bells",status="200"} 2.0' in text
        openmetrics = await page(exporter, "/metrics", "application/openmetrics-text")
        assert "# TYPE kraken_custody_bells_rung counter" in openmetrics

        assert 'href="/bells/tower"' in await page(exporter, "/")
        own = await page(exporter, "/bells/tower")
        assert "Set of bells" in own
        assert "<title>tower / (bells)" in own

        api.is_broken = True
        await asyncio.sleep(200)
        text = await page(exporter, "/metrics")
        assert "kraken_custody_bells_ringing{" not in text
        assert 'kraken_custody_target_stale{kind="bells",credential="tower"} 1.0' in text
        assert 'kraken_custody_target_error{kind="bells",credential="tower",type="gateway/' in text
        assert 'kraken_custody_target_up{kind="organization",org="acme",vault=""} 1.0' in text
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    run(main())


def exporter_of(api: Api) -> Exporter:
    settings = parse(CONFIGURATION, directory=Path(), environ=ENVIRON)
    return Exporter(settings, world(httpx.MockTransport(api)))


def test_a_resource_has_nothing_of_what_its_module_does_not_give() -> None:
    defaults = {it.name: it.default for it in fields(Resource) if it.default is not NODEFAULT}
    assert defaults == {
        "facts": (),
        "described": None,
        "foreseen": FORESEEN,
        "is_list": False,
        "has_own_interval": False,
        "cost": "",
        "heading": "Last answer",
        "headline": "",
        "worth": None,
        "columns": (),
    }


def test_the_metrics_of_a_made_up_resource_are_documented() -> None:
    assert (
        "| `kraken_custody_bells_ringing` | gauge | `credential` | bells | `ringing` |"
        in metric_tables()
    )
