"""The contents of the pages. `tests/browser` tests how they look and behave."""

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.coordination.coordinator import LeaseView
from exporter.discovery.inventory import Inventory, Organization, Unpolled, Vault
from exporter.discovery.known import Found, Listed
from exporter.polling.plan import Shortage
from exporter.resources.fields import InvalidRow
from exporter.resources.lists import NotAllowed
from exporter.resources.target import Target
from exporter.resources.whitelist import Asset, Whitelist
from exporter.shard import Shard
from exporter.state.history import History, PollResult
from exporter.state.state import Failure
from exporter.status.model import ExporterStatus, State, Status
from exporter.turns import at_once
from exporter.web.formatting import UNKNOWN
from exporter.web.pages import Pages, Verdict, polling, verdict
from exporter.web.row import path_of
from exporter.web.view import COLUMNS, MOST_TARGETS, View
from tests.resources.answers import HOT, ORGANIZATION, exposed, row, vault_answer, vault_target
from tests.web import test_count_table as count_tables
from tests.web.statuses import (
    BUDGET,
    COLD,
    EVIL,
    EXPORTER,
    FAILURE,
    LEASE_HELD,
    LEASE_OUT_OF_REACH,
    NOW,
    OWN_LIMIT,
    PAUSE,
    REFUSED,
    SILENT,
    STANDBY,
    failing,
    status,
    told,
    up,
)

PAGES = Pages("/metrics")


def text_of(page: str) -> str:
    """Return the text of a page, with a space for each tag."""
    body = re.sub(r"<head>.*</head>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def found(id_: str, name: str, status: str = "created", missed: int = 0) -> Found:
    return Found(Listed(id_, name, status), NOW - 7200, NOW - 7200, missed)


def inventory(*unpolled: Unpolled, kept: frozenset[str] = frozenset()) -> Inventory:
    """Return an inventory with two vaults, one of them configured."""
    hot = Vault("VABCDEF234567A", "hot", 60.0, "treasury", found("VABCDEF234567A", "hot"))
    acme = found("ABCD EFGH IJKL MNOP", "acme")
    return Inventory(
        (Organization(acme.listed.id, "acme", 60.0, "treasury", (hot,), acme, unpolled=unpolled),),
        600.0,
        unpolled=(Unpolled(found("BBBB BBBB BBBB BBBB", "beta", "closed"), "excluded"),),
        kept=kept,
    )


def shown(seen: Status, view: View | None = None) -> str:
    return text_of(PAGES.status(seen, view or View()))


def rows_of(page: str, row: str = '<tr id="(?:vault|organization)-.*?</tr>') -> list[str]:
    """Return each row of a table, by default those of targets, as the texts of its cells."""
    return [
        " | ".join(
            text_of(cell).replace(UNKNOWN, "-")
            for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", found, re.DOTALL)
        )
        for found in re.findall(row, page, re.DOTALL)
    ]


def cell(page: str, column: int) -> str:
    """Return a cell of the only target."""
    (row,) = rows_of(page)
    return row.split(" | ")[column]


@pytest.mark.parametrize(
    ("seen", "expected", "state"),
    [
        (status(up()), "The target is up", "up"),
        (status(up(), up(COLD)), "All targets are up", "up"),
        (status(up(), failing(COLD)), "1 failing, 1 of 2 up", "failing"),
        (
            status(up(), failing(COLD), failing(is_stale=True), told(ORGANIZATION)),
            "1 stale, 1 failing, 1 waiting, 1 of 4 up",
            "stale",
        ),
        (status(told(), told(COLD)), "2 waiting, 0 of 2 up", "waiting"),
        (
            status(replace(up(), pause=PAUSE), replace(failing(COLD), pause=PAUSE), up()),
            "1 failing, 2 of 3 up; 2 paused",
            "failing",
        ),
        (
            status(up(), up(COLD), credentials=(SILENT,)),
            "All targets are up; the API does not answer",
            "failing",
        ),
        (
            status(failing(is_stale=True), credentials=(SILENT,)),
            "1 stale, 0 of 1 up; the API does not answer",
            "stale",
        ),
        (
            status(up(), exporter=replace(EXPORTER, load_error="polling: unknown key")),
            "The target is up; configuration not reloaded",
            "up",
        ),
        (
            status(up(), exporter=replace(EXPORTER, trouble="the loop has not come round")),
            "Polling is stuck",
            "stale",
        ),
        (
            status(told(), exporter=replace(EXPORTER, lease=STANDBY)),
            "Standby: host-a-1 is active",
            "waiting",
        ),
        (
            status(told(), exporter=replace(EXPORTER, lease=LEASE_OUT_OF_REACH)),
            "Standby: no process is known to be active",
            "waiting",
        ),
        (
            status(up(), exporter=replace(EXPORTER, lease=LEASE_HELD)),
            "The target is up",
            "up",
        ),
        (
            status(told(), exporter=replace(EXPORTER, trouble="not begun", is_ready=False)),
            "1 waiting, 0 of 1 up",
            "waiting",
        ),
    ],
)
def test_the_first_line_says_whether_it_works(seen: Status, expected: str, state: State) -> None:
    assert verdict(seen) == Verdict(expected, state)
    page = PAGES.status(seen, View())
    assert f'<h1 id="verdict" class="{state}">{expected}</h1>' in page
    assert f"<title>{expected} · Kraken custody exporter</title>" in page


def test_the_page_shows_what_runs_since_when_and_with_which_configuration() -> None:
    text = shown(status())
    assert "Version 1.2.3 Up for 1h1m" in text
    assert "Configuration /etc/exporter/config.yaml , loaded 10m ago" in text
    assert "Polling in progress" in text
    assert "Series 14" in text


@pytest.mark.parametrize(
    ("credentials", "told"),
    [((), "in progress"), ((None, "a"), "paused"), (("a", "b"), "paused for a, b")],
)
def test_the_panel_says_what_pauses(credentials: tuple[str | None, ...], told: str) -> None:
    pauses = tuple(replace(PAUSE, credential=name) for name in credentials)
    assert polling(status(budget=replace(BUDGET, pauses=pauses))) == told


@pytest.mark.parametrize(
    ("lease", "told"),
    [
        (STANDBY, "This process is a standby and polls nothing. host-a-1 is active for 2h1m"),
        (STANDBY, "; host-b-2 takes over when it stops."),
        (replace(STANDBY, since=NOW + 3600), "host-a-1 is active just now"),
        (LEASE_OUT_OF_REACH, "The lease treasury cannot be read or written: no answer within 6 s"),
        (
            LEASE_OUT_OF_REACH,
            "No process is known to hold the lease treasury ; host-b-2 takes it as",
        ),
        (LEASE_HELD, "Lease treasury , held by host-a-1 for 2h1m ; host-b-2 waits"),
        (
            replace(LEASE_HELD, standby=""),
            "held by host-a-1 for 2h1m ; no other process is known to wait",
        ),
    ],
)
def test_the_page_says_who_holds_the_lease_since_when_and_who_waits(
    lease: LeaseView, told: str
) -> None:
    assert told in shown(status(exporter=replace(EXPORTER, lease=lease)))


def test_a_standby_does_not_say_that_it_polls() -> None:
    assert polling(status(exporter=replace(EXPORTER, lease=STANDBY))) == "waiting for the lease"


def test_the_demo_has_no_configuration_file() -> None:
    seen = status(exporter=replace(EXPORTER, config_file=None))
    assert "Configuration built in (demo), loaded" in shown(seen)


@pytest.mark.parametrize(
    ("exporter", "told"),
    [
        (replace(EXPORTER, trouble="it hangs"), "Polling is stuck: it hangs."),
        (
            replace(EXPORTER, load_error="api.timeout: 'x' is wrong\npolling: unknown key"),
            "the previous one stays in use: api.timeout: 'x' is wrong polling: unknown key",
        ),
    ],
)
def test_what_is_wrong_with_the_exporter_is_reported(exporter: ExporterStatus, told: str) -> None:
    assert told in shown(status(exporter=exporter))
    assert told not in shown(status())


def test_pauses_are_reported_with_their_reason_and_their_end() -> None:
    trying = replace(REFUSED, until=None, message="No.")
    text = shown(status(budget=replace(BUDGET, pauses=(PAUSE, trying))))
    assert (
        "Polling is paused for all targets: http/429 Slow down. for 12s ; next try in 1m18s" in text
    )
    assert (
        "Polling is paused for credential treasury (acme, beta): InvalidKey No. for 3m20s ; trying now"
        in text
    )


def test_an_api_that_does_not_answer_is_reported_with_the_credential_since_when_and_what_to_do() -> (
    None
):
    text = shown(status(credentials=(SILENT,)))
    assert (
        "The API does not answer requests with credential treasury (acme, beta): none of the last 7. "
        "transport/timeout no complete answer within 10 s for 1m15s ; "
        "targets are tried one at a time The API did not answer. Check name resolution, proxy,"
        in text
    )
    other = replace(SILENT, credential="other", organizations=(), unanswered=2, since=NOW - 100)
    assert (
        "The API does not answer requests with credentials treasury (acme, beta), other : none of the last 9. "
        "transport/timeout no complete answer within 10 s for 1m40s ;"
    ) in shown(status(credentials=(SILENT, other)))
    many = tuple(replace(other, credential=f"key-{number}") for number in range(50))
    assert "key-19 and 30 more: none of the last 100." in shown(status(credentials=many))
    some = replace(SILENT, is_silent=False)
    assert "does not answer" not in shown(status(credentials=(some,)))


def test_a_key_that_another_program_uses_is_reported_until_the_evidence_is_old() -> None:
    shared = replace(SILENT, is_silent=False, is_key_shared=True)
    told = "Another program uses the key of credential treasury (acme, beta):"
    text = shown(status(credentials=(shared,)))
    assert told in text
    assert "Create a key for the exporter alone." in text
    assert told not in shown(status(credentials=(replace(shared, is_key_shared=False),)))


def test_of_very_many_organizations_some_are_named() -> None:
    many = replace(SILENT, organizations=tuple(f"org-{number}" for number in range(300)))
    assert "org-19 and 280 more): none of the last 7" in shown(status(credentials=(many,)))


def test_paused_targets_are_counted_and_say_since_when_and_why() -> None:
    due = failing(COLD, failure=replace(FAILURE, type="InvalidKey", message="Not known."))
    seen = status(replace(up(), pause=REFUSED), replace(due, pause=REFUSED), up(ORGANIZATION))
    page = PAGES.status(seen, View())
    assert "0 waiting 2 up 2 paused" in text_of(page)
    assert '<a href="/?q=paused"><span class="badge">2 paused</span></a>' in page
    assert len(rows_of(PAGES.status(seen, View(text="paused")))) == 2
    cells = [row.split(" | ")[1] for row in rows_of(page)]
    assert cells[0] == "acme / cold InvalidKey Not known. for 1m30s paused for 3m20s"
    assert cells[1] == "acme / hot paused InvalidKey for 3m20s"
    assert "paused" not in cells[2]
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert (
        "Polling is paused for credential treasury (acme, beta): InvalidKey The key is not known. "
        "for 3m20s ; next try in 40s" in text
    )


def test_the_page_of_a_target_that_fails_without_a_poll_says_for_how_long() -> None:
    seen = status(told(failure=FAILURE))
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert "Failing for 1m30s : http/502 (HTTP status 502) Bad Gateway" in text
    assert "polls failed" not in text


def test_the_budget_is_reported_with_its_use_demand_and_chart() -> None:
    page = PAGES.status(status(), View())
    text = text_of(page)
    assert "In use now 37 of 100 in any 30s" in text
    assert "Demand 0.500 of 3.300 per second (15.2 %)" in text
    assert "Intervals as configured" in text
    assert (
        'aria-label="Requests that count against the limit in the last ten minutes: '
        '20 to 41 of 100"' in page
    )
    assert "stretched" not in text


def test_a_budget_that_is_too_small_is_reported_with_the_numbers() -> None:
    stretch = {"treasury": 2.5, "other": 1.25}
    shortages = (Shortage(None, 5.0, 4.0), Shortage("treasury", 1.0, 0.4))
    small = replace(
        BUDGET, demand_ratio=2.5, stretch=stretch, shortages=shortages, keys=(OWN_LIMIT,)
    )
    text = shown(status(budget=small))
    assert (
        "The budget is too small for the intervals: they need 5.000 requests per second, but only "
        "4.000 are allowed, so they are stretched by 1.25. Use longer intervals, or raise api.rate_limit.share"
    ) in text
    assert (
        "The limit of credential treasury is too small for the intervals: they need 1.000 requests per second, but "
        "only 0.400 are allowed, so they are stretched by 2.50. "
        "Use longer intervals, or raise credentials.treasury.rate_limit ."
    ) in text
    assert "Intervals stretched by up to 2.50" in text
    assert "Credential treasury 7 of 10 in any 20s" in text


def test_the_demand_is_reported_as_a_part_of_the_same_budget_where_a_limit_of_a_keys_own_is_tighter() -> (
    None
):
    text = shown(status(budget=replace(BUDGET, demand_ratio=2.5, stretch={"treasury": 2.5})))
    assert "Demand 0.500 of 3.300 per second (15.2 %)" in text


def test_without_samples_there_is_no_chart() -> None:
    assert "<figure>" not in PAGES.status(status(budget=replace(BUDGET, history=())), View())


def test_each_target_has_a_row() -> None:
    page = PAGES.status(status(up(ORGANIZATION), up(), failing(COLD), told(vault_target())), View())
    assert rows_of(page) == [
        (
            "failing | acme / cold http/502 Bad Gateway for 1m30s | never | in 20s | - of 1m | - | 0 | - | "
            "0 of 2 polls succeeded; 2 failed with http/502"
        ),
        "waiting | acme / hot | never | in 20s | - of 1m | - | 0 | - | not polled yet",
        (
            "up | acme / (total) | 40s ago | in 20s | 1m of 1m | - | 4 | 42ms | "
            "2 of 2 polls succeeded"
        ),
        ("up | acme / hot | 40s ago | in 20s | 1m of 1m | 2 | 18 | 42ms | 2 of 2 polls succeeded"),
    ]


def test_moments_are_relative_and_have_the_exact_one_on_hover() -> None:
    page = PAGES.status(status(up()), View())
    exact = 'datetime="2026-11-21T11:59:20Z" title="2026-11-21 11:59:20 UTC"'
    assert f"<time {exact}>40s ago</time>" in page
    exact = 'datetime="2026-11-21T12:00:20Z" title="2026-11-21 12:00:20 UTC"'
    assert f"<time {exact}>in 20s</time>" in page


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"next_poll": NOW - 3}, "due"),
        ({"next_poll": None}, "paused"),
    ],
)
def test_a_target_that_waits_for_its_turn_or_for_a_pause_says_so(
    facts: dict[str, Any], expected: str
) -> None:
    assert cell(PAGES.status(status(told(**facts)), View()), 3) == expected


def test_a_target_that_is_being_polled_says_so() -> None:
    seen = status(replace(told(next_poll=None), is_polling=True))
    assert cell(PAGES.status(seen, View()), 3) == "polling"


def test_rows_that_were_left_out_are_reported() -> None:
    seen = status(told(polls=1, rows=5, invalid_rows=2))
    assert cell(PAGES.status(seen, View()), 5) == "5 2 invalid"


BETA = replace(ORGANIZATION, organization="beta", id="BBBB BBBB BBBB BBBB")


def test_targets_stand_under_the_name_of_their_organization_with_a_count() -> None:
    seen = status(failing(COLD), up(ORGANIZATION), up(), up(BETA))
    groups = rows_of(PAGES.status(seen, View()), '<tr id="group-.*?</tr>')
    assert groups == ["acme 1 failing", "acme 2 up", "beta 1 up"]
    page = PAGES.status(seen, View(sort="target"))
    assert rows_of(page, '<tr id="group-.*?</tr>') == ["acme 3 targets", "beta 1 target"]
    assert '<a href="/?org=acme">acme</a>' in page
    assert 'id="group-' not in PAGES.status(seen, View(sort="latency"))
    assert 'id="group-' not in PAGES.status(status(up(), up(COLD)), View())


def test_an_organization_has_one_group_though_some_of_its_targets_were_discovered_later() -> None:
    seen = status(up(), up(BETA), up(COLD))
    for view, groups in (
        (View(), ["acme 2 up", "beta 1 up"]),
        (View(is_descending=True), ["acme 2 up", "beta 1 up"]),
        (View(sort="target"), ["acme 2 targets", "beta 1 target"]),
    ):
        assert rows_of(PAGES.status(seen, view), '<tr id="group-.*?</tr>') == groups
    alike = vault_target("cool", organization="Acme", id="VDDDDDDDDDDDDD")
    page = PAGES.status(status(up(), up(alike), up(COLD)), View(sort="target"))
    assert rows_of(page, '<tr id="group-.*?</tr>') == ["Acme 1 target", "acme 2 targets"]


def test_a_group_that_goes_on_on_the_next_page_is_named_there_with_its_whole_count() -> None:
    vaults = [up(vault_target(f"vault-{number:04}")) for number in range(MOST_TARGETS + 2)]
    page = PAGES.status(status(*vaults, up(BETA)), View(page=2))
    assert rows_of(page, '<tr id="group-.*?</tr>') == ["acme 502 up", "beta 1 up"]


def test_an_organization_whose_tasks_are_collected_has_how_many_wait_and_where_to_look() -> None:
    tasks = count_tables.known(count_tables.TASKS, count_tables.tasks())
    waiting = told(tasks.target, balances=tasks.balances, last_success=NOW, polls=1)
    unread = told(replace(tasks.target, id="BCDE FGHI JKLM NOPQ", organization="beta"))
    page = PAGES.status(status(waiting, unread), View())
    assert (
        '<td class="number" data-label="Waiting tasks"><a href="/pending-tasks/ABCDEFGHIJKLMNOP">1,201</a></td>'
        in page
    )
    assert '<td class="number" data-label="Waiting tasks">–</td>' in page  # noqa: RUF001 - as pages have it
    assert "Waiting tasks" not in PAGES.status(status(), View())


def test_each_organization_has_a_line_with_its_worth_and_what_that_lacks() -> None:
    poor = vault_target("poor", min_available={"BTC": Decimal(5), "ETH": Decimal(1)})
    rows = [row("BTC", available="1"), row("LUNA", balance="7"), row("FTT", balance="1")]
    held = told(poor, balances=exposed(poor, vault_answer(*rows)), polls=1)
    stale = failing(COLD, is_stale=True)
    page = PAGES.status(status(up(ORGANIZATION), up(), held, stale, told(BETA)), View())
    table = page[page.index('<div id="worth">') : page.index('<div class="panels">')]
    assert rows_of(table, "<tr><th.*?</tr>")[1:] == [
        (
            "acme | 12,345.6789 USD without 2 unpriced amounts | 10,000.0000 USD | 1,500.0000 USD | 845.6789 USD | "
            "1 of 3 | 1 (1 unread) | 2 (1 unread) | 4"
        ),
        "beta | - not read | - | - | - | 0 of 0 | 0 | 0 | 1",
    ]
    assert '<a href="/organizations/ABCDEFGHIJKLMNOP">acme</a>' in table
    assert '<a href="/?org=beta">1</a>' in table


def test_a_total_that_was_withdrawn_or_is_old_says_so() -> None:
    old = replace(up(ORGANIZATION).known, failure=FAILURE)
    page = text_of(PAGES.status(status(replace(up(ORGANIZATION), known=old)), View()))
    assert "12,345.6789 USD read 40s ago" in page
    stale = failing(ORGANIZATION, is_stale=True)
    assert f"{UNKNOWN} stale" in text_of(PAGES.status(status(stale), View()))


def test_the_page_of_an_organization_compares_its_total_with_the_sum_of_its_vaults() -> None:
    total, stale = up(ORGANIZATION), failing(COLD, is_stale=True)
    seen = status(total, up(), up(replace(COLD, vault="warm")), stale)
    page = PAGES.target(seen, total)
    text = text_of(page)
    assert "Sum of vaults 215,000.00 USD without 1 vault that is not read" in text
    assert "Difference -202,654.3211 USD" in text
    table = page[page.index('id="vaults-title"') :]
    assert rows_of(table, '<tr class="[a-z]+">.*?</tr>') == [
        "cold | stale | - | - | - | never",
        "hot | up | 107,500.00 USD | 0 | 0 | 40s ago",
        "warm | up | 107,500.00 USD | 0 | 0 | 40s ago",
    ]
    assert '<a href="/vaults/VABCDEF234567A">hot</a>' in table
    whole = text_of(PAGES.target(status(total, up()), total))
    assert "Sum of vaults 107,500.00 USD Difference" in whole


def test_an_organization_without_vaults_has_no_sum() -> None:
    seen = status(up(ORGANIZATION), up(BETA))
    text = text_of(PAGES.target(seen, seen.targets[1]))
    assert f"Sum of vaults {UNKNOWN} Vaults None of its vaults is polled." in text


def test_thousands_of_vaults_of_an_organization_are_listed_in_pages() -> None:
    vaults = [up(vault_target(f"vault-{number:04}")) for number in range(MOST_TARGETS + 2)]
    seen = status(up(ORGANIZATION), *vaults)
    first, second = (PAGES.target(seen, seen.targets[0], page) for page in (1, 2))
    assert len(rows_of(first, '<tr class="up">.*?</tr>')) == MOST_TARGETS
    assert len(rows_of(second, '<tr class="up">.*?</tr>')) == 2
    assert '<a rel="next" href="/organizations/ABCDEFGHIJKLMNOP?page=2">Next</a>' in first
    assert '<a rel="prev" href="/organizations/ABCDEFGHIJKLMNOP">Previous</a>' in second
    assert "501 to 502 of 502 vaults" in text_of(second)


def test_each_cell_of_a_row_is_labelled_as_its_column_is() -> None:
    """On a phone the columns have no headings, and each cell has its own label."""
    page = PAGES.status(status(up()), View())
    (row,) = re.findall(r'<tr id="vault-.*?</tr>', page, re.DOTALL)
    cells = re.findall(r"<t[dh]( [^>]*)?>", row)
    assert len(cells) == len(COLUMNS)
    for column, attributes in zip(COLUMNS, cells, strict=True):
        label = re.search(r'data-label="([^"]*)"', attributes)
        # The one cell without a label is the row's heading.
        assert column.name == "target" if label is None else column.title.startswith(label[1])
        assert ('class="number"' in attributes) is column.is_number


def test_a_filter_leaves_out_the_others_and_keeps_the_order() -> None:
    seen = status(up(ORGANIZATION), up(), failing(COLD))
    view = View(sort="target", is_descending=True, text="acme / ", state="up")
    page = PAGES.status(seen, replace(view, text="acme"))
    assert [row.split(" | ")[1] for row in rows_of(page)] == ["acme / hot", "acme / (total)"]
    assert '<caption id="caption">2 of 3 targets</caption>' in page
    assert '<th scope="col" aria-sort="descending"><a id="by-target"' in page
    assert 'name="q" value="acme"' in page
    assert "<option selected>up</option>" in page
    assert '<a id="all" href="/?sort=target&amp;order=desc">Show all</a>' in page


def test_more_targets_than_a_page_holds_are_on_the_next() -> None:
    vaults = [vault_target(f"vault-{number:04}") for number in range(MOST_TARGETS + 2)]
    seen = status(*(up(vault) for vault in vaults))
    first, second = (PAGES.status(seen, View(page=page)) for page in (1, 2))
    assert (len(rows_of(first)), len(rows_of(second))) == (MOST_TARGETS, 2)
    assert '<caption id="caption">1 to 500 of 502 targets</caption>' in first
    assert '<a id="next" rel="next" href="/?page=2">Next</a>' in first
    assert 'id="previous"' not in first
    assert '<a id="previous" rel="prev" href="/">Previous</a>' in second
    assert 'id="next"' not in second


def test_a_filter_without_matches_says_so_and_leads_back() -> None:
    text = shown(status(), View(text="nowhere"))
    assert "0 of 2 targets" in text
    assert "No target matches. Show all" in text


def test_counts_lead_to_the_targets_in_each_state() -> None:
    page = PAGES.status(status(up(), failing(COLD)), View())
    assert '<a href="/?state=failing"><span class="badge failing">1 failing</span></a>' in page
    assert '<a href="/?state=stale"><span class="badge none">0 stale</span></a>' in page


def test_a_filter_by_organization_is_offered_where_there_are_several() -> None:
    other = up(replace(COLD, organization="Other"))
    assert "<option>Other</option>" in PAGES.status(status(up(), other), View())
    assert 'name="org"' not in PAGES.status(status(up()), View())


def test_every_page_leads_to_the_others_and_to_the_metrics() -> None:
    pages = Pages("/custody/metrics")
    seen = status(up())
    for page in (
        pages.status(seen, View()),
        pages.target(seen, seen.targets[0]),
        pages.help(),
        pages.not_found("/vaults/x"),
    ):
        for path in ("/", "/custody/metrics", "/-/healthy", "/-/ready", "/api/v1/targets", "/help"):
            assert f'href="{path}"' in page


def test_the_page_of_a_vault_has_its_balances_with_every_digit() -> None:
    seen = status(up())
    page = PAGES.target(seen, seen.targets[0])
    table = re.findall(r'<table class="balances .*?</table>', page, re.DOTALL)[0]
    assert rows_of(table, "<tr>.*?</tr>") == [
        (
            "Asset | Quote balance | Balance | Day-over-day change | Available | Minimum | "
            "Spot | Hold | Pledged | Staked | Quote price"
        ),
        (
            "BTC Bitcoin currency | 97,500.00 USD | 1.50000000 | 0.10000000 | 1.50000000 | - | "
            "1.50000000 | 0.00000000 | 0.00000000 | - | 65,000.00 USD"
        ),
        (
            "USD US Dollar currency | 10,000.00 USD | 10,000.0000 | - | 10,000.0000 | - | "
            "10,000.0000 | 0.0000 | - | - | 1.0000 USD"
        ),
        "Total | 107,500.00 USD | ",
    ]
    assert '<data value="65000.00" data-pad="00">65,000.00</data>' in page
    assert '<data value="10000.0000" data-pad="0000">10,000.0000</data>' in page
    assert "Worth 107,500.00 USD As returned by the API" in text_of(page)
    # Balances first: people responsible for the money are not interested in polls.
    assert page.index("balances-title") < page.index("facts-title") < page.index("polls-title")


def test_balances_can_be_had_for_programs_too() -> None:
    seen = status(up(), up(ORGANIZATION))
    vault, organization = (PAGES.target(seen, target) for target in seen.targets)
    address = "/api/v1/balances?vault=VABCDEF234567A"
    assert f'<a href="{address}&amp;format=csv">CSV</a>, <a href="{address}">JSON</a>' in vault
    assert '<a href="/api/v1/balances?org=ABCD+EFGH+IJKL+MNOP">JSON</a>' in organization
    assert '<a href="/api/v1/balances?format=csv">CSV</a>' in PAGES.status(seen, View())


def vault_page(*rows: dict[str, object], **minima: str) -> str:
    target = vault_target(min_available={name: Decimal(it) for name, it in minima.items()})
    balances = exposed(target, vault_answer(*rows))
    seen = status(told(target, balances=balances, polls=1, last_success=NOW))
    return PAGES.target(seen, seen.targets[0])


def test_an_amount_below_its_minimum_is_reported_and_marked() -> None:
    page = vault_page(row("BTC", available="1466"), row("ETH", available="9"), BTC="5000", SOL="1")
    (btc, sol) = rows_of(page, '<tr class="short">.*?</tr>')
    assert btc.startswith("BTC currency | - | 0 | - | 1,466 | 5,000 short |")
    assert sol.startswith("SOL not in the answer | - | - | - | - | 1 short |")
    assert page.count("short</span>") == 2


def test_a_total_names_the_assets_that_it_lacks() -> None:
    priced = row("BTC", balance="1", quote_balance="65000.0")
    page = vault_page(priced, row("LUNA", balance="7"), row("FTT", balance="1"), row("NONE"))
    assert "Worth 65,000.0 USD without LUNA, FTT" in text_of(page)
    total = "Total 65,000.0 USD without LUNA, FTT: held, but the API gives no price"
    assert total in text_of(page)
    alone = text_of(vault_page(row("LUNA", balance="7")))
    assert "Worth" not in alone
    assert f"Total {UNKNOWN} the API gives no price of LUNA" in alone


def test_the_page_of_an_organization_has_its_total_and_the_parts() -> None:
    seen = status(up(ORGANIZATION))
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert "Total Spot Staked Pledged" in text
    assert "12,345.6789 USD 10,000.0000 USD" in text


def test_the_page_of_a_target_shows_its_last_polls_the_latest_first() -> None:
    seen = status(failing(last_success=NOW - 150))
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert "30s ago http/502 no answer 1m30s ago http/502 100ms" in text


def test_the_page_of_a_failing_target_says_what_to_do() -> None:
    denied = Failure("PermissionDenied", 403, "Permission denied.", NOW - 90)
    seen = status(replace(failing(failure=denied), is_backed_off=True))
    page = PAGES.target(seen, seen.targets[0])
    text = text_of(page)
    assert "2 polls failed, the first 1m30s ago" in text
    assert "PermissionDenied (HTTP status 403) Permission denied." in text
    assert "Check the id in the configuration and the rights of the API user." in text
    assert "It is polled less often until a poll succeeds." in text
    assert '<a href="/runbooks/KrakenCustodyPermissionDenied">Runbook</a>' in page


def test_the_page_of_a_target_has_the_shape_of_its_last_invalid_answer() -> None:
    shape = (".: object", '."other key": number')
    seen = status(told(invalid_shape=shape))
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert text.endswith('safe to paste into a bug report. .: object ."other key": number')
    assert "Shape" not in text_of(PAGES.target(status(up()), status(up()).targets[0]))


def test_an_error_whose_message_is_its_type_is_written_once() -> None:
    name = "EAPI:Rate limit exceeded"
    limited = failing(failure=Failure(name, 429, name, NOW - 90))
    pause = replace(PAUSE, type=name, message=name)
    seen = status(replace(limited, pause=pause), budget=replace(BUDGET, pauses=(pause,)))
    page = PAGES.status(seen, View())
    assert rows_of(page)[0].split(" | ")[1].endswith(f"{name} for 1m30s paused for 12s")
    assert f"all targets: {name} for 12s" in text_of(page)
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert f"{name} (HTTP status 429) More requests" in text
    assert f"all targets: {name} for 12s" in text


def test_the_advice_on_a_key_that_is_refused_under_an_unknown_name_is_about_the_key() -> None:
    refused = failing(failure=Failure("Unauthorized", 401, "No.", NOW - 90))
    pause = replace(REFUSED, type="Unauthorized", status=401)
    seen = status(replace(refused, pause=pause), budget=replace(BUDGET, pauses=(pause,)))
    assert "The API refuses the key." in text_of(PAGES.status(seen, View()))
    assert "The API refuses the key." in text_of(PAGES.target(seen, seen.targets[0]))


def test_the_page_of_a_stale_target_says_that_the_balances_were_withdrawn() -> None:
    seen = status(failing(is_stale=True))
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert "The balances were withdrawn: they were not read again for 5m (" in text
    assert "No balances to show." in text
    assert '<table class="balances">' not in PAGES.target(seen, seen.targets[0])


def test_the_page_of_tasks_has_what_waits_with_moments_from_now_and_the_same_as_json() -> None:
    tasks = count_tables.known(count_tables.TASKS, count_tables.tasks(is_truncated=True))
    seen = status(told(tasks.target, balances=tasks.balances, last_success=NOW - 40, polls=1))
    page = PAGES.target(seen, seen.targets[0])
    text = text_of(page)
    assert "Tasks that wait for approval" in text
    assert (
        "As returned by the API 40s ago ; there are more tasks than the newest 500, which are read: an older one "
        "that waits is not counted. Also as JSON Type Vault Tasks Oldest Next expiry Missing approvals "
        "request_withdrawal VBBBBBBBBBBBBA 1 1m ago 5s ago – "  # noqa: RUF001 - as pages have it
        "request_withdrawal hot 1,200 2h ago in 1h 3 "
        "invite_user – 0 – – 0 "  # noqa: RUF001 - as pages have it
    ) in text
    assert 'href="/api/v1/targets?q=ABCD+EFGH+IJKL+MNOP"' in page


def test_the_page_of_a_whitelist_has_its_counts_and_says_of_an_empty_one_that_it_is() -> None:
    full = Whitelist({Asset("BTC", "currency"): 2}, additions=3, rows=2)
    for answer, expected in (
        (
            full,
            "since the exporter started: 3. Also as JSON Asset Class Addresses BTC currency 2",
        ),
        (Whitelist({}, additions=0, rows=0), "Asset Class Addresses There is no address."),
    ):
        known = count_tables.known(count_tables.WHITELIST, answer)
        seen = status(told(known.target, balances=known.balances, last_success=NOW, polls=1))
        text = text_of(PAGES.target(seen, seen.targets[0]))
        assert "Addresses to which the vault may send" in text
        assert expected in text


def test_the_page_of_withdrawn_counts_says_so_and_names_no_setting_that_is_not_for_them() -> None:
    for target, why in (
        (count_tables.TASKS, "for 5m ( polling.stale_after )."),
        (count_tables.WHITELIST, "for 5m."),
    ):
        seen = status(failing(target, is_stale=True))
        text = text_of(PAGES.target(seen, seen.targets[0]))
        assert f"The counts were withdrawn: they were not read again {why} Runbook" in text
        assert "No counts to show." in text


def test_the_page_of_a_target_that_was_not_polled_invents_nothing() -> None:
    seen = status(told())
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert "Not polled yet." in text
    assert "Last success never" in text
    assert "not measured yet, 1m planned" in text


def test_an_empty_vault_is_reported_as_empty() -> None:
    balances = exposed(HOT, vault_answer())
    seen = status(told(polls=1, balances=balances, last_success=NOW))
    assert "The vault is empty." in text_of(PAGES.target(seen, seen.targets[0]))


def test_rejected_rows_are_reported_with_their_reason() -> None:
    rejected = (InvalidRow(3, "balance", "is missing"), InvalidRow(4, "", "is not an object"))
    seen = status(told(polls=1, rejected=rejected))
    text = text_of(PAGES.target(seen, seen.targets[0]))
    assert "Row 3: balance is missing Row 4: is not an object" in text


def test_the_help_explains_each_state_and_each_error() -> None:
    page = PAGES.help()
    text = text_of(page)
    for word in ("stale", "failing", "waiting", "up", "EAPI:Invalid nonce", "limit/series"):
        assert word in text
    assert "docs/" in text
    assert '<a href="/runbooks">' in page
    assert '<a href="/runbooks/KrakenCustodyNonceTrouble">KrakenCustodyNonceTrouble</a>' in page


def test_hostile_names_and_words_are_escaped_wherever_they_stand() -> None:
    target = replace(HOT, organization=EVIL, vault=EVIL, credential=EVIL)
    answer = vault_answer(row(EVIL, name=EVIL, asset_class=EVIL, quote_asset=EVIL))
    evil = failing(
        target,
        balances=exposed(target, answer),
        last_success=NOW,
        failure=replace(FAILURE, type=EVIL, message=EVIL),
        rejected=(InvalidRow(0, EVIL, EVIL),),
    )
    seen = status(
        evil,
        exporter=replace(EXPORTER, config_file=EVIL, load_error=EVIL, trouble=EVIL),
        budget=replace(
            BUDGET,
            demand_ratio=2,
            stretch={EVIL: 2.0},
            shortages=(Shortage(EVIL, 2.0, 1.0),),
            keys=(replace(OWN_LIMIT, credential=EVIL),),
            pauses=(replace(PAUSE, credential=EVIL, type=EVIL, message=EVIL),),
        ),
    )
    pages = Pages(f"/{EVIL}")
    for page in (
        pages.status(seen, View(organization=EVIL)),
        pages.status(seen, View(text=EVIL)),
        pages.target(seen, evil),
        pages.not_found(f"/vaults/{EVIL}"),
    ):
        assert "alert(" in page
        assert "<script>" not in page
        assert not re.search(r'="[^"]*<script', page)
        assert EVIL not in page


def test_the_page_shows_what_was_found_and_what_is_not_polled() -> None:
    evil = Unpolled(found("VBBBBBBBBBBBBA", EVIL), "excluded")
    beyond = Unpolled(found("VCCCCCCCCCCCCA", ""), "limit")
    page = PAGES.status(status(up(), discovery=inventory(evil, beyond)), View())
    text = text_of(page)
    assert "Discovery 1 vault in 1 organization, listed every 10m; 3 not polled" in text
    assert "1 vault is not polled: more were found than one exporter polls." in text
    assert rows_of(page, r"<tr><td>\w+</td>.*?</tr>") == [
        "beta |  | BBBB BBBB BBBB BBBB | closed | excluded by a filter | 2h ago",
        f"acme | {EVIL} | VBBBBBBBBBBBBA | created | excluded by a filter | 2h ago",
        "acme |  | VCCCCCCCCCCCCA | created | too many vaults | 2h ago",
    ]
    assert EVIL not in page


def test_of_very_much_that_is_not_polled_the_page_shows_some() -> None:
    many = [Unpolled(found("VBBBBBBBBBBBBA", "x"), "excluded")] * 250
    text = shown(status(up(), discovery=inventory(*many)))
    assert text.count("excluded by a filter") == 200
    assert "and 51 more: /api/v1/targets has all." in text


def test_targets_polled_despite_a_filter_are_shown() -> None:
    text = shown(status(up(), discovery=inventory(kept=frozenset(("VABCDEF234567A",)))))
    assert (
        "1 target is polled although a filter excludes the new name: a reload stops polling it."
        in text
    )


def test_without_discovery_the_page_does_not_mention_it() -> None:
    text = shown(status(up()))
    assert "Discovery" not in text
    assert "not polled" not in text


@pytest.mark.parametrize(
    ("target", "told_of_it"),
    [
        (
            replace(HOT, found=found("VABCDEF234567A", "hot"), is_found=True),
            "“hot”, created, first seen 2h ago; not in the configuration",
        ),
        (
            replace(HOT, found=found("VABCDEF234567A", "", "", missed=1)),
            "without a name, first seen 2h ago; the last list did not have it",
        ),
    ],
)
def test_a_targets_page_shows_its_entry_in_the_list(target: Target, told_of_it: str) -> None:
    page = PAGES.target(status(), up(target))
    page = page.replace("<q>", "“").replace("</q>", "”")
    assert told_of_it in text_of(page).replace("“ ", "“").replace(" ”", "”").replace(" ;", ";")


def test_the_page_of_a_list_has_no_balances_and_says_where_the_key_may_not_list() -> None:
    target = replace(HOT, kind="vaults", vault="")
    refused = at_once(NotAllowed("vaults").expose(target, ()))
    results = History.of(
        (PollResult(NOW - 60, None, 0.1), PollResult(NOW, None, 0.1, refused.note))
    )
    seen = replace(told(target, balances=refused, polls=2, results=results), stale_after=None)
    text = text_of(PAGES.target(status(), seen))
    assert "acme / (vaults) up" in text
    assert f"just now {refused.note} 100ms 1m ago succeeded 100ms" in text
    assert "the key may not list vaults: only those in the configuration are polled" in text
    assert "Balances" not in text
    assert "Stale after" not in text
    assert "the key may not list vaults" in shown(status(seen))
    read = replace(told(target, polls=1, rows=7), stale_after=None)
    assert "7 entries." in text_of(PAGES.target(status(), read))


def test_the_lists_of_two_credentials_have_pages_of_their_own() -> None:
    first = replace(HOT, kind="vaults", id="ABCD EFGH IJKL MNOP", vault="")
    second = replace(first, credential="a/b c", is_another=True)
    credential = replace(
        first, kind="organizations", id="a/b c", organization="", credential="a/b c"
    )
    assert [path_of(it) for it in (first, second, credential)] == [
        "/vault-lists/ABCDEFGHIJKLMNOP",
        "/vault-lists/ABCDEFGHIJKLMNOP%40a%2Fbc",
        "/organization-lists/a%2Fbc",
    ]


def test_a_shard_is_reported_by_its_number_also_where_it_has_nothing_to_poll() -> None:
    assert "Shard" not in shown(status())
    exporter = replace(EXPORTER, shard=Shard(2, 13))
    seen = replace(status(exporter=exporter), targets=())
    assert verdict(seen) == Verdict("No targets in this shard", "up")
    assert "Shard 2 of 13 (0 to 12)" in shown(seen)


def test_a_configuration_that_leaves_nothing_to_poll_is_no_shard() -> None:
    assert verdict(replace(status(), targets=())) == Verdict("Nothing to poll", "waiting")
