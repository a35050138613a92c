"""Renders the pages. They are complete without JavaScript; scripts only refresh them."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from exporter.events import MOST_KEPT, SUBJECTS, RecentEvents, Subject
from exporter.resources import RESOURCES
from exporter.resources.target import Target
from exporter.status.model import STATES, CredentialStatus, State, Status, TargetStatus
from exporter.status.worth import OrganizationWorth, organizations_of
from exporter.web.balance_table import balance_table_of
from exporter.web.count_table import count_table_of, total_of
from exporter.web.discovery_table import discovery_view
from exporter.web.drawing import chart
from exporter.web.error_help import ADVICE, advice
from exporter.web.event_rows import event_row_of
from exporter.web.formatting import FILTERS
from exporter.web.package_files import package_files
from exporter.web.row import path_of, row_of
from exporter.web.runbooks import Runbook, address_of, runbooks
from exporter.web.target_groups import groups_of
from exporter.web.vault_rows import by_worth, vault_row_of
from exporter.web.view import COLUMNS, PAUSED, Part, View

if TYPE_CHECKING:
    from jinja2 import Environment

EVENTS: Final = "/events"
MOST_ORGANIZATIONS: Final = 200
"""Maximum on the status page."""


class Pages:
    """Every page as HTML. telemetry_path: path of the metrics."""

    def __init__(self, telemetry_path: str) -> None:
        self._telemetry_path = telemetry_path
        # Read now and kept: later the files may be those of another version.
        package_files("exporter.web", "templates")
        runbooks()

    def status(self, status: Status, view: View) -> str:
        """Return the status page, with the targets that `view` selects."""
        chosen = view.choose(status.targets)
        part = Part.of(chosen, view.page, view.on_page)
        organizations = organizations_of(status)
        return self._page(
            "status.html",
            here="/",
            status=status,
            view=view,
            verdict=verdict(status),
            polling=polling(status),
            pauses=[(pause, advice(pause.type, pause.status)) for pause in status.budget.pauses],
            silence=silence_of(status),
            shared=[credential for credential in status.credentials if credential.is_key_shared],
            advice_on_nonces=advice("nonce").meaning,
            part=part,
            groups=list(groups_of(part.targets, chosen, view, status.at)),
            worths=organizations[:MOST_ORGANIZATIONS],
            headlines=headlines_of(organizations[:MOST_ORGANIZATIONS]),
            more_worths=len(organizations[MOST_ORGANIZATIONS:]),
            states=STATES,
            organizations=tuple(dict.fromkeys(_organization(target) for target in status.targets)),
            columns=COLUMNS,
            everything=view.in_state(None).address(),
            paused=View(text=PAUSED).address(),
            chart=chart(status.budget.history, status.budget.requests, status.at),
            discovery=discovery_view(status.discovery),
        )

    def target(self, status: Status, target: TargetStatus, page: int = 1) -> str:
        """Return the page of a target with its balances; that of an organization has a page of its vaults."""
        known, row = target.known, row_of(target, status.at)
        organization = None
        if RESOURCES[known.target.kind].worth == "total":
            (organization,) = organizations_of(status, known.target.organization)
        part = Part.of(
            by_worth(organization.vaults) if organization else (),
            page,
            lambda number: f"{row.path}?page={number}" if number > 1 else row.path,
        )
        return self._page(
            "target.html",
            status=status,
            target=target,
            row=row,
            organization=organization,
            balances=balances_address(known.target),
            counted=View(text=known.target.id).address("/api/v1/targets"),
            part=part,
            vaults=[vault_row_of(vault, status.at) for vault in part.targets],
            table=balance_table_of(known),
            counts=count_table_of(known),
            resource=RESOURCES[known.target.kind],
            advice=known.failure and advice(known.failure.type, known.failure.status),
        )

    def events(self, events: RecentEvents, subject: Subject | None) -> str:
        """Return the page of recent events, of all subjects or of one."""
        last = events.last(subject)
        return self._page(
            "events.html",
            here=EVENTS,
            since=events.since,
            most=MOST_KEPT,
            subject=subject,
            subjects=SUBJECTS,
            address=lambda name: f"{EVENTS}?subject={name}" if name else EVENTS,
            rows=[event_row_of(event) for event in last[:MOST_KEPT]],
            more=len(last[MOST_KEPT:]),
        )

    def help(self) -> str:
        """Return the page that explains states, columns and errors."""
        return self._page("help.html", advice=ADVICE, here="/help")

    def runbooks(self) -> str:
        """Return the page that lists the runbooks."""
        return self._page("runbooks.html", runbooks=runbooks(), here="/help")

    def runbook(self, runbook: Runbook) -> str:
        """Return the page of one runbook."""
        return self._page("runbook.html", runbook=runbook, here="/help")

    def not_found(self, path: str) -> str:
        """Return the 404 page for a target."""
        return self._page("not_found.html", path=path)

    def no_runbook(self, path: str) -> str:
        """Return the 404 page for a runbook."""
        return self._page("no_runbook.html", path=path, here="/help")

    def _page(self, template: str, **facts: object) -> str:
        facts = {"here": "", "telemetry_path": self._telemetry_path, **facts}
        return _templates().get_template(template).render(facts)


def balances_address(target: Target) -> str:
    """Return the address of a target's balances for programs."""
    return f"/api/v1/balances?{urlencode({'vault' if target.vault else 'org': target.id})}"


def headlines_of(organizations: Sequence[OrganizationWorth]) -> dict[str, str]:
    """Return the titles of what is counted of any of these organizations, by kind."""
    counted = {kind for it in organizations for kind in it.counted}
    return {kind: it.headline for kind, it in RESOURCES.items() if kind in counted}


class Verdict(NamedTuple):
    """The headline of the status page. state: determines its colour."""

    text: str
    state: State


def verdict(status: Status) -> Verdict:
    """Return the headline of the status page."""
    if status.exporter.trouble and status.exporter.is_ready:
        return Verdict("Polling is stuck", "stale")
    lease = status.exporter.lease
    if lease and not lease.is_active:
        holder = f"{lease.holder} is" if lease.holder else "no process is known to be"
        return Verdict(f"Standby: {holder} active", "waiting")
    counts, total = status.counts(), len(status.targets)
    if not total:
        if status.exporter.shard.of > 1:
            return Verdict("No targets in this shard", "up")
        return Verdict("Nothing to poll", "waiting")
    problems = [f"{counts[state]} {state}" for state in STATES if state != "up" and counts[state]]
    text = f"{', '.join(problems)}, {counts['up']} of {total} up"
    if not problems:
        text = "All targets are up" if total > 1 else "The target is up"
    worst = next(state for state, count in counts.items() if count)
    if status.paused:
        text += f"; {status.paused} paused"
    if any(credential.is_silent for credential in status.credentials):
        text += "; the API does not answer"
        worst = min(worst, "failing", key=STATES.index)
    if status.exporter.load_error:
        text += "; configuration not reloaded"
    return Verdict(text, worst)


class Silence(NamedTuple):
    """An API that does not answer.

    requests: number of unanswered requests.
    since: time of the first one.
    """

    credentials: Sequence[CredentialStatus]
    requests: int
    since: float
    type: str
    message: str
    meaning: str


def silence_of(status: Status) -> Silence | None:
    """Return what to show of an API that does not answer some credentials; None if it does."""
    silent = [credential for credential in status.credentials if credential.is_silent]
    causes = [credential.cause for credential in silent if credential.cause]
    if not causes:
        return None
    return Silence(
        credentials=silent,
        requests=sum(credential.unanswered for credential in silent),
        since=min(status.at if it.since is None else it.since for it in silent),
        type=causes[0].type,
        message=causes[0].message,
        meaning=advice(causes[0].type).meaning,
    )


def polling(status: Status) -> str:
    """Return the state of polling for the panel of the exporter."""
    paused = [pause.credential for pause in status.budget.pauses]
    if status.exporter.lease and not status.exporter.lease.is_active:
        return "waiting for the lease"
    if status.exporter.trouble or not paused:
        return status.exporter.trouble or "in progress"
    if None in paused:
        return "paused"
    return f"paused for {', '.join(name for name in paused if name)}"


def _organization(target: TargetStatus) -> str:
    return target.known.target.owner


def _template_texts() -> dict[str, str]:
    files = package_files("exporter.web", "templates")
    return {name: content.decode() for name, content in files.items()}


@functools.cache
def _templates() -> "Environment":
    # Imported at the first page: it would make a start a tenth slower, and most daemons never show one.
    from jinja2 import DictLoader, Environment, StrictUndefined  # noqa: PLC0415

    templates = Environment(
        loader=DictLoader(_template_texts()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        **FILTERS,
        "runbook": address_of,
        "page": lambda target: path_of(target.known.target),
        "counted": lambda target: total_of(target.known),
        "targets_address": lambda organization: View(organization=organization).address(),
    }
    return templates
