"""The polling plan and the result of polling once, as printed: whole pages, byte for byte."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from exporter.config import parse
from exporter.custody.document import parse_json
from exporter.polling.plan import log_warnings, plan_of
from exporter.report import console_for, plan_report, poll_report, progress
from exporter.resources.target import Target
from exporter.shard import Shard
from exporter.state.state import Failure, TargetState
from tests.exporting import ENVIRON
from tests.resources.answers import exposed, vault_balances
from tests.test_terminal import Terminal

PIPE = console_for(io.StringIO(), {})


def terminal(columns: int = 100, **environ: str) -> Console:
    console = console_for(Terminal(), environ)
    console.width = columns
    return console


def report(
    *, limit: str = "{}", polling: str = "{}", one: str = "", vaults: str = "[]", more: str = ""
) -> str:
    """Return the plan of one organization, whose credential has the settings `one`; `more` uses another credential."""
    two = "two: {api_key_env: OTHER_KEY, api_secret_env: SIMULATOR_SECRET}" if more else ""
    text = f"""\
api: {{rate_limit: {limit}}}
polling: {polling}
credentials:
  one: {{api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET{one}}}
  {two}
organizations:
- {{name: acme, id: ABCD EFGH IJKL MNOP, credentials: one, vaults: {vaults}}}
{more}"""
    return plan_report(parse(text, directory=Path(), environ=ENVIRON), PIPE)


HOT = "{name: hot, id: VABCDEF234567A}"
COLD = "{name: cold storage, id: VBBBBBBBBBBBBA, interval: 1h}"


def test_a_plan_that_fits_shows_demand_and_budget() -> None:
    assert report(vaults=f"[{HOT}, {COLD}]") == (
        "targets  3: 1 organization, 2 vaults\n"
        "demand   0.034 requests/s (1% of the budget)\n"
        "budget   3.300 requests/s (100 in any 30s)\n"
        "\n"
        "target               interval  refreshed every\n"
        "acme / (total)       1m        1m\n"
        "acme / hot           1m        1m\n"
        "acme / cold storage  1h        1h\n"
    )


def test_a_plan_with_tasks_counts_the_requests_that_they_may_take() -> None:
    text = report(
        more="- {name: other, id: QRSTUVWXYZ012345, credentials: two, collect: [pending_tasks]}\n"
    )
    assert text == (
        "targets  2: 1 organization, 1 list of pending tasks\n"
        "demand   0.100 requests/s (3% of the budget)\n"
        "         a list of pending tasks is counted as 5 requests, one for every 100 tasks, which is the most that "
        "it takes\n"
        "budget   3.300 requests/s (100 in any 30s)\n"
        "\n"
        "target                   interval  refreshed every\n"
        "acme / (total)           1m        1m\n"
        "other / (pending tasks)  1m        1m\n"
    )


def test_a_demand_above_the_budget_is_warned_of_and_every_interval_grows_alike() -> None:
    limit = "{requests: 3, window: 30s, share: 1}"
    polling = "{interval: 15s, stale_after: 1m}"
    assert report(limit=limit, polling=polling, vaults=f"[{HOT}, {COLD}]") == (
        "targets  3: 1 organization, 2 vaults\n"
        "demand   0.134 requests/s (200% of the budget)\n"
        "budget   0.067 requests/s (3 in any 30s)\n"
        "\n"
        "target               interval  refreshed every\n"
        "acme / (total)       15s       30.1s\n"
        "acme / hot           15s       30.1s\n"
        "acme / cold storage  1h        2h15s\n"
        "\n"
        "warning: demand exceeds the budget: intervals are stretched by 2.00. "
        "Use longer intervals, or raise api.rate_limit.share if nothing else uses the rate limit.\n"
        "\n"
        "warning: 1 of 3 targets, such as acme / cold storage, are polled no more often than polling.stale_after (1m): "
        "their balances will be withdrawn between polls. Increase or remove it.\n"
    )


def test_a_key_with_its_own_limit_slows_only_its_own_targets() -> None:
    more = "- {name: other, id: QRSTUVWXYZ012345, credentials: two}\n"
    one = ", rate_limit: {requests: 2, window: 60s, share: 1}"
    assert report(one=one, vaults=f"[{HOT}]", more=more) == (
        "targets  3: 2 organizations, 1 vault\n"
        "demand   0.050 requests/s (2% of the budget)\n"
        "budget   3.300 requests/s (100 in any 30s)\n"
        "         0.017 requests/s (2 in any 1m), with credential one\n"
        "\n"
        "target           interval  refreshed every\n"
        "acme / (total)   1m        2m\n"
        "acme / hot       1m        2m\n"
        "other / (total)  1m        1m\n"
        "\n"
        "warning: credential one needs 0.033 requests/s, but its own limit allows 0.017: "
        "its intervals are stretched by 2.00. Use longer intervals, or raise credentials.one.rate_limit.\n"
    )


def test_on_a_terminal_what_is_stretched_and_what_is_warned_of_stands_out() -> None:
    text = f"""\
api: {{rate_limit: {{requests: 2, window: 60s, share: 1}}}}
polling: {{interval: 1m, stale_after: 1h}}
credentials: {{one: {{api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET}}}}
organizations: [{{name: acme, id: ABCD EFGH IJKL MNOP, vaults: [{HOT}]}}]
"""
    settings = parse(text, directory=Path(), environ=ENVIRON)
    lines = plan_report(settings, terminal()).splitlines()
    assert lines[4:7] == [
        "\x1b[1mtarget\x1b[0m          \x1b[1minterval\x1b[0m  \x1b[1mrefreshed every\x1b[0m",
        "acme / (total)  1m        \x1b[33m2m\x1b[0m",
        "acme / hot      1m        \x1b[33m2m\x1b[0m",
    ]
    assert lines[8].startswith("\x1b[33mwarning:\x1b[0m demand exceeds the budget")


def target(vault: str) -> Target:
    kind = "vault" if vault else "organization"
    return Target(kind, "VABCDEF234567A", "acme", vault, 60.0, "one")


def read_vault(name: str, *rows: bytes) -> TargetState:
    """Return a vault that was read, with one good row and `rows`."""
    good = (
        b'{"asset": "BTC", "asset_class": "currency", '
        b'"balance": "1", "spot": "1", "hold": "0", "available": "1"}'
    )
    answer = vault_balances(parse_json(b"[" + b",".join((good, *rows)) + b"]"))
    balances = exposed(target(name), answer)
    return TargetState(
        target(name),
        balances=balances,
        polls=1,
        rows=balances.rows,
        invalid_rows=len(balances.rejected),
    )


def test_polling_once_is_reported_target_by_target_with_what_is_wrong() -> None:
    states = [
        read_vault("hot"),
        read_vault("cold storage", b'{"asset": "ETH"}'),
        TargetState(target(""), polls=1, failure=Failure("Unknown", 500, "Oops", 0.0)),
        TargetState(target("far"), polls=1, failure=Failure("transport/timeout", None, "", 0.0)),
        TargetState(target("late"), failure=Failure("InvalidKey", 401, "Unknown key.", 0.0)),
    ]
    assert poll_report(states, PIPE) == (
        "target               result      rows  series  problem\n"
        "acme / hot           up             1       4\n"
        "acme / cold storage  up             2       4  1 of 2 rows are invalid\n"
        "acme / (total)       failing                   Unknown (HTTP 500): Oops\n"
        "acme / far           failing                   transport/timeout\n"
        "acme / late          not polled                InvalidKey (HTTP 401): Unknown key.\n"
        "\n"
        "2 of 5 targets were read.\n"
    )


def test_on_a_terminal_a_failure_is_red_and_a_half_success_yellow() -> None:
    states = [
        read_vault("hot"),
        read_vault("cold", b'{"asset": "ETH"}'),
        TargetState(target("far"), polls=1, failure=Failure("transport/timeout", None, "", 0.0)),
        TargetState(target("late")),
    ]
    lines = poll_report(states, terminal()).splitlines()
    results = [line.split("  ")[1].strip() for line in lines[1:5]]
    assert results == [
        "\x1b[32mup\x1b[0m",
        "\x1b[33mup\x1b[0m",
        "\x1b[31mfailing\x1b[0m",
        "\x1b[33mnot polled\x1b[0m",
    ]
    assert lines[-1] == "\x1b[31m2 of 4 targets were read.\x1b[0m"
    assert poll_report(states[:1], terminal()).endswith(
        "\n\x1b[32m1 of 1 targets were read.\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("stream", "environ", "is_painted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"TERM": "xterm-256color"}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm-256color"}, False),
        (None, {}, False),
    ],
    ids=["terminal", "xterm", "empty NO_COLOR", "NO_COLOR", "dumb terminal", "file", "closed"],
)
def test_a_report_has_colours_only_on_a_terminal_and_without_no_color(
    stream: io.StringIO | None, environ: dict[str, str], *, is_painted: bool
) -> None:
    report = poll_report([read_vault("hot")], console_for(stream, environ))
    assert ("\x1b[" in report) == is_painted


def test_wide_characters_take_the_room_they_take_on_a_screen() -> None:
    report = poll_report([read_vault("金庫"), read_vault("v🏦lt")], PIPE)
    assert report.splitlines()[:3] == [
        "target        result  rows  series  problem",
        "acme / 金庫   up         1       4",
        "acme / v🏦lt  up         1       4",
    ]


def test_a_narrow_terminal_breaks_cells_and_leaves_nothing_out() -> None:
    failure = Failure("transport/timeout", None, "no complete answer within 10 s", 0.0)
    states = [TargetState(target("cold storage"), polls=1, failure=failure)]
    *lines, _, summary = poll_report(states, terminal(50, NO_COLOR="1")).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 50
    assert summary == "0 of 1 targets were read."
    words = " ".join(lines)
    for word in ("cold", "storage", "failing", "complete", "within"):
        assert word in words


def test_a_pipe_gets_one_line_for_each_target_however_long_it_is() -> None:
    failure = Failure("Unknown", 500, "x" * 5000, 0.0)
    report = poll_report([TargetState(target("far"), polls=1, failure=failure)], PIPE)
    assert len(report.splitlines()) == 4


def test_control_characters_are_escaped_in_a_report() -> None:
    failure = Failure("Unknown", 500, "\x1b[2J\u202e\r[red]:bank:", 0.0)
    states = [TargetState(target("\x9b2J"), polls=1, failure=failure)]
    report = poll_report(states, terminal(NO_COLOR="1"))
    assert r"acme / \x9b2J" in report
    assert r"\x1b[2J\u202e\x0d[red]:bank:" in report


def test_the_progress_counts_the_targets_and_leaves_the_cursor_alone() -> None:
    stream = Terminal()
    with progress(console_for(stream, {"NO_COLOR": "1"}), 12) as show:
        assert " 0/12 " in stream.getvalue()
        # Some were discovered meanwhile.
        show(13, 13)
    assert "13/13 " in stream.getvalue()
    assert "\x1b[?25l" not in stream.getvalue()


def test_a_plan_with_discovery_counts_its_lists_and_says_that_more_will_be_found() -> None:
    text = """\
polling: {interval: 2m}
discovery: {interval: 5m}
credentials:
  one: {api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET}
  two: {api_key_env: OTHER_KEY, api_secret_env: SIMULATOR_SECRET}
organizations:
- {name: acme, id: ABCD EFGH IJKL MNOP, credentials: one}
"""
    assert plan_report(parse(text, directory=Path(), environ=ENVIRON), PIPE) == (
        "targets  4: 2 lists of organizations, 1 organization, 1 list of vaults\n"
        "demand   0.018 requests/s (1% of the budget)\n"
        "budget   3.300 requests/s (100 in any 30s)\n"
        "more     will be found (discovery, every 5m) and polled every 2m: "
        "the budget has room for about 393 vaults\n"
        "         a listing takes a request for every 100 vaults, 50 for 5000 vaults\n"
        "\n"
        "target                 interval  refreshed every\n"
        "one / (organizations)  5m        5m\n"
        "two / (organizations)  5m        5m\n"
        "acme / (total)         2m        2m\n"
        "acme / (vaults)        5m        5m\n"
    )


CREDENTIALS = "credentials: {one: {api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET}}"
ACME = "organizations: [{name: acme, id: ABCD EFGH IJKL MNOP}]"
NO_ORGANIZATION = (
    "discovery.organizations excludes every organization, and none is configured: "
    "change include or exclude, or add organizations"
)
NO_VAULT = (
    "`collect` names only what vaults have, and no vault is configured: "
    "add vaults, discovery, or `balances` to collect"
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("discovery: {organizations: {include: []}}", NO_ORGANIZATION),
        ("discovery: {organizations: {exclude: ['*']}}", NO_ORGANIZATION),
        ("discovery: {organizations: {include: ['*'], exclude: [x, '**']}}", NO_ORGANIZATION),
        (f"collect: [whitelist]\n{ACME}", NO_VAULT),
        # Something may be discovered, or is configured.
        ("discovery: {organizations: {exclude: ['*-test']}}", ""),
        ("discovery: {vaults: {exclude: ['*']}}", ""),
        (f"discovery: {{organizations: {{exclude: ['*']}}}}\n{ACME}", ""),
        (f"collect: [whitelist]\ndiscovery: {{}}\n{ACME}", ""),
        (ACME, ""),
    ],
)
def test_a_configuration_that_leaves_nothing_to_poll_is_warned_of(text: str, problem: str) -> None:
    settings = parse(f"{CREDENTIALS}\n{text}\n", directory=Path(), environ=ENVIRON)
    report = plan_report(settings, PIPE)
    warnings = [line for line in report.splitlines() if line.startswith("warning: ")]
    assert warnings == ([f"warning: nothing is polled: {problem}."] if problem else [])
    with capture_logs() as logged:
        log_warnings(plan_of(settings))
    assert [(event["event"], event["problem"]) for event in logged] == (
        [("nothing_to_poll", problem)] if problem else []
    )
    assert not (problem and "will be found" in report)


def test_a_plan_has_no_room_for_vaults_that_a_filter_excludes() -> None:
    text = f"{CREDENTIALS}\ndiscovery: {{vaults: {{exclude: ['*']}}}}\n"
    report = plan_report(parse(text, directory=Path(), environ=ENVIRON), PIPE)
    assert report.splitlines()[3] == (
        "more     organizations may be found (discovery, every 10m), but no vaults: "
        "discovery.vaults excludes all of them"
    )


def test_a_plan_is_that_of_the_shard_also_where_it_has_nothing_to_poll() -> None:
    text = """\
credentials:
  one: {api_key_env: SIMULATOR_KEY, api_secret_env: SIMULATOR_SECRET, rate_limit: {requests: 9, window: 9s}}
organizations: [{name: acme, id: ABCD EFGH IJKL MNOP}]
"""

    def plan(shard: Shard) -> str:
        settings = parse(text, directory=Path(), environ=ENVIRON, shard=shard)
        return plan_report(settings, PIPE)

    assert plan(Shard(11, 13)).startswith(
        "shard    11 of 13 (0 to 12)\ntargets  1: 1 organization\ndemand   0.017 requests/s"
    )
    assert plan(Shard(0, 13)).startswith(
        "shard    0 of 13 (0 to 12)\ntargets  0\ndemand   0.000 requests/s (0% of the budget)\n"
    )
