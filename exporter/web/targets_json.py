"""`/api/v1/targets`: the status for programs, in the form of Prometheus's HTTP API.

`static/targets.schema.json` documents it. Times are RFC 3339 in UTC, durations are seconds, unknown values are null.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from exporter.coordination.coordinator import LeaseView
from exporter.discovery.inventory import Inventory, Organization, Unpolled
from exporter.discovery.known import Found
from exporter.state.state import Failure
from exporter.status.model import (
    BudgetStatus,
    CredentialStatus,
    ExporterStatus,
    PauseStatus,
    Status,
    TargetStatus,
)
from exporter.web.count_table import counts_json
from exporter.web.formatting import rfc3339
from exporter.web.row import path_of
from exporter.web.view import View

MOST_IN_A_PIECE: Final = 100
"""Targets encoded together."""

JsonObject = Mapping[str, Any]


def targets_json(status: Status, view: View) -> Iterator[bytes]:
    """Yield `status` as JSON, in pieces, with the targets that `view` selects, in the configured order."""
    document = {
        "status": "success",
        "data": {
            "time": rfc3339(status.at),
            "exporter": _exporter(status.exporter),
            "budget": _budget(status.budget),
            "series": status.series,
            "counts": status.counts(),
            "paused": status.paused,
            "credentials": [_credential(credential) for credential in status.credentials],
            "discovery": status.discovery and _discovery(status.discovery),
            "targets": [],
        },
    }
    # In pieces: encoding 2,000 in one call would hold the GIL, and with it the event loop, for 48 ms (`make bench
    # ARGS=page`).
    end, comma = "]}}", ""
    # The pure Python encoder releases the GIL in between, however many finds are not polled.
    head = "".join(json.JSONEncoder(separators=(",", ":")).iterencode(document))
    yield head.removesuffix(end).encode()
    targets = (target for target in status.targets if view.shows(target))
    while some := tuple(islice(targets, MOST_IN_A_PIECE)):
        yield (comma + ",".join([_encoded(_target(target)) for target in some])).encode()
        comma = ","
    yield end.encode()


def _encoded(document: JsonObject) -> str:
    return json.dumps(document, separators=(",", ":"))


def _exporter(exporter: ExporterStatus) -> JsonObject:
    return {
        "version": exporter.version,
        "startTime": rfc3339(exporter.started_at),
        "configFile": exporter.config_file,
        "lastLoad": rfc3339(exporter.loaded_at),
        "lastLoadError": exporter.load_error,
        "ready": exporter.is_ready,
        "trouble": exporter.trouble,
        "shard": exporter.shard.number,
        "shards": exporter.shard.of,
        "lease": exporter.lease and _lease(exporter.lease),
    }


def _lease(lease: LeaseView) -> JsonObject:
    return {
        "name": lease.name,
        "active": lease.is_active,
        "process": lease.me,
        "holder": lease.holder or None,
        "since": _moment(lease.since),
        "standby": lease.standby or None,
        "problem": lease.problem or None,
    }


def _budget(budget: BudgetStatus) -> JsonObject:
    return {
        "requests": budget.requests,
        "windowSeconds": budget.window,
        "used": budget.used,
        "history": [{"time": rfc3339(at), "used": used} for at, used in budget.history],
        "demandPerSecond": budget.demand,
        "ratePerSecond": budget.rate,
        "demandRatio": budget.demand_ratio,
        "stretch": budget.stretch,
        "credentials": [
            {
                "credential": key.credential,
                "requests": key.requests,
                "windowSeconds": key.window,
                "used": key.used,
            }
            for key in budget.keys
        ],
        "pauses": [_pause(pause) for pause in budget.pauses],
    }


def _pause(pause: PauseStatus) -> JsonObject:
    return {
        "credential": pause.credential,
        "since": rfc3339(pause.since),
        "until": _moment(pause.until),
        "type": pause.type,
        "message": pause.message,
        "organizations": pause.organizations,
    }


def _credential(credential: CredentialStatus) -> JsonObject:
    cause = credential.cause
    return {
        "credential": credential.credential,
        "organizations": credential.organizations,
        "unanswered": {
            "requests": credential.unanswered,
            "since": _moment(credential.since),
            "type": cause and cause.type,
            "message": cause and cause.message,
        },
        "answering": not credential.is_silent,
        "keyShared": credential.is_key_shared,
    }


def _discovery(inventory: Inventory) -> JsonObject:
    return {
        "intervalSeconds": inventory.listing_interval,
        "organizations": [_organization(of) for of in inventory.organizations],
        "unpolledOrganizations": [_unpolled(it) for it in inventory.unpolled],
    }


def _organization(organization: Organization) -> JsonObject:
    return {
        "org": organization.label,
        "id": organization.id,
        "listed": organization.is_listed,
        "discoveredVaults": organization.discovered_vaults,
        "unpolledVaults": [_unpolled(it) for it in organization.unpolled],
    }


def _unpolled(unpolled: Unpolled) -> JsonObject:
    return {"id": unpolled.found.listed.id, "reason": unpolled.reason, **_found(unpolled.found)}


def _found(found: Found) -> JsonObject:
    _, name, status, _ = found.listed
    return {
        "name": name,
        "status": status,
        "since": rfc3339(found.since),
        "missing": found.missed > 0,
    }


def _target(target: TargetStatus) -> JsonObject:
    known = target.known
    of = known.target
    return {
        "kind": of.kind,
        "org": of.organization,
        "vault": of.vault,
        "id": of.id,
        "page": path_of(of),
        "credential": of.credential,
        "configured": not of.is_found,
        "discovered": of.found and _found(of.found),
        "note": known.balances.note if known.balances and known.balances.note else None,
        "state": target.state,
        "polling": target.is_polling,
        "polls": known.polls,
        "lastSuccess": _moment(known.last_success),
        "nextPoll": _moment(target.next_poll),
        "intervalSeconds": of.interval,
        "plannedIntervalSeconds": target.interval,
        "staleAfterSeconds": target.stale_after,
        "refreshIntervalSeconds": known.refresh_interval,
        "latencySeconds": target.latency,
        "rows": known.rows,
        "invalidRows": known.invalid_rows,
        "invalidFields": known.invalid_fields,
        "series": target.series,
        "counted": counts_json(known),
        "paused": target.pause and _pause(target.pause),
        "error": known.failure and _error(known.failure, known.failed_polls),
        "results": [
            {"time": rfc3339(result.at), "error": result.error, "latencySeconds": result.seconds}
            for result in known.results
        ],
    }


def _error(failure: Failure, failed_polls: int) -> JsonObject:
    return {
        "type": failure.type,
        "status": failure.status,
        "message": failure.message,
        "since": rfc3339(failure.since),
        "failedPolls": failed_polls,
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)
