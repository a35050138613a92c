"""`/api/v1/targets`: its contents, and that they match its schema."""

import asyncio
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec.structs import replace

from exporter.discovery.inventory import Inventory, Organization, Unpolled, Vault, VaultList
from exporter.discovery.known import Found, Listed
from exporter.resources.lists import NotAllowed
from exporter.simulator import moods
from exporter.status.model import CredentialStatus, Status
from exporter.turns import at_once
from exporter.web.site import Site
from exporter.web.targets_json import targets_json
from exporter.web.view import View
from tests.exporting import polled, simulator
from tests.json_schemas import strict, validator
from tests.polling.world import Stage, run, stage
from tests.resources.answers import HOT, ORGANIZATION
from tests.simulator.calling import VAULT
from tests.web.statuses import (
    BUDGET,
    COLD,
    EVIL,
    EXPORTER,
    FAILURE,
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

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SCHEMA = json.loads(files("exporter.web").joinpath("static/targets.schema.json").read_bytes())

ANSWERED = CredentialStatus(
    "other", ("gamma",), 0, None, None, is_silent=False, is_key_shared=False
)


@pytest.fixture(scope="module")
def schema() -> "Validator":
    return validator(strict(SCHEMA))


def document(seen: Status) -> Any:
    return json.loads(b"".join(targets_json(seen, View())))


def test_everything_is_reported_in_the_envelope_of_prometheus() -> None:
    everything = status(
        replace(up(), interval=75.0, pause=REFUSED),
        failing(COLD),
        credentials=(SILENT, ANSWERED),
        budget=replace(BUDGET, stretch={"treasury": 1.25}, keys=(OWN_LIMIT,), pauses=(PAUSE,)),
        exporter=replace(EXPORTER, load_error="polling: unknown key"),
    )
    assert document(everything) == {
        "status": "success",
        "data": {
            "time": "2026-11-21T12:00:00.000Z",
            "exporter": {
                "version": "1.2.3",
                "startTime": "2026-11-21T10:58:20.000Z",
                "configFile": "/etc/exporter/config.yaml",
                "lastLoad": "2026-11-21T11:50:00.000Z",
                "lastLoadError": "polling: unknown key",
                "ready": True,
                "trouble": None,
                "shard": 0,
                "shards": 1,
                "lease": None,
            },
            "budget": {
                "requests": 100,
                "windowSeconds": 30.0,
                "used": 37,
                "history": [
                    {"time": "2026-11-21T11:59:50.000Z", "used": 20},
                    {"time": "2026-11-21T11:59:55.000Z", "used": 41},
                ],
                "demandPerSecond": 0.5,
                "ratePerSecond": 3.3,
                "demandRatio": 0.5 / 3.3,
                "stretch": {"treasury": 1.25},
                "credentials": [
                    {
                        "credential": "treasury",
                        "requests": 10,
                        "windowSeconds": 20.0,
                        "used": 7,
                    }
                ],
                "pauses": [
                    {
                        "credential": None,
                        "since": "2026-11-21T11:59:48.000Z",
                        "until": "2026-11-21T12:01:18.000Z",
                        "type": "http/429",
                        "message": "Slow down.",
                        "organizations": [],
                    }
                ],
            },
            "series": 14,
            "counts": {"stale": 0, "failing": 1, "waiting": 0, "up": 1},
            "paused": 1,
            "credentials": [
                {
                    "credential": "treasury",
                    "organizations": ["acme", "beta"],
                    "unanswered": {
                        "requests": 7,
                        "since": "2026-11-21T11:58:45.000Z",
                        "type": "transport/timeout",
                        "message": "no complete answer within 10 s",
                    },
                    "answering": False,
                    "keyShared": False,
                },
                {
                    "credential": "other",
                    "organizations": ["gamma"],
                    "unanswered": {"requests": 0, "since": None, "type": None, "message": None},
                    "answering": True,
                    "keyShared": False,
                },
            ],
            "discovery": None,
            "targets": [
                {
                    "kind": "vault",
                    "org": "acme",
                    "vault": "hot",
                    "id": "VABCDEF234567A",
                    "page": "/vaults/VABCDEF234567A",
                    "credential": "treasury",
                    "configured": True,
                    "discovered": None,
                    "note": None,
                    "state": "up",
                    "polling": False,
                    "polls": 2,
                    "lastSuccess": "2026-11-21T11:59:20.000Z",
                    "nextPoll": "2026-11-21T12:00:20.000Z",
                    "intervalSeconds": 60.0,
                    "plannedIntervalSeconds": 75.0,
                    "staleAfterSeconds": 300.0,
                    "refreshIntervalSeconds": 60.02,
                    "latencySeconds": 0.0421,
                    "rows": 2,
                    "invalidRows": 0,
                    "invalidFields": 0,
                    "series": 18,
                    "counted": None,
                    "paused": {
                        "credential": "treasury",
                        "since": "2026-11-21T11:56:40.000Z",
                        "until": "2026-11-21T12:00:40.000Z",
                        "type": "InvalidKey",
                        "message": "The key is not known.",
                        "organizations": ["acme", "beta"],
                    },
                    "error": None,
                    "results": [
                        {
                            "time": "2026-11-21T11:58:20.000Z",
                            "error": None,
                            "latencySeconds": 0.21,
                        },
                        {
                            "time": "2026-11-21T11:59:20.000Z",
                            "error": None,
                            "latencySeconds": 0.0421,
                        },
                    ],
                },
                {
                    "kind": "vault",
                    "org": "acme",
                    "vault": "cold",
                    "id": "VW44KPQC4C62K6",
                    "page": "/vaults/VW44KPQC4C62K6",
                    "credential": "treasury",
                    "configured": True,
                    "discovered": None,
                    "note": None,
                    "state": "failing",
                    "polling": False,
                    "polls": 2,
                    "lastSuccess": None,
                    "nextPoll": "2026-11-21T12:00:20.000Z",
                    "intervalSeconds": 60.0,
                    "plannedIntervalSeconds": 60.0,
                    "staleAfterSeconds": 300.0,
                    "refreshIntervalSeconds": None,
                    "latencySeconds": None,
                    "rows": None,
                    "invalidRows": None,
                    "invalidFields": None,
                    "series": 0,
                    "counted": None,
                    "paused": None,
                    "error": {
                        "type": "http/502",
                        "status": 502,
                        "message": "Bad Gateway",
                        "since": "2026-11-21T11:58:30.000Z",
                        "failedPolls": 2,
                    },
                    "results": [
                        {
                            "time": "2026-11-21T11:58:30.000Z",
                            "error": "http/502",
                            "latencySeconds": 0.1,
                        },
                        {
                            "time": "2026-11-21T11:59:30.000Z",
                            "error": "http/502",
                            "latencySeconds": None,
                        },
                    ],
                },
            ],
        },
    }


@pytest.mark.parametrize(
    "seen",
    [
        status(up(), failing(COLD), told(failure=FAILURE), credentials=(SILENT,)),
        status(exporter=replace(EXPORTER, lease=STANDBY)),
        status(exporter=replace(EXPORTER, lease=LEASE_OUT_OF_REACH)),
        status(
            failing(is_stale=True, failure=replace(FAILURE, status=None, type=EVIL, message=EVIL)),
            exporter=replace(EXPORTER, config_file=None, load_error=EVIL, trouble=EVIL),
            budget=replace(
                BUDGET,
                stretch={EVIL: 3.5},
                keys=(OWN_LIMIT,),
                pauses=(PAUSE, replace(PAUSE, credential=EVIL, until=None)),
            ),
        ),
    ],
    ids=["usual", "a standby", "a lease out of reach", "everything wrong"],
)
def test_whatever_is_reported_is_as_documented(schema: "Validator", seen: Status) -> None:
    schema.validate(document(seen))


def test_targets_are_filtered_as_on_the_page_and_stay_in_the_order_of_the_configuration() -> None:
    seen = status(up(), failing(COLD), up(ORGANIZATION))
    found = json.loads(b"".join(targets_json(seen, View(state="up", sort="target", page=9))))[
        "data"
    ]
    assert [it["vault"] for it in found["targets"]] == ["hot", ""]
    assert found["counts"] == {"stale": 0, "failing": 1, "waiting": 0, "up": 2}


def test_what_was_found_is_reported_as_documented(schema: "Validator") -> None:
    found = Found(Listed("VBBBBBBBBBBBBA", EVIL, "created", 1), NOW - 60, NOW - 60, missed=1)
    other = replace(found, listed=Listed("VCCCCCCCCCCCCA"))
    inventory = Inventory(
        (
            Organization(
                "ABCD EFGH IJKL MNOP",
                "acme",
                60.0,
                "treasury",
                (Vault("VBBBBBBBBBBBBA", EVIL, 60.0, "treasury", found, is_configured=False),),
                lists=(VaultList("treasury", {"VBBBBBBBBBBBBA": found}),),
                unpolled=(Unpolled(other, "excluded"), Unpolled(other, "limit")),
            ),
        ),
        600.0,
        unpolled=(Unpolled(other, "excluded"),),
    )
    listed = told(
        replace(COLD, kind="vaults", vault=""),
        balances=at_once(NotAllowed("vaults").expose(COLD, ())),
    )
    seen = status(
        up(replace(HOT, found=found, is_found=True)),
        replace(listed, stale_after=None),
        discovery=inventory,
    )
    schema.validate(document(seen))
    data = document(seen)["data"]
    row = {"status": "", "name": "", "since": "2026-11-21T11:59:00.000Z", "missing": True}
    left_out = {"id": "VCCCCCCCCCCCCA", **row}
    assert data["discovery"] == {
        "intervalSeconds": 600.0,
        "organizations": [
            {
                "org": "acme",
                "id": "ABCD EFGH IJKL MNOP",
                "listed": True,
                "discoveredVaults": 1,
                "unpolledVaults": [
                    {**left_out, "reason": "excluded"},
                    {**left_out, "reason": "limit"},
                ],
            }
        ],
        "unpolledOrganizations": [{**left_out, "reason": "excluded"}],
    }
    vault, vaults = data["targets"]
    assert vault["discovered"] == {**row, "name": EVIL, "status": "created"}
    assert (vault["configured"], vault["note"]) == (False, None)
    assert vaults["note"] == (
        "the key may not list vaults: only those in the configuration are polled"
    )
    assert vaults["staleAfterSeconds"] is None


def test_the_answers_of_an_exporter_are_as_documented(schema: "Validator") -> None:
    exporter = polled(simulator(moods={VAULT.id: moods.problem(403, "PermissionDenied")}))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Site(exporter, "/metrics").app())
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
            return await client.get("/api/v1/targets")

    answer = asyncio.run(ask())
    assert answer.headers["content-type"] == "application/json"
    schema.validate(answer.json())
    assert answer.json()["data"]["counts"] == {"stale": 0, "failing": 1, "waiting": 0, "up": 11}


def test_what_an_exporter_counts_is_as_documented(schema: "Validator") -> None:
    everything = ("balances", "pending_tasks", "whitelist")
    counted = document(polled(simulator(), collect=everything).look()())
    schema.validate(counted)
    told = {target["kind"]: target["counted"] for target in counted["data"]["targets"]}
    assert told["pending_tasks"]["rows"]
    assert told["whitelist"]["rows"]
    assert told["vault"] is None


def test_from_its_start_to_a_pause_an_exporter_says_what_is_documented(schema: "Validator") -> None:
    async def main() -> list[Any]:
        played = stage(credentials={"main": {"rate_limit": {"requests": 9, "window": "9s"}}})
        documents = [document(played.exporter.look()())]
        documents += [document(played.exporter.look()()) async for _ in scenes(played)]
        await played.stop()
        return documents

    documents = run(main())
    for found in documents:
        schema.validate(found)
    states = [{it["state"] for it in found["data"]["targets"]} for found in documents]
    assert states[0] == {"waiting"}
    assert set.union(*states) == {"waiting", "up", "failing", "stale"}
    assert documents[-1]["data"]["budget"]["pauses"]


async def scenes(played: Stage) -> Any:
    await played.play(1)
    yield
    await played.play(60)
    yield
    played.simulator.moods[played.vault_id("v0")] = moods.problem(500, "Unknown")
    await played.play(420)
    yield
    played.simulator.default_mood = moods.rate_limited(60)
    await played.play(60)
    yield


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a schema that describes an object with named members."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_the_schema_documents_what_is_always_told_and_lets_members_be_added() -> None:
    found = list(objects(SCHEMA))
    assert len(found) > 8
    for part in found:
        assert "additionalProperties" not in part
        assert set(part["required"]) == set(part["properties"])
