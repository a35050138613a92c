"""The log of what a list has changed."""

from msgspec.structs import replace
from structlog.testing import capture_logs

from exporter.discovery.inventory import Inventory, Organization, Reason, Unpolled
from exporter.polling.discoveries import log_discoveries
from exporter.resources.target import Target, TargetChange
from tests.discovery.finds import found
from tests.resources.answers import HOT, ORGANIZATION

LIST = replace(HOT, kind="vaults", vault="")
NOTHING = Inventory(())


def told(
    *changes: TargetChange,
    gone: tuple[Target, ...] = (),
    before: Inventory = NOTHING,
    after: Inventory = NOTHING,
) -> list[dict[str, object]]:
    with capture_logs() as logged:
        log_discoveries(changes, gone, before, after)
    return [dict(event) for event in logged]


def test_targets_that_are_new_or_gone_are_logged_except_lists() -> None:
    changes = [TargetChange(it) for it in (HOT, ORGANIZATION, LIST)]
    vault = {"org": "acme", "vault": "hot", "id": HOT.id}
    organization = {"org": "acme", "id": ORGANIZATION.id}
    assert told(*changes) == [
        {"event": "vault_discovered", "log_level": "info", **vault},
        {"event": "organization_discovered", "log_level": "info", **organization},
    ]
    assert told(gone=(HOT, ORGANIZATION, LIST)) == [
        {"event": "vault_gone", "log_level": "warning", **vault},
        {"event": "organization_gone", "log_level": "warning", **organization},
    ]


def test_another_name_is_logged_with_the_previous_one() -> None:
    (event,) = told(TargetChange(replace(HOT, vault="warm"), HOT))
    assert (event["event"], event["vault"], event["old"]) == ("vault_renamed", "warm", "hot")
    (event,) = told(TargetChange(replace(ORGANIZATION, organization="new"), ORGANIZATION))
    assert (event["event"], event["org"], event["old"]) == ("organization_renamed", "new", "acme")


def test_another_interval_or_credential_is_not_logged() -> None:
    assert told(TargetChange(replace(HOT, credential="other"), HOT)) == []


def test_of_very_many_changes_some_are_logged_and_the_others_counted() -> None:
    changes = [TargetChange(replace(HOT, vault=f"v{number}")) for number in range(50)]
    events = told(*changes)
    assert len(events) == 21
    assert events[-1] == {"event": "vault_discovered", "log_level": "info", "more": 30}


def test_a_target_that_stays_despite_a_filter_is_logged_once() -> None:
    kept = replace(NOTHING, kept=frozenset((HOT.id,)))
    change = TargetChange(HOT, replace(HOT, interval=1.0))
    (event,) = told(change, after=kept)
    assert (event["event"], event["vault"]) == ("renamed_into_exclusion", "hot")
    assert told(change, before=kept, after=kept) == []


def unpolled(reason: Reason) -> Inventory:
    left_out = (Unpolled(found("VBBBBBBBBBBBBA"), reason),)
    return Inventory((Organization("A", "acme", 60.0, "one", (), unpolled=left_out),))


def test_too_many_vaults_are_logged_once() -> None:
    (event,) = told(after=unpolled("limit"))
    assert (event["event"], event["unpolled"]) == ("too_many_vaults", 1)
    assert told(before=unpolled("limit"), after=unpolled("limit")) == []
    assert told(after=unpolled("excluded")) == []
