"""Faults of the API's lists, played to a real exporter: what is accepted, shown and logged."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from exporter.simulator import answers, moods
from exporter.simulator.moods import Mood
from exporter.simulator.portfolio import Organization, Portfolio, Vault, compact, invented_vault_id
from exporter.simulator.server import SimulatorThread
from exporter.simulator.simulator import Simulator
from tests.exporting import configuration, simulator, write
from tests.integration.scenes import Scrape
from tests.processes import Running, running
from tests.simulator.calling import API_KEY, API_SECRET, NOON, VAULT, Clock
from tests.waiting import until

DEADLINE_SECONDS: Final = 120.0
PAGE: Final = 100
BITCOIN: Final = VAULT.holdings[:1]
Document = dict[str, Any]


def vaults(names: Iterable[str], first: int) -> tuple[Vault, ...]:
    return tuple(
        Vault(invented_vault_id(number), name, BITCOIN) for number, name in enumerate(names, first)
    )


class Api:
    """The simulated API, its contents and lists; both may change while an exporter runs."""

    def __init__(self, *organizations: Organization) -> None:
        self.clock = Clock(NOON)
        self.simulator: Simulator = simulator(portfolio=Portfolio(organizations), wall=self.clock)
        self.simulator.moods["vaults"] = self._mood
        self.listing: dict[str, Mood] = {}
        """By the name of an organization."""

    async def _mood(self, request: Request) -> ASGIApp | None:
        asked = compact(request.query_params["org_iiban"])
        (name,) = (it.name for it in self.organizations if compact(it.id) == asked)
        return await self.listing.get(name, moods.calm)(request)

    @property
    def organizations(self) -> tuple[Organization, ...]:
        return self.simulator.portfolio.organizations

    def organization(self, name: str) -> Organization:
        return next(it for it in self.organizations if it.name == name)

    def change(self, name: str, *now: Vault) -> None:
        """Let an organization have these vaults from now on."""
        self.simulator.portfolio = Portfolio(
            tuple(replace(it, vaults=now) if it.name == name else it for it in self.organizations)
        )

    def listed(self, name: str, start: int, end: int) -> list[dict[str, object]]:
        some = self.organization(name).vaults[start:end]
        return [vault.listed(self.clock.now) for vault in some]


def page_of(rows: list[dict[str, object]], total: int) -> JSONResponse:
    return JSONResponse({"vaults": rows, "total": total})


def second_page(answer: Callable[[], ASGIApp]) -> Mood:
    """Answer the second page with what `answer` returns then, and others normally."""

    async def mood(request: Request) -> ASGIApp | None:
        return answer() if request.query_params["offset"] == str(PAGE) else None

    return mood


def document(base_url: str, **more: Any) -> Document:
    whole = configuration(base_url, portfolio=Portfolio(()), interval="1d")
    return {**whole, "discovery": {"interval": "1s"}, **more}


def keys(directory: Path, **by_name: str) -> Document:
    """Return credentials of these names with these keys, all with the same secret."""
    (directory / "secret").write_text(API_SECRET)
    for key in by_name.values():
        (directory / key).write_text(key)
    return {
        name: {"api_key_file": key, "api_secret_file": "secret"} for name, key in by_name.items()
    }


def polled(scrape: Scrape) -> Counter[str]:
    """Return how many vaults of each organization have balances."""
    return Counter(labels["org"] for labels, _ in scrape.samples("kraken_custody_vault_balance"))


def scraped(exporter: Running) -> Scrape:
    return Scrape(exporter.get("/metrics").text)


def all_polled(exporter: Running, api: Api) -> Scrape:
    """Wait until all vaults that the API has were found and read."""
    exporter.wait_for("started")
    there = sum(len(it.vaults) for it in api.organizations)

    def read() -> int:
        return sum(event["kind"] == "vault" for event in exporter.events("target_up"))

    until(lambda: read() == there, DEADLINE_SECONDS)
    return scraped(exporter)


def failed_lists(exporter: Running) -> Counter[str]:
    failed = exporter.events("request_failed")
    return Counter(event["org"] for event in failed if event["kind"] == "vaults")


VAULTS_EACH: Final = 102
"""Just enough for a second page."""


class ListFault(NamedTuple):
    """A fault in the list of an organization's vaults, and its message.

    tries: requests in each poll that fail in this way. vaults: how many the organization has.
    """

    situation: str
    mood: Callable[[Api, str], Mood]
    type: str
    words: str
    tries: int = 1
    vaults: int = VAULTS_EACH


def _twice(api: Api, name: str) -> Mood:
    # A vault was added before them after the first page was read.
    return second_page(lambda: page_of(api.listed(name, PAGE - 1, VAULTS_EACH - 1), VAULTS_EACH))


FAULTS: Final = (
    ListFault(
        "a page is missing",
        lambda _api, _name: second_page(lambda: page_of([], VAULTS_EACH)),
        "response/invalid",
        f"the answer ends a list of 100 vaults, not of {VAULTS_EACH}",
    ),
    ListFault(
        "a page is repeated",
        lambda api, name: second_page(lambda: page_of(api.listed(name, 0, PAGE), VAULTS_EACH)),
        "response/invalid",
        "twice: the list changed while it was read",
    ),
    ListFault(
        "the total changes",
        lambda api, name: second_page(
            lambda: page_of(api.listed(name, PAGE, VAULTS_EACH), VAULTS_EACH + 1)
        ),
        "response/invalid",
        f"has a total of {VAULTS_EACH + 1} on page 2, and of {VAULTS_EACH} before: the list changed",
    ),
    ListFault(
        "a vault is on two pages", _twice, "response/invalid", "twice: the list changed while"
    ),
    ListFault(
        "a list fails in the middle",
        lambda _api, _name: second_page(lambda: answers.problem(503, "gateway/Connect")),
        "gateway/Connect",
        "Service Unavailable",
        tries=3,
    ),
    ListFault(
        "a list is a page",
        lambda _api, _name: moods.html(200),
        "response/invalid",
        "the answer is not JSON",
        vaults=2,
    ),
    ListFault(
        "a total is more than 200 pages",
        lambda api, name: moods.always(page_of(api.listed(name, 0, PAGE), 20_001)),
        "response/invalid",
        "lists 20001 vaults, more than 200 pages hold",
        vaults=2,
    ),
)
BESIDE: Final = "nothing is wrong"


@dataclass(frozen=True)
class Events:
    """Logged events."""

    events: list[dict[str, Any]]

    def named(self, event: str, **fields: str) -> list[dict[str, Any]]:
        return [it for it in self.events if it["event"] == event and it.items() >= fields.items()]


@dataclass(frozen=True)
class Record(Events):
    """The record. `during`: when each fault had shown in two polls. `after`: without the faults."""

    before: Scrape
    during: Scrape
    after: Scrape
    page: str


@pytest.fixture(scope="module")
def unbelieved(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Play all faults of lists at once, each with a separate organization."""
    directory = tmp_path_factory.mktemp("unbelieved")
    organizations = [
        Organization(
            f"LIST FALT ORGN {number:04d}",
            fault.situation,
            vaults((f"v{index}" for index in range(fault.vaults)), 1 + number * 1000),
        )
        for number, fault in enumerate(FAULTS)
    ]
    first, second = vaults(("old", "new"), 50_000)
    api = Api(*organizations, Organization("LIST FINE ORGN 0000", BESIDE, (first,)))
    with SimulatorThread(api.simulator.app) as base_url:
        write(directory, document(base_url))
        with running("--log.level", "debug", directory=directory) as exporter:
            before = all_polled(exporter, api)
            api.listing |= {it.situation: it.mood(api, it.situation) for it in FAULTS}
            api.change(BESIDE, first, second)
            until(
                lambda: all(failed_lists(exporter)[it.situation] > it.tries for it in FAULTS),
                DEADLINE_SECONDS,
            )
            until(lambda: polled(scraped(exporter))[BESIDE] == 2, DEADLINE_SECONDS)
            during, page = scraped(exporter), exporter.get("/").text
            api.listing.clear()
            until(lambda: len(exporter.events("target_recovered")) == len(FAULTS), DEADLINE_SECONDS)
            return Record(exporter.events(), before, during, scraped(exporter), page)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: it.situation)
def test_a_list_that_cannot_be_believed_changes_nothing_of_what_is_polled(
    unbelieved: Record, fault: ListFault
) -> None:
    org = fault.situation
    before, during = (
        {line for line in it.balances() if f'org="{org}"' in line}
        for it in (unbelieved.before, unbelieved.during)
    )
    assert len(before) > fault.vaults
    assert during == before
    discovered = "kraken_custody_discovered_vaults"
    assert unbelieved.during.value(discovered, org=org, polled="true") == fault.vaults


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: it.situation)
def test_a_list_that_cannot_be_believed_shows_as_a_target_that_fails(
    unbelieved: Record, fault: ListFault
) -> None:
    labels = {"kind": "vaults", "org": fault.situation}
    ups = [
        scrape.value("kraken_custody_target_up", **labels)
        for scrape in (unbelieved.before, unbelieved.during, unbelieved.after)
    ]
    assert ups == [1, 0, 1]
    error = unbelieved.during.value("kraken_custody_target_error", **labels, type=fault.type)
    assert error == 1
    (failing,) = unbelieved.named("target_failing", **labels, type=fault.type)
    assert fault.words in failing["message"]
    assert len(unbelieved.named("target_recovered", **labels)) == 1


def test_lists_that_cannot_be_believed_make_nothing_come_or_go(unbelieved: Record) -> None:
    assert unbelieved.named("vault_gone") == []
    assert unbelieved.named("vault_renamed") == []
    found = unbelieved.named("vault_discovered", org=BESIDE)
    assert [event["vault"] for event in found] == ["old", "new"]


MARKUP: Final = "<script>alert(1)</script> & <b>"
HOSTILE: Final = {
    "quotes": 'a "quoted" \\ name',
    "line feeds": "two\nlines\r\n",
    "markup": MARKUP,
    "long": "long " + "x" * 495,
    "blank": " ",
    "control": "bell \x07 nul",
    "direction": "evil \u202e live",
}
HOSTILE_ORGANIZATION: Final = 'Org "of" <i>all</i>\nof them'


def labels_of(scrape: Scrape) -> dict[str, str]:
    """Return the label of each vault by its id."""
    return {
        labels["vault_id"]: labels["vault"]
        for labels, _ in scrape.samples("kraken_custody_vault_balance")
    }


@dataclass(frozen=True)
class Changes(Events):
    """An exporter while what the API lists changes.

    before: at first. during: after the changes. back: after the vault that left came back. reloaded: at last.
    """

    before: Scrape
    during: Scrape
    back: Scrape
    reloaded: Scrape
    page: str


TWINS = vaults(("pay", "pay"), 1)
RENAMED = vaults(("before", "beside"), 11)
ARCHIVED = vaults(("stays", "leaves"), 21)
EMPTY_ONCE = vaults(("a", "b"), 31)
EMPTIED = vaults(("c", "d"), 41)
HIDDEN = vaults(("public", "test-public"), 51)
STRANGE = vaults(HOSTILE.values(), 61)


def renamed(vault: Vault, name: str) -> Vault:
    return replace(vault, name=name)


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Changes:
    directory = tmp_path_factory.mktemp("changes")
    api = Api(
        *(
            Organization(f"CHNG ORGN AAAA {number:04d}", name, some)
            for number, (name, some) in enumerate(
                {
                    "twins": TWINS,
                    "renamed": RENAMED,
                    "archived": ARCHIVED,
                    "empty once": EMPTY_ONCE,
                    "emptied": EMPTIED,
                    "hidden": HIDDEN,
                    HOSTILE_ORGANIZATION: STRANGE,
                }.items()
            )
        )
    )
    discovery = {"interval": "1s", "vaults": {"exclude": ["test-*"]}}
    with SimulatorThread(api.simulator.app) as base_url:
        write(directory, document(base_url, discovery=discovery))
        with running("--log.level", "debug", directory=directory) as exporter:
            there = sum(len(it.vaults) for it in api.organizations) - 1
            until(lambda: len(labels_of(scraped(exporter))) == there, DEADLINE_SECONDS)
            before, page = scraped(exporter), exporter.get("/").text
            empty_page = moods.always(page_of([], 0))
            api.listing["empty once"] = moods.times(1, empty_page)
            api.change("renamed", renamed(RENAMED[0], "after"), RENAMED[1])
            api.change("archived", ARCHIVED[0])
            api.change("emptied")
            api.change("hidden", renamed(HIDDEN[0], "test-hidden"), HIDDEN[1])
            gone = {ARCHIVED[1].id, *(it.id for it in EMPTIED)}
            until(
                lambda: {it["id"] for it in exporter.events("vault_gone")} == gone,
                DEADLINE_SECONDS,
            )
            exporter.wait_for("renamed_into_exclusion")
            exporter.wait_for("vault_renamed")
            during = scraped(exporter)
            api.change("archived", *ARCHIVED)
            until(lambda: ARCHIVED[1].id in labels_of(scraped(exporter)), DEADLINE_SECONDS)
            back = scraped(exporter)
            exporter.process.send_signal(signal.SIGHUP)
            exporter.wait_for("reloaded")
            return Changes(exporter.events(), before, during, back, scraped(exporter), page)


def test_of_two_vaults_of_one_name_one_has_its_id_in_its_label(changes: Changes) -> None:
    labels = labels_of(changes.before)
    assert sorted(labels[it.id] for it in TWINS) == sorted(
        ["pay", f"pay ({max(it.id for it in TWINS)})"]
    )


def test_a_renamed_vault_is_exported_under_its_new_name_only(changes: Changes) -> None:
    vault, beside = RENAMED
    assert labels_of(changes.before)[vault.id] == "before"
    assert labels_of(changes.during)[vault.id] == "after"
    assert labels_of(changes.during)[beside.id] == "beside"
    assert changes.during.samples("kraken_custody_target_up", vault="before") == []
    assert changes.during.value("kraken_custody_target_up", vault="after") == 1
    assert len(changes.named("vault_renamed", id=vault.id)) == 1
    assert changes.named("vault_gone", id=vault.id) == []


def test_an_archived_vault_leaves_and_comes_back(changes: Changes) -> None:
    stays, leaves = ARCHIVED
    assert labels_of(changes.during).get(stays.id) == "stays"
    assert leaves.id not in labels_of(changes.during)
    assert changes.during.samples("kraken_custody_target_up", vault="leaves") == []
    assert labels_of(changes.back)[leaves.id] == "leaves"
    assert len(changes.named("vault_discovered", id=leaves.id)) == 2
    assert len(changes.named("vault_gone", id=leaves.id)) == 1


def test_one_empty_list_removes_nothing_and_two_in_a_row_everything(changes: Changes) -> None:
    during = labels_of(changes.during)
    assert {during[it.id] for it in EMPTY_ONCE} == {"a", "b"}
    assert not {it.id for it in EMPTIED} & during.keys()
    polled_now = changes.during.value(
        "kraken_custody_discovered_vaults", org="emptied", polled="true"
    )
    assert polled_now == 0
    assert changes.during.value("kraken_custody_target_up", kind="vaults", org="emptied") == 1


def test_a_vault_that_is_renamed_into_an_exclusion_is_polled_until_a_reload(
    changes: Changes,
) -> None:
    hidden, excluded = HIDDEN
    assert excluded.id not in labels_of(changes.before)
    assert labels_of(changes.before)[hidden.id] == "public"
    assert hidden.id in labels_of(changes.during)
    (warning,) = changes.named("renamed_into_exclusion")
    assert (warning["id"], warning["level"]) == (hidden.id, "warn")
    assert hidden.id not in labels_of(changes.reloaded)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_name_is_an_unchanged_label_and_a_blank_one_is_ignored(
    changes: Changes, what: str
) -> None:
    vault = STRANGE[list(HOSTILE).index(what)]
    name = vault.name.strip() and vault.name
    assert labels_of(changes.before)[vault.id] == (name or vault.id)
    (info,) = changes.before.samples("kraken_custody_vault_info", vault_id=vault.id)
    assert info[0]["name"] == name


def test_a_hostile_name_of_an_organization_is_a_label_as_it_is(changes: Changes) -> None:
    organizations = changes.before.samples("kraken_custody_organization_info")
    assert HOSTILE_ORGANIZATION in {labels["name"] for labels, _ in organizations}


def test_hostile_names_are_text_on_the_page(changes: Changes) -> None:
    assert "<script>alert" not in changes.page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;" in changes.page
    assert "<i>all</i>" not in changes.page


SHARED: Final = Organization("RGHT SHRD ORGN 0001", "shared", vaults(("both", "second"), 101))
BY_HAND: Final = Organization("RGHT HAND ORGN 0002", "by hand", vaults(("known",), 201))
UNSEEN: Final = Organization("RGHT NONE ORGN 0003", "unseen", vaults(("nobody's",), 301))
OTHER: Final = "other-key"
BLIND: Final = "key-that-may-not-list"
MUTE: Final = "key-that-may-not-list-vaults"


class Asked:
    """The requests, by key."""

    def __init__(self, times: Counter[tuple[str, str]] | None = None) -> None:
        self.times = Counter(times)

    async def __call__(self, request: Request) -> None:
        self.times[request.headers["api-key"], request.url.path] += 1

    def keys(self, path_end: str) -> set[str]:
        return {key for key, path in self.times if path.endswith(path_end)}

    def lists(self, key: str) -> int:
        return self.times[key, "/v0/insto/custody/vaults"]


@dataclass(frozen=True)
class Rights(Events):
    """The requests and expositions of an exporter with several keys: at first, and after one of them sees less."""

    asked: Asked
    first: Scrape
    taken_over: Scrape


@pytest.fixture(scope="module")
def rights(tmp_path_factory: pytest.TempPathFactory) -> Rights:
    """Let four keys list: two that see the same vault, one that may not, and one that may list organizations only."""
    directory = tmp_path_factory.mktemp("rights")
    api = Api(SHARED, BY_HAND, UNSEEN)
    simulated, asked = api.simulator, Asked()
    simulated.front = asked
    both, second = SHARED.vaults
    simulated.guard.secrets |= dict.fromkeys((OTHER, BLIND, MUTE), API_SECRET)
    simulated.scopes |= {
        API_KEY: {SHARED.id, both.id},
        OTHER: {SHARED.id, both.id, second.id},
        BLIND: {BY_HAND.id, *(it.id for it in BY_HAND.vaults)},
        MUTE: {UNSEEN.id},
    }

    def refused_to(*keys: str) -> Mood:
        async def mood(request: Request) -> ASGIApp | None:
            is_denied = request.headers["api-key"] in keys
            return answers.permission_denied() if is_denied else None

        return mood

    simulated.moods |= {"organizations": refused_to(BLIND), "vaults": refused_to(BLIND, MUTE)}
    with SimulatorThread(simulated.app) as base_url:
        more = {
            "credentials": keys(directory, one=API_KEY, two=OTHER, blind=BLIND, mute=MUTE),
            "organizations": [
                {
                    "name": BY_HAND.name,
                    "id": BY_HAND.id,
                    "credentials": "blind",
                    "vaults": [{"name": it.name, "id": it.id} for it in BY_HAND.vaults],
                }
            ],
            "polling": {"interval": "500ms"},
        }
        write(directory, document(base_url, **more))
        with running("--log.level", "debug", directory=directory) as exporter:
            until(lambda: len(labels_of(scraped(exporter))) == 3, DEADLINE_SECONDS)

            def have_listed(times: int) -> bool:
                return min(asked.lists(it) for it in (API_KEY, OTHER, BLIND)) >= times

            # The key that listed it first polls it until the first key in the file lists it.
            until(lambda: have_listed(2), DEADLINE_SECONDS)
            asked.times.clear()
            until(lambda: have_listed(3), DEADLINE_SECONDS)
            first, at_first = scraped(exporter), Asked(asked.times)
            # The first of the two keys is no longer a member.
            simulated.scopes[API_KEY] = {SHARED.id}
            until(lambda: OTHER in asked.keys(f"{both.id}/assets/balances"), DEADLINE_SECONDS)
            return Rights(exporter.events(), at_first, first, scraped(exporter))


def test_a_vault_that_two_credentials_see_is_polled_with_the_first(rights: Rights) -> None:
    both, second = SHARED.vaults
    assert rights.asked.keys(f"{both.id}/assets/balances") == {API_KEY}
    assert rights.asked.keys(f"{second.id}/assets/balances") == {OTHER}
    samples = rights.first.samples("kraken_custody_vault_balance", vault_id=both.id)
    assert len(samples) == 1


def test_a_vault_that_the_first_credential_no_longer_sees_is_polled_with_the_second(
    rights: Rights,
) -> None:
    (both, _) = SHARED.vaults
    assert len(rights.taken_over.samples("kraken_custody_vault_balance", vault_id=both.id)) == 1
    assert rights.named("vault_gone") == []


def test_a_key_that_may_not_list_is_asked_once_an_interval(rights: Rights) -> None:
    denied, allowed = rights.asked.lists(BLIND), rights.asked.lists(API_KEY)
    assert abs(denied - allowed) <= 2


def test_a_key_that_may_not_list_is_no_failure_if_vaults_are_configured(rights: Rights) -> None:
    lists = (
        {"kind": "vaults", "org": BY_HAND.name},
        {"kind": "organizations", "credential": "blind"},
    )
    for labels in lists:
        assert rights.first.value("kraken_custody_target_up", **labels) == 1
        assert rights.first.samples("kraken_custody_target_error", **labels) == []
        (refused,) = rights.named("listing_refused", **labels)
        assert "only those in the configuration are polled" in refused["problem"]
        assert rights.named("target_failing", **labels) == []


def test_a_key_that_may_not_list_fails_if_nothing_else_is_known(rights: Rights) -> None:
    labels = {"kind": "vaults", "org": UNSEEN.name}
    assert rights.first.value("kraken_custody_target_up", **labels) == 0
    (failing,) = rights.named("target_failing", **labels)
    assert (failing["type"], failing["credential"]) == ("PermissionDenied", "mute")


class Gate:
    """A mood that holds a list's second page back until it is opened."""

    def __init__(self) -> None:
        self.opened = Event()
        self.waiting = 0

    async def __call__(self, request: Request) -> None:
        if request.query_params["offset"] == str(PAGE):
            self.waiting += 1
            await asyncio.to_thread(self.opened.wait, DEADLINE_SECONDS)


LONG_LIST: Final = Organization(
    "LONG LIST ORGN 0001", "long", vaults((f"v{it}" for it in range(VAULTS_EACH)), 1001)
)


def test_a_reload_that_changes_filters_while_a_list_is_read_holds_for_what_it_finds(
    tmp_path: Path,
) -> None:
    api, gate = Api(LONG_LIST), Gate()
    api.listing["long"] = gate
    asked = api.simulator.front = Asked()
    with SimulatorThread(api.simulator.app) as base_url:
        write(tmp_path, document(base_url))
        with running("--log.level", "debug", directory=tmp_path) as exporter:
            until(lambda: gate.waiting == 1, DEADLINE_SECONDS)
            filters = {"interval": "1h", "vaults": {"exclude": ["v1*"]}}
            write(tmp_path, document(base_url, discovery=filters))
            exporter.process.send_signal(signal.SIGHUP)
            exporter.wait_for("reloaded")
            gate.opened.set()
            wanted = [it for it in LONG_LIST.vaults if not it.name.startswith("v1")]
            until(lambda: polled(scraped(exporter))["long"] == len(wanted), DEADLINE_SECONDS)
            labels = labels_of(scraped(exporter))
            assert labels == {it.id: it.name for it in wanted}
    balances = {path for _, path in asked.times if path.endswith("/assets/balances")}
    assert balances == {f"/v0/insto/custody/vaults/{it.id}/assets/balances" for it in wanted}
    assert asked.lists(API_KEY) == 2


def test_a_list_that_takes_longer_than_its_interval_is_read_and_starves_nothing(
    tmp_path: Path,
) -> None:
    """Each page takes as long as the interval; a vault in the configuration keeps its own."""
    own = Organization("LONG LIST ORGN 0002", "own", vaults(("hot",), 2001))
    api = Api(LONG_LIST, own)
    api.listing["long"] = moods.slow(0.3)
    order: list[str] = []

    async def noting(request: Request) -> None:
        order.append(f"{request.url.path}?{request.url.query}")

    api.simulator.front = noting
    hot = {
        "name": "own",
        "id": own.id,
        "interval": "1d",
        "vaults": [{"name": "hot", "id": own.vaults[0].id, "interval": "50ms"}],
    }
    balances = (
        f"/v0/insto/custody/vaults/{own.vaults[0].id}/assets/balances?quote=USD&full_precision=true"
    )
    with SimulatorThread(api.simulator.app) as base_url:
        discovery = {"interval": "300ms"}
        write(tmp_path, document(base_url, organizations=[hot], discovery=discovery))
        with running("--log.level", "debug", directory=tmp_path) as exporter:
            until(lambda: polled(scraped(exporter))["long"] == VAULTS_EACH, DEADLINE_SECONDS)
            until(lambda: sum("offset=100" in it for it in order) >= 4, DEADLINE_SECONDS)
            scrape = scraped(exporter)
            assert exporter.events("target_failing") == []
    assert scrape.value("kraken_custody_target_up", kind="vaults", org="long") == 1
    assert api.simulator.guard.largest_in_flight[API_KEY] == 1
    # Once all vaults are known, the most overdue goes first: a whole list and other targets in turn.
    first = next(place for place, it in enumerate(order) if "offset=100" in it)
    pages = sum("0001&limit" in it for it in order[first + 1 :])
    assert order[first + 1 :].count(balances) >= pages / 2


def test_of_too_many_vaults_the_first_by_id_are_polled_and_the_last_is_shown(
    tmp_path: Path,
) -> None:
    """With a tenth of the limit, as the simulator takes most of the time; tests/discovery has the whole."""
    prelude = "from exporter.discovery import inventory\ninventory.MOST_VAULTS = 2_000\n"
    halves = vaults(map(str, range(1001)), 1), vaults(map(str, range(1000)), 2001)
    api = Api(
        *(
            Organization(f"MANY VLTS ORGN {number:04d}", f"half {number}", half)
            for number, half in enumerate(halves)
        )
    )
    last = max((it for half in halves for it in half), key=lambda it: it.id)
    # A key for each half, and slow balances, so that the second list does not wait for the first half.
    simulated = api.simulator
    simulated.default_mood = moods.slow(0.2)
    simulated.guard.secrets[OTHER] = API_SECRET
    for key, of in zip((API_KEY, OTHER), api.organizations, strict=True):
        simulated.scopes[key] = {of.id, *(it.id for it in of.vaults)}
    with SimulatorThread(simulated.app) as base_url:
        credentials = keys(tmp_path, one=API_KEY, two=OTHER)
        more = {"credentials": credentials, "discovery": {"interval": "1h"}}
        write(tmp_path, document(base_url, **more))
        with running(directory=tmp_path, prelude=prelude) as exporter:
            event = until(lambda: exporter.events("too_many_vaults"), DEADLINE_SECONDS)[0]
            scrape = scraped(exporter)
    assert event["unpolled"] == 1
    for of in api.organizations:
        unpolled = int(last in of.vaults)
        for polled_or_not, count in (("true", len(of.vaults) - unpolled), ("false", unpolled)):
            labels = {"org": of.name, "polled": polled_or_not}
            assert scrape.value("kraken_custody_discovered_vaults", **labels) == count
