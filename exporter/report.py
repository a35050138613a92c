"""What `--config.check` prints: the polling plan, aligned, for people."""

from collections import Counter
from collections.abc import Iterator, Mapping

from exporter.config import RateLimit, Settings
from exporter.polling.plan import Plan, plan_of, sending_rate
from exporter.targets import Kind, Target


def plan_report(settings: Settings) -> str:
    """Return the plan for `settings`: demand, budget, and how often each target will really be read."""
    plan = plan_of(settings)
    return "\n".join(
        [*_summary(plan, settings), "", *_table(plan), *_with_gap(_warnings(plan, settings)), ""]
    )


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


def _table(plan: Plan) -> Iterator[str]:
    rows = [("target", "interval", "refreshed every")]
    rows += [
        (_name(target), duration(target.interval), duration(plan.refresh_interval(target)))
        for target in plan.targets
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, interval, refreshed in rows:
        yield f"{name:<{widths[0]}}  {interval:<{widths[1]}}  {refreshed}"


def _name(target: Target) -> str:
    return f"{target.organization} / {target.vault or '(total)'}"


def _warnings(plan: Plan, settings: Settings) -> Iterator[str]:
    slowest = max(plan.stretch.values())
    if slowest > 1:
        yield (
            f"warning: demand exceeds the budget: intervals are stretched by up to {slowest:.2f}. "
            "Make intervals longer, or raise rate_limit.share where nothing else shares the limit."
        )
    late = [t for t in plan.targets if plan.refresh_interval(t) >= settings.polling.stale_after]
    if late:
        yield (
            f"warning: {len(late)} of {len(plan.targets)} targets, such as {_name(late[0])}, are read less often than "
            f"polling.stale_after ({duration(settings.polling.stale_after)}): "
            "their balances will be withdrawn between polls."
        )


def _with_gap(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield ""
        yield line


def duration(seconds: float) -> str:
    """Return `seconds` as Prometheus writes durations, but seconds below a minute with a decimal where there is one."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if (tenths := round(seconds, 1)) < 60:
        return f"{tenths:g}s"
    text = ""
    left = round(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        text += f"{count}{unit}" if count else ""
    return text
