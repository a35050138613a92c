"""Found organizations and vaults: lists count only as a whole, and known targets are polled meanwhile."""

import gc
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.types import ASGIApp
from structlog.testing import capture_logs

import exporter.resources.target
from exporter import assembly
from exporter.config import Settings, parse
from exporter.metrics.negotiation import Format
from exporter.resources.target import Target
from exporter.simulator import moods
from exporter.simulator.portfolio import Organization, Portfolio, Vault, large_portfolio
from exporter.simulator.revisions import R1, R2, R3, R4, Revision
from exporter.web.targets_json import targets_json
from exporter.web.view import View
from tests.polling.world import API_KEY, OTHER_KEY, Stage, run, stage

LISTS = "/v0/insto/custody/vaults"
ORGANIZATIONS = "/v0/insto/custody/organizations"


def portfolio(*names: Iterable[str]) -> Portfolio:
    """Return organizations named org-0, org-1, …, with vaults of these names."""
    rows = [list(its_names) for its_names in names]
    vaults = iter(large_portfolio(sum(map(len, rows)), 1).organizations[0].vaults)
    return Portfolio(
        tuple(
            Organization(
                id=f"AAAA BBBB CCCC {number:04}",
                name=f"org-{number}",
                vaults=tuple(replace(next(vaults), name=name) for name in its_names),
            )
            for number, its_names in enumerate(rows)
        )
    )


def finding(*names: Iterable[str], **options: Any) -> Stage:
    """Return a stage whose configuration has only credentials and discovery."""
    options = {"discovery": {}, "organizations": [], **options}
    return stage(portfolio=portfolio(*names), **options)


def labels(played: Stage, kind: str = "vault") -> list[tuple[str, str]]:
    targets = [state.target for state in played.exporter.store.states()]
    return sorted((it.organization, it.vault) for it in targets if it.kind == kind)


def exposed(played: Stage, *names: str) -> list[str]:
    page = b"".join(played.exporter.exposition().plain(Format.TEXT_0_0_4)).decode()
    starts = tuple(f"{name}{{" for name in names)
    return sorted(line for line in page.split("\n") if line.startswith(starts))


def value(played: Stage, name: str, **wanted: str) -> float:
    (found,) = [
        line.rpartition(" ")[2]
        for line in exposed(played, name)
        if all(f'{label}="{text}"' in line for label, text in wanted.items())
    ]
    return float(found)


def change(played: Stage, *vaults: Vault, of: int = 0) -> None:
    """Let an organization have these vaults from now on."""
    organizations = list(played.simulator.portfolio.organizations)
    organizations[of] = replace(organizations[of], vaults=vaults)
    played.simulator.portfolio = Portfolio(tuple(organizations))


def vaults(played: Stage, of: int = 0) -> tuple[Vault, ...]:
    return played.simulator.portfolio.organizations[of].vaults


def listings(played: Stage, path: str = LISTS) -> list[float]:
    return [moment for moment, sent in played.wire.sent if sent == path]


EVERYTHING = """\
kraken_custody_organization_info<org="org-0",org_id="AAAA BBBB CCCC 0000",name="org-0",status="active"> 1.0
kraken_custody_organization_info<org="org-1",org_id="AAAA BBBB CCCC 0001",name="org-1",status="active"> 1.0
kraken_custody_vault_info<org="org-0",vault="hot",vault_id="{hot}",name="hot",status="created"> 1.0
kraken_custody_vault_info<org="org-0",vault="cold",vault_id="{cold}",name="cold",status="created"> 1.0
kraken_custody_vault_info<org="org-1",vault="other",vault_id="{other}",name="other",status="created"> 1.0
kraken_custody_vault_missing_quote_rates<org="org-0",vault="hot",vault_id="{hot}"> 0.0
kraken_custody_vault_missing_quote_rates<org="org-0",vault="cold",vault_id="{cold}"> 0.0
kraken_custody_vault_missing_quote_rates<org="org-1",vault="other",vault_id="{other}"> 0.0
kraken_custody_discovered_vaults<org="org-0",org_id="AAAA BBBB CCCC 0000",polled="true"> 2.0
kraken_custody_discovered_vaults<org="org-0",org_id="AAAA BBBB CCCC 0000",polled="false"> 0.0
kraken_custody_discovered_vaults<org="org-1",org_id="AAAA BBBB CCCC 0001",polled="true"> 1.0
kraken_custody_discovered_vaults<org="org-1",org_id="AAAA BBBB CCCC 0001",polled="false"> 0.0
"""


def test_credentials_and_discovery_are_enough_to_poll_everything() -> None:
    async def main() -> None:
        played = finding(["hot", "cold"], ["other"])
        await played.play(10)
        assert labels(played) == [("org-0", "cold"), ("org-0", "hot"), ("org-1", "other")]
        assert labels(played, "organization") == [("org-0", ""), ("org-1", "")]
        assert all(state.is_up for state in played.exporter.store.states())
        hot, cold = vaults(played)
        (other,) = vaults(played, of=1)
        assert exposed(
            played,
            "kraken_custody_vault_info",
            "kraken_custody_organization_info",
            "kraken_custody_discovered_vaults",
            "kraken_custody_vault_missing_quote_rates",
        ) == sorted(
            EVERYTHING.format(hot=hot.id, cold=cold.id, other=other.id)
            .replace("<", "{")
            .replace(">", "}")
            .splitlines()
        )
        await played.stop()

    run(main())


@pytest.mark.parametrize("id_form", ["spaced", "compact"])
@pytest.mark.parametrize("revision", [R1, R2, R3, R4], ids=["r1", "r2", "r3", "r4"])
def test_everything_is_found_and_polled_in_every_revision_of_the_api(
    revision: Revision, id_form: Literal["spaced", "compact"]
) -> None:
    async def main() -> None:
        played = finding(["hot", "cold"], ["other"], api={"organization_id_format": id_form})
        played.simulator.revision, played.simulator.id_form = revision, id_form
        await played.play(30)
        assert labels(played) == [("org-0", "cold"), ("org-0", "hot"), ("org-1", "other")]
        assert all(state.failure is None for state in played.exporter.store.states())
        assert played.simulator.guard.refusals == {}
        await played.stop()

    run(main())


@pytest.mark.no_cover
def test_a_list_is_read_once_an_interval_and_counts_in_the_plan() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(250)), polling={"interval": "1h"})
        assert played.exporter.plan.demand == pytest.approx(1 / 600)
        await played.play(1300)
        # The first of them was refused: the simulator has another name for organizations.
        assert len(listings(played)) == 1 + 3 * 3
        assert len(listings(played, ORGANIZATIONS)) == 3
        demand = 4 / 600 + 251 / 3600
        assert played.exporter.plan.demand == pytest.approx(demand)
        assert value(played, "kraken_custody_target_rows", kind="vaults") == 250
        assert played.counted("kraken_custody_rate_limit_demand_ratio") == pytest.approx(
            demand / played.exporter.plan.rate
        )
        await played.stop()

    run(main())


def test_a_new_vault_is_polled_at_once_and_one_that_is_gone_twice_leaves() -> None:
    async def main() -> None:
        played = finding(["hot", "cold"])
        await played.play(10)
        hot, cold = vaults(played)
        extra = large_portfolio(3, 1).organizations[0].vaults[2]
        change(played, hot, replace(extra, name="new"))
        await played.play(601)
        # Missing once: it stays, and fails as the API says.
        assert labels(played) == [("org-0", "cold"), ("org-0", "hot"), ("org-0", "new")]
        assert played.state("new").is_up
        assert not played.state("cold").is_up
        await played.play(600)
        assert labels(played) == [("org-0", "hot"), ("org-0", "new")]
        assert 'vault="cold"' not in str(exposed(played, "kraken_custody_vault_balance"))
        discovered = [it["vault"] for it in logged if it["event"] == "vault_discovered"]
        assert sorted(discovered) == ["cold", "hot", "new"]
        (gone,) = [it for it in logged if it["event"] == "vault_gone"]
        assert (gone["org"], gone["vault"], gone["id"]) == ("org-0", "cold", cold.id)
        await played.stop()

    with capture_logs() as logged:
        run(main())


def test_a_renamed_vault_is_called_by_its_new_name_and_keeps_its_id_and_its_balances() -> None:
    async def main() -> None:
        played = finding(["hot"])
        await played.play(599)
        state, (hot,) = played.state("hot"), vaults(played)
        change(played, replace(hot, name="hotter"))
        played.simulator.moods[hot.id] = moods.html(502)
        await played.play(60)
        assert labels(played) == [("org-0", "hotter")]
        renamed = played.state("hotter")
        assert (renamed.target.id, renamed.last_success) == (state.target.id, state.last_success)
        (balance,) = exposed(played, "kraken_custody_vault_spot_balance")
        assert f'org="org-0",vault="hotter",vault_id="{hot.id}"' in balance
        await played.stop()

    run(main())


CONFIGURED = {"id": "AAAA BBBB CCCC 0000", "name": "acme"}


def test_the_configuration_adds_names_intervals_and_thresholds_to_what_is_found() -> None:
    async def main() -> None:
        (hot, _) = portfolio(["hot", "cold"]).organizations[0].vaults
        entry = {"id": hot.id, "name": "cold", "interval": "30s", "min_available": {"BTC": 2}}
        played = finding(["hot", "cold"], organizations=[{**CONFIGURED, "vaults": [entry]}])
        await played.play(10)
        cold_id = vaults(played)[1].id
        assert labels(played) == [("acme", "cold"), ("acme", f"cold ({cold_id})")]
        assert (played.target("cold").id, played.target("cold").interval) == (hot.id, 30.0)
        assert len(exposed(played, "kraken_custody_vault_min_available_balance")) == 1
        await played.stop()

    run(main())


@pytest.mark.no_cover
def test_balances_keep_their_intervals_while_a_long_list_is_read() -> None:
    async def main() -> None:
        played = finding(
            map("v{}".format, range(1500)),
            organizations=[{**CONFIGURED, "vaults": [{"id": vault.id} for vault in FIRST_SIXTY]}],
            discovery={"vaults": {"include": []}},
            api={"rate_limit": {"requests": 144, "window": "30s"}},
        )
        await played.play(240)
        first = [played.times(vault.id)[0] for vault in FIRST_SIXTY]
        assert max(first) < 30
        gaps = [
            later - earlier
            for vault in FIRST_SIXTY
            for earlier, later in pairwise(played.times(vault.id))
        ]
        assert max(gaps) < 72
        assert value(played, "kraken_custody_target_rows", kind="vaults") == 1500
        await played.stop()

    run(main())


FIRST_SIXTY = large_portfolio(60, 1).organizations[0].vaults


@pytest.mark.no_cover
def test_a_page_is_tried_again_and_one_that_fails_for_good_discards_the_list() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(150)), polling={"interval": "1h"})
        await played.play(300)
        assert len(labels(played)) == 150
        change(played, *vaults(played)[:120])
        played.simulator.moods["vaults"] = on_page(100, moods.times(2, moods.html(502)))
        await played.play(600)
        assert played.exporter.store[list_of(played)].is_up
        assert value(played, "kraken_custody_target_rows", kind="vaults") == 120
        played.simulator.moods["vaults"] = on_page(100, moods.html(502))
        await played.play(1800)
        failure = played.exporter.store[list_of(played)].failure
        assert failure is not None
        assert failure.type == "http/502"
        # Incomplete lists remove nothing.
        assert len(labels(played)) == 150
        await played.stop()

    run(main())


def list_of(played: Stage) -> Target:
    return next(it for it in played.exporter.plan.targets if it.kind == "vaults")


def on_page(offset: int, mood: moods.Mood) -> moods.Mood:
    """Return a mood that only the page from `offset` on is asked in."""

    async def only_there(request: Request) -> ASGIApp | None:
        is_there = request.query_params.get("offset") == str(offset)
        return await mood(request) if is_there else None

    return only_there


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("organizations", "is_up"),
    [([{**CONFIGURED, "vaults": [{"id": FIRST_SIXTY[0].id}]}], 1.0), ([CONFIGURED], 0.0)],
)
def test_a_key_that_may_not_list_vaults_does_not_fail_if_the_configuration_has_some(
    organizations: list[Mapping[str, object]], is_up: float
) -> None:
    async def main() -> None:
        played = finding(["hot", "cold"], organizations=organizations)
        played.simulator.moods["vaults"] = moods.permission_denied()
        await played.play(1790)
        assert value(played, "kraken_custody_target_up", kind="vaults") == is_up
        assert exposed(played, "kraken_custody_discovered_vaults") == []
        assert len(listings(played)) == (3 if is_up else 2)
        errors = {"endpoint": "vaults", "status": "403", "type": "PermissionDenied"}
        assert played.counted("kraken_custody_api_errors_total", **errors) == len(listings(played))
        refused = [it for it in logged if it["event"] == "listing_refused"]
        assert len(refused) == is_up
        played.simulator.moods.clear()
        await played.play(900)
        assert len(labels(played)) == 2
        # What was allowed once is expected.
        played.simulator.moods["vaults"] = moods.permission_denied()
        await played.play(900)
        assert value(played, "kraken_custody_target_up", kind="vaults") == 0.0
        assert len(labels(played)) == 2
        await played.stop()

    with capture_logs() as logged:
        run(main())


def test_an_empty_list_is_logged_once_as_every_poll_succeeds() -> None:
    async def main() -> None:
        played = finding([])
        await played.play(1300)
        page = b"".join(targets_json(played.exporter.look()(), View())).decode()
        assert "the list is empty: make the API user a member of the vaults" in page
        played.simulator.portfolio = Portfolio(())
        await played.play(1300)
        await played.stop()

    with capture_logs() as logged:
        run(main())
    told = [it for it in logged if it["event"] == "listing_empty"]
    assert [(it["kind"], it["problem"].split(":")[0]) for it in told] == [
        ("vaults", "the list is empty"),
        ("organizations", "the list is empty"),
    ]


def test_a_key_that_may_not_list_organizations_still_lists_the_vaults_of_those_it_has() -> None:
    async def main() -> None:
        played = finding(["hot"], ["other"], organizations=[CONFIGURED])
        played.simulator.moods["organizations"] = moods.permission_denied()
        await played.play(10)
        assert labels(played) == [("acme", "hot")]
        assert value(played, "kraken_custody_target_up", kind="organizations") == 1.0
        await played.stop()

    run(main())


TWO: dict[str, dict[str, object]] = {"first": {}, "second": {}}


def test_a_vault_that_two_credentials_see_is_polled_with_the_first_of_the_file() -> None:
    async def main() -> None:
        played = finding(["hot", "cold"], credentials=TWO)
        (of,) = played.simulator.portfolio.organizations
        hot, cold = of.vaults
        played.simulator.scopes[API_KEY] = {of.id, hot.id}
        played.simulator.scopes[OTHER_KEY] = {of.id, hot.id, cold.id}
        await played.play(20)
        credentials = {it.vault: it.credential for it in played.exporter.plan.targets if it.vault}
        assert credentials == {"hot": "first", "cold": "second"}
        assert exposed(played, "kraken_custody_target_up") == [
            'kraken_custody_target_up{kind="organization",org="org-0",vault=""} 1.0',
            'kraken_custody_target_up{kind="organizations",credential="first"} 1.0',
            'kraken_custody_target_up{kind="organizations",credential="second"} 1.0',
            'kraken_custody_target_up{kind="vault",org="org-0",vault="cold"} 1.0',
            'kraken_custody_target_up{kind="vault",org="org-0",vault="hot"} 1.0',
            'kraken_custody_target_up{kind="vaults",org="org-0",vault="",credential="second"} 1.0',
            'kraken_custody_target_up{kind="vaults",org="org-0",vault=""} 1.0',
        ]
        assert value(played, "kraken_custody_discovered_vaults", polled="true") == 2
        # What the first no longer sees is polled with the second.
        played.simulator.scopes[API_KEY] = {of.id}
        await played.play(1250)
        assert played.target("hot").credential == "second"
        assert played.state("hot").is_up
        await played.stop()

    run(main())


def test_a_vault_renamed_into_an_exclusion_is_polled_until_a_reload() -> None:
    async def main() -> None:
        played = finding(["hot", "test-1"], discovery={"vaults": {"exclude": ["test-*"]}})
        await played.play(10)
        assert labels(played) == [("org-0", "hot")]
        hot, test = vaults(played)
        change(played, replace(hot, name="test-2"), test)
        await played.play(1800)
        assert labels(played) == [("org-0", "test-2")]
        (warning,) = [it for it in logged if it["event"] == "renamed_into_exclusion"]
        assert (warning["vault"], warning["id"]) == ("test-2", hot.id)
        await played.exporter.reload(settings_of(played))
        assert labels(played) == []
        await played.stop()

    with capture_logs() as logged:
        run(main())


def settings_of(played: Stage, **changed: object) -> Settings:
    document = yaml.safe_dump({**played.document, **changed}, sort_keys=False)
    return parse(document, directory=played.directory, environ=played.environ)


def test_a_reload_keeps_what_was_found_and_lets_go_of_what_is_excluded_now() -> None:
    async def main() -> None:
        played = finding(["hot", "cold"])
        await played.play(10)
        filters = {"vaults": {"exclude": ["cold"]}}
        await played.exporter.reload(settings_of(played, discovery=filters))
        assert labels(played) == [("org-0", "hot")]
        assert played.state("hot").is_up
        await played.exporter.reload(settings_of(played))
        assert labels(played) == [("org-0", "cold"), ("org-0", "hot")]
        assert len(listings(played)) == 2
        await played.exporter.reload(
            settings_of(played, discovery=None, organizations=[CONFIGURED])
        )
        assert labels(played) == []
        await played.stop()

    run(main())


def test_a_list_in_progress_when_a_reload_changes_the_filters_counts_by_the_new_ones() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(250)), polling={"interval": "1h"})
        while len(listings(played)) < 3:
            await played.play(0.1)
        await played.exporter.reload(
            settings_of(played, discovery={"vaults": {"include": ["v1*"]}})
        )
        await played.play(60)
        assert len(labels(played)) == 111
        assert value(played, "kraken_custody_discovered_vaults", polled="true") == 111
        await played.stop()

    run(main())


def test_a_list_in_progress_of_an_organization_that_a_reload_excludes_finds_nothing() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(250)))
        while len(listings(played)) < 3:
            await played.play(0.1)
        filters = {"organizations": {"exclude": ["org-0"]}}
        await played.exporter.reload(settings_of(played, discovery=filters))
        await played.play(600)
        assert {state.target.kind for state in played.exporter.store.states()} == {"organizations"}
        await played.stop()

    run(main())


def test_a_list_restarts_with_other_secrets() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(250)))
        while len(listings(played)) < 3:
            await played.play(0.1)
        (of,) = played.simulator.portfolio.organizations
        played.simulator.scopes[OTHER_KEY] = {of.id, *(vault.id for vault in of.vaults[150:])}
        document = yaml.safe_dump(played.document, sort_keys=False)
        environ = {**played.environ, "KEY": OTHER_KEY}
        await played.exporter.reload(parse(document, directory=played.directory, environ=environ))
        await played.play(120)
        assert len(labels(played)) == 100
        await played.stop()

    run(main())


TWO_KEYS = {"first": {"api_key_env": "KEY"}, "second": {"api_key_env": "OTHER_KEY"}}
EXCHANGED = {"first": TWO_KEYS["second"], "second": TWO_KEYS["first"]}
RENAMED = {"primary": TWO_KEYS["first"], "second": TWO_KEYS["second"]}


@pytest.mark.no_cover
@pytest.mark.parametrize("later", [EXCHANGED, RENAMED], ids=["exchanged", "renamed"])
@pytest.mark.parametrize("pages", [2, 3])
def test_a_list_belongs_to_the_key_that_requested_all_its_pages_even_if_renamed(
    pages: int, later: Mapping[str, Mapping[str, object]]
) -> None:
    async def main() -> None:
        played = finding(
            map("v{}".format, range(250)),
            credentials=TWO_KEYS,
            jitter=lambda: 0.4,
            discovery={"vaults": {"include": []}},
        )
        (of,) = played.simulator.portfolio.organizations
        mine, others = of.vaults[:220], of.vaults[30:]
        played.simulator.scopes[API_KEY] = {of.id, *(vault.id for vault in mine)}
        played.simulator.scopes[OTHER_KEY] = {of.id, *(vault.id for vault in others)}
        while len(listings(played)) < pages:
            await played.play(0.1)
        document = {
            **played.document,
            "credentials": {name: {**it, "api_secret_env": "SECRET"} for name, it in later.items()},
        }
        text = yaml.safe_dump(document, sort_keys=False)
        await played.exporter.reload(
            parse(text, directory=played.directory, environ=played.environ)
        )
        await played.play(30)
        keys = {name: it["api_key_env"] for name, it in later.items()}
        seen = {"KEY": mine, "OTHER_KEY": others}
        known = {
            keys[source.credential]: set(finds)
            for source, finds in played.exporter._known.items()
            if source.organization
        }
        assert known == {key: {vault.id for vault in its} for key, its in seen.items()}
        assert played.simulator.guard.refusals == {}
        await played.stop()

    run(main())


@pytest.mark.no_cover
def test_a_list_that_takes_longer_than_its_interval_is_read_all_the_same() -> None:
    async def main() -> None:
        played = finding(
            map("v{}".format, range(120)),
            discovery={"interval": "1s"},
            api={"rate_limit": {"requests": 60, "window": "30s"}},
            polling={"interval": "1h"},
        )
        await played.play(150)
        assert len(labels(played)) == 120
        assert all(played.state(f"v{number}").is_up for number in range(120))
        assert played.exporter.store[list_of(played)].polls > 2
        await played.stop()

    run(main())


def test_once_lists_first_and_polls_what_is_found() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(120)), ["other"])
        progress: list[tuple[int, int]] = []
        await played.exporter.poller.run_once(lambda *told: progress.append(told))
        paths = [path for _, path in played.wire.sent]
        assert paths[0] == ORGANIZATIONS
        last = max(place for place, path in enumerate(paths) if path == LISTS)
        assert last < min(place for place, path in enumerate(paths) if path.startswith(f"{LISTS}/"))
        assert len(labels(played)) == 121
        assert all(state.polls == 1 for state in played.exporter.store.states())
        assert progress[-1] == (126, 126)

    run(main())


NAMES = [
    'quo"ted',
    "two\nlines",
    "back\\slash",
    "x" * 500,
    "<b>&amp;",
    "tab\t",
    "\N{SNOWMAN}",
    "hot",
    "hot",
]


def test_whatever_a_name_is_every_exposition_can_be_read() -> None:
    async def main() -> None:
        played = finding(NAMES)
        await played.play(20)
        page = b"".join(played.exporter.exposition().plain(Format.TEXT_0_0_4)).decode()
        families = {it.name: it for it in text_string_to_metric_families(page)}
        names = {it.labels["vault"] for it in families["kraken_custody_vault_info"].samples}
        assert names >= set(NAMES)
        assert len(names) == len(NAMES)
        assert {it.labels["name"] for it in families["kraken_custody_vault_info"].samples} == set(
            NAMES
        )
        ups = families["kraken_custody_target_up"].samples
        assert len({tuple(it.labels.items()) for it in ups}) == len(ups) == len(NAMES) + 3
        await played.stop()

    run(main())


@pytest.mark.no_cover
def test_a_list_in_doubt_restarts_and_is_not_withdrawn() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(250)), polling={"interval": "1h"})
        while len(listings(played)) < 3:
            await played.play(0.1)
        played.exporter.poller.suspect(list_of(played).key)
        await played.play(10)
        # One with the other parameter, two pages in vain, and all three.
        assert len(listings(played)) == 1 + 2 + 3
        assert len(labels(played)) == 250
        played.simulator.moods["vaults"] = moods.html(502)
        played.exporter.poller.suspect(list_of(played).key)
        await played.play(60)
        assert value(played, "kraken_custody_target_up", kind="vaults") == 0
        stale = [
            it.kind for it in played.exporter.plan.targets if played.exporter.store[it].is_stale
        ]
        assert stale == []
        assert len(labels(played)) == 250
        await played.stop()

    run(main())


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_what_a_defect_kept_from_being_polled_is_polled_after_the_next_list(
    monkeypatch: pytest.MonkeyPatch, *, is_reloaded: bool
) -> None:
    async def main() -> None:
        played = finding(["hot", "cold"], discovery={"interval": "60s"})
        schedule = played.exporter.parts.schedule
        change_for_real = schedule.change

        def change_badly(changes: Any, *others: Any) -> None:
            change_for_real(changes, *others)
            if any(it.new.vault for it in changes):
                monkeypatch.setattr(schedule, "change", change_for_real)
                raise RuntimeError("a defect")

        monkeypatch.setattr(exporter.resources.target, "AT_ONCE", 2)
        monkeypatch.setattr(schedule, "change", change_badly)
        await played.play(10)
        assert len(labels(played)) == 1
        failure = played.exporter.store[list_of(played)].failure
        assert failure is not None
        assert failure.type == "internal"
        if is_reloaded:
            await played.exporter.reload(settings_of(played))
        await played.play(120)
        assert labels(played) == [("org-0", "cold"), ("org-0", "hot")]
        assert all(state.is_up for state in played.exporter.store.states())
        await played.stop()

    run(main())


def test_several_lists_are_all_read_before_what_the_first_has_found() -> None:
    async def main() -> None:
        played = finding(map("a{}".format, range(150)), map("b{}".format, range(250)))
        await played.play(20)
        pages = [place for place, (_, path) in enumerate(played.wire.sent) if path == LISTS]
        assert len(pages) == 6
        assert max(pages) < 12
        await played.stop()

    run(main())


def test_a_renamed_credential_keeps_what_it_has_found() -> None:
    async def main() -> None:
        played = finding(["hot", "cold"])
        await played.play(10)
        credentials = {"renamed": played.document["credentials"]["main"]}
        await played.exporter.reload(settings_of(played, credentials=credentials))
        assert labels(played) == [("org-0", "cold"), ("org-0", "hot")]
        assert {it.credential for it in played.exporter.plan.targets} == {"renamed"}
        assert played.state("hot").is_up
        await played.stop()

    run(main())


def test_a_budget_that_what_was_found_makes_too_small_is_logged() -> None:
    async def main() -> None:
        played = finding(map("v{}".format, range(500)))
        await played.play(10)
        (warning,) = [it for it in logged if it["event"] == "budget_too_small"]
        assert warning["intervals_stretched_by"] > 2
        assert played.exporter.plan.stale_after(played.target("v1")) > 300
        await played.stop()

    with capture_logs() as logged:
        run(main())


def test_thousands_of_discovered_targets_are_exempt_from_garbage_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> list[int]:
        played = finding(["hot", "cold"])
        await played.play(10)
        counts = [gc.get_freeze_count()]
        monkeypatch.setattr(assembly, "MANY_CHANGED", 3)
        change(played, *large_portfolio(6, 1).organizations[0].vaults)
        await played.play(600)
        await played.stop()
        return [*counts, gc.get_freeze_count()]

    try:
        before, after = run(main())
    finally:
        gc.unfreeze()
    assert after > before + 1000
