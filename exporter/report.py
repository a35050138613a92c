"""The output of `--config.check` and `--once` for people: the polling plan, and the result of each poll.

Only these import it: rich is slow to import, and neither `--version` nor the daemon needs it.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from exporter.config import Discovery, RateLimit, Settings
from exporter.durations import duration
from exporter.polling.plan import Plan, Shortage, plan_of, sending_rate
from exporter.resources import RESOURCES, name_of
from exporter.resources.vaults import PAGE_ROWS
from exporter.state.state import Failure, TargetState
from exporter.terminal import is_terminal, without_controls

UNBROKEN: Final = 100_000
"""Width of a console that is not a terminal, so that each row is one line."""


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:  # noqa: FBT001, FBT002 - as rich has it
        """Leave the cursor alone: a process that is killed could not show it again."""
        del show
        return False


def console_for(stream: TextIO | None, environ: Mapping[str, str]) -> Console:
    """Return a console for `stream`, with colours if it is a terminal that has them and NO_COLOR is not set.

    See no-color.org. stream: None if it was closed before the start.
    """
    is_watched = is_terminal(stream)
    has_colours = is_watched and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return _Console(
        file=stream,
        force_terminal=is_watched,
        color_system="standard" if has_colours else None,
        width=None if is_watched else UNBROKEN,
        markup=False,
        emoji=False,
        highlight=False,
    )


class Progressing(Protocol):
    """Shows progress."""

    def __call__(self, done: int, of: int | None = None, /) -> object:
        """Show the number of finished items. of: their new total, None if it has not changed."""


@contextlib.contextmanager
def progress(console: Console, total: int, what: str = "targets") -> Iterator[Progressing]:
    """Show a progress bar while the block runs. what: name of the items, in the plural."""
    columns = BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn()
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, of=None: bar.update(task, completed=done, total=of)


def plan_report(settings: Settings, console: Console) -> str:
    """Return the plan for `settings`: demand, budget, and the actual refresh interval of each target."""
    plan = plan_of(settings)
    table = new_table("target", "interval", "refreshed every")
    for target in plan.targets:
        stretched = "yellow" if plan.stretch[target.credential] > 1 else ""
        refreshed = painted(duration(plan.refresh_interval(target)), stretched)
        table.add_row(without_controls(name_of(target)), duration(target.interval), refreshed)
    with console.capture() as printed:
        for line in plan_lines(plan, settings):
            console.print(without_controls(line))
        console.print()
        console.print(table)
        for text in plan_warnings(plan):
            console.print()
            console.print(painted("warning:", "yellow"), without_controls(text))
    return without_padding(printed.get())


def poll_report(states: Sequence[TargetState], console: Console) -> str:
    """Return the result of the poll of each target, and how many were read."""
    table = new_table("target", "result", "rows", "series", "problem")
    for column in table.columns[2:4]:
        column.justify = "right"
    for state in states:
        table.add_row(without_controls(name_of(state.target)), *_poll_row(state))
    read = sum(state.is_up for state in states)
    summary = f"{read} of {len(states)} targets were read."
    with console.capture() as printed:
        console.print(table)
        console.print()
        console.print(painted(summary, "green" if read == len(states) else "red"))
    return without_padding(printed.get())


def new_table(*titles: str) -> Table:
    """Return an empty table with these columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for title in titles:
        # In a narrow terminal long cells are wrapped; no part of a name is left out.
        table.add_column(painted(title, "bold"), overflow="fold")
    return table


def painted(text: str, style: str) -> Text:
    """Return `text` in a colour."""
    # Only the text: with a style for the whole cell, its padding would be painted too.
    return Text.assemble((text, style))


def without_padding(printed: str) -> str:
    """Return printed text without trailing spaces."""
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def _poll_row(state: TargetState) -> tuple[str | Text, ...]:
    if not state.is_up:
        word, colour = ("failing", "red") if state.polls else ("not polled", "yellow")
        return painted(word, colour), "", "", without_controls(_problem(state.failure))
    invalid = f"{state.invalid_rows} of {state.rows} rows are invalid" if state.invalid_rows else ""
    return (
        painted("up", "yellow" if invalid else "green"),
        "" if state.rows is None else str(state.rows),
        str(state.balances.series) if state.balances else "",
        painted(invalid, "yellow"),
    )


def _problem(failure: Failure | None) -> str:
    if failure is None:
        return ""
    status = f" (HTTP {failure.status})" if failure.status else ""
    message = f": {failure.message}" if failure.message else ""
    return f"{failure.type}{status}{message}"


def plan_lines(plan: Plan, settings: Settings) -> Iterator[str]:
    """Yield the number of targets, their demand, and the budget."""
    kinds = Counter(target.kind for target in plan.targets)
    limit = settings.api.rate_limit
    if settings.shard.of > 1:
        yield f"shard    {settings.shard.number} of {settings.shard.of} (0 to {settings.shard.of - 1})"
    yield f"targets  {len(plan.targets)}{': ' if kinds else ''}{_counted(kinds)}"
    yield f"demand   {plan.demand:.3f} requests/s ({plan.demand / plan.rate:.0%} of the budget)"
    for kind in kinds:
        if cost := RESOURCES[kind].cost:
            yield f"         {cost}"
    yield f"budget   {_limit(limit)}"
    for name, source in settings.credentials.items():
        if source.rate_limit:
            yield f"         {_limit(source.rate_limit)}, with credential {name}"
    if settings.discovery is not None:
        yield from _discovery_lines(plan, settings.discovery, settings.polling.interval)


def _discovery_lines(plan: Plan, discovery: Discovery, interval: float) -> Iterator[str]:
    if plan.nothing_polled:
        return
    found = f"found (discovery, every {duration(discovery.interval)})"
    if discovery.vaults.admits_nothing:
        yield f"more     organizations may be {found}, but no vaults: discovery.vaults excludes all of them"
        return
    room = max(0, int((plan.rate - plan.demand) * interval))
    yield (
        f"more     will be {found} and polled every {duration(interval)}: "
        f"the budget has room for about {room} vaults"
    )
    yield f"         a listing takes a request for every {PAGE_ROWS} vaults, {5000 // PAGE_ROWS} for 5000 vaults"


def _counted(kinds: Mapping[str, int]) -> str:
    names = {kind: (RESOURCES[kind].singular, RESOURCES[kind].plural) for kind in kinds}
    return ", ".join(f"{count} {names[kind][count != 1]}" for kind, count in kinds.items())


def _limit(limit: RateLimit) -> str:
    return f"{sending_rate(limit):.3f} requests/s ({limit.budget} in any {duration(limit.window)})"


def plan_warnings(plan: Plan) -> Iterator[str]:
    """Yield what the plan cannot keep."""
    if plan.nothing_polled:
        yield f"nothing is polled: {plan.nothing_polled}."
    yield from map(_shortage, plan.shortages)
    if late := plan.withdrawn_between_polls:
        yield (
            f"{len(late)} of {len(plan.targets)} targets, such as {name_of(late[0])}, are polled no more often than "
            f"polling.stale_after ({duration(plan.stale_after(late[0]))}): their balances will be withdrawn between "
            "polls. Increase or remove it."
        )


def _shortage(shortage: Shortage) -> str:
    stretched = f"intervals are stretched by {shortage.stretch:.2f}"
    if shortage.credential is None:
        return (
            f"demand exceeds the budget: {stretched}. "
            "Use longer intervals, or raise api.rate_limit.share if nothing else uses the rate limit."
        )
    return (
        f"credential {shortage.credential} needs {shortage.demand:.3f} requests/s, but its own limit allows "
        f"{shortage.rate:.3f}: its {stretched}. "
        f"Use longer intervals, or raise credentials.{shortage.credential}.rate_limit."
    )
