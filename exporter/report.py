"""What `--config.check` and `--once` print for people: the polling plan, and what came of each poll."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporter.config import RateLimit, Settings
from exporter.durations import duration
from exporter.metrics.state import Failure, TargetState
from exporter.polling.plan import Plan, Shortage, plan_of, sending_rate
from exporter.targets import Kind, Target
from exporter.terminal import PLAIN, Colour, Paint, table


def plan_report(settings: Settings, paint: Paint = PLAIN) -> str:
    """Return the plan for `settings`: demand, budget, and how often each target will really be read."""
    plan = plan_of(settings)
    warnings = [
        f"{paint.colour('warning:', Colour.YELLOW)} {text}"
        for text in map(paint.text, _warnings(plan))
    ]
    return "\n".join(
        [
            *map(paint.text, _summary(plan, settings)),
            "",
            *table(_plan_rows(plan, paint)),
            *_with_gap(warnings),
            "",
        ]
    )


def poll_report(states: Sequence[TargetState], paint: Paint = PLAIN) -> str:
    """Return what came of the poll of each target, and how many of them were read."""
    rows = [tuple(map(paint.bold, ("target", "result", "rows", "series", "problem")))]
    rows += [_poll_row(state, paint) for state in states]
    read = sum(state.is_up for state in states)
    colour = Colour.GREEN if read == len(states) else Colour.RED
    summary = paint.colour(f"{read} of {len(states)} targets were read.", colour)
    return "\n".join([*table(rows), "", summary, ""])


def _poll_row(state: TargetState, paint: Paint) -> tuple[str, ...]:
    name = paint.text(_name(state.target))
    if not state.is_up:
        word, colour = ("failing", Colour.RED) if state.polls else ("not polled", Colour.YELLOW)
        return name, paint.colour(word, colour), "", "", paint.text(_problem(state.failure))
    invalid = f"{state.invalid_rows} of {state.rows} rows are invalid" if state.invalid_rows else ""
    result = paint.colour("up", Colour.YELLOW if invalid else Colour.GREEN)
    rows = "" if state.rows is None else f"{state.rows:>4}"
    series = f"{state.balances.series:>6}" if state.balances else ""
    return name, result, rows, series, paint.colour(invalid, Colour.YELLOW) if invalid else ""


def _problem(failure: Failure | None) -> str:
    if failure is None:
        return ""
    status = f" (HTTP {failure.status})" if failure.status else ""
    message = f": {failure.message}" if failure.message else ""
    return f"{failure.type}{status}{message}"


def _summary(plan: Plan, settings: Settings) -> Iterator[str]:
    kinds = Counter(target.kind for target in plan.targets)
    limit = settings.api.rate_limit
    yield f"targets  {len(plan.targets)}: {_counted(kinds)}"
    yield f"demand   {plan.demand:.3f} requests/s ({plan.demand / plan.rate:.0%} of the budget)"
    yield f"budget   {_limit(limit)}"
    for name, source in settings.credentials.items():
        if source.rate_limit:
            yield f"         {_limit(source.rate_limit)}, with credential {name}"


def _counted(kinds: Mapping[Kind, int]) -> str:
    return ", ".join(
        f"{count} {kind if count == 1 else kind + 's'}" for kind, count in kinds.items()
    )


def _limit(limit: RateLimit) -> str:
    return f"{sending_rate(limit):.3f} requests/s ({limit.budget} in any {duration(limit.window)})"


def _plan_rows(plan: Plan, paint: Paint) -> list[tuple[str, ...]]:
    rows = [tuple(map(paint.bold, ("target", "interval", "refreshed every")))]
    for target in plan.targets:
        refreshed = duration(plan.refresh_interval(target))
        if plan.stretch[target.credential] > 1:
            refreshed = paint.colour(refreshed, Colour.YELLOW)
        rows.append((paint.text(_name(target)), duration(target.interval), refreshed))
    return rows


def _name(target: Target) -> str:
    return f"{target.organization} / {target.vault or '(total)'}"


def _warnings(plan: Plan) -> Iterator[str]:
    yield from map(_shortage, plan.shortages)
    if late := plan.withdrawn_between_polls:
        yield (
            f"{len(late)} of {len(plan.targets)} targets, such as {_name(late[0])}, are not read more often than "
            f"polling.stale_after ({duration(plan.stale_after(late[0]))}): their balances will be withdrawn between "
            "polls. Make it longer, or leave it out."
        )


def _shortage(shortage: Shortage) -> str:
    stretched = f"intervals are stretched by {shortage.stretch:.2f}"
    if shortage.credential is None:
        return (
            f"demand exceeds the budget: {stretched}. "
            "Make them longer, or raise api.rate_limit.share where nothing else shares the limit."
        )
    return (
        f"credential {shortage.credential} asks for {shortage.demand:.3f} requests/s, and its own limit allows "
        f"{shortage.rate:.3f}: its {stretched}. "
        f"Make them longer, or raise credentials.{shortage.credential}.rate_limit."
    )


def _with_gap(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield ""
        yield line
