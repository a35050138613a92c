from collections import Counter
from functools import cache

from exporter.simulator.mishaps import Mishap, demo_timetables, mishaps
from exporter.simulator.portfolio import compact
from exporter.simulator.wander import DAY, MINUTE
from tests.simulator.calling import (
    NOON,
    ORGANIZATION,
    PORTFOLIO,
    VAULT,
    Caller,
    Clock,
    make_simulator,
    organization_path,
    vault_path,
)

TIMETABLES = demo_timetables(PORTFOLIO, seed=7)
VAULTS = [vault.id for organization in PORTFOLIO.organizations for vault in organization.vaults]
TARGETS = [*VAULTS, *(compact(organization.id) for organization in PORTFOLIO.organizations)]
STEP = 60
MOMENTS = [NOON + second for second in range(0, int(DAY), STEP)]


@cache
def happened() -> list[tuple[float, str, Mishap]]:
    """Return each mishap of a day: when, to whom and which."""
    return [
        (now, target, mishap)
        for now in MOMENTS
        for target in TARGETS
        for timetable in TIMETABLES
        if (mishap := timetable.at(now, target))
    ]


def test_most_requests_succeed_but_not_all() -> None:
    assert 0.005 < len(happened()) / (len(MOMENTS) * len(TARGETS)) < 0.05


def test_every_documented_mishap_and_every_target_has_its_turn() -> None:
    assert {mishap.name for _, _, mishap in happened()} == {
        "gateway/ReadUpstream",
        "gateway/Connect",
        "Unknown",
        "PermissionDenied",
    }
    assert {target for _, target, _ in happened()} == set(TARGETS)


def test_only_vaults_are_denied_and_rarely() -> None:
    denied = [target for _, target, mishap in happened() if mishap.name == "PermissionDenied"]
    assert set(denied) <= set(VAULTS)
    assert len(denied) * STEP * MINUTE < DAY * MINUTE / 40


def test_at_most_one_target_has_an_outage_at_a_time() -> None:
    outages = Counter(now for now, _, mishap in happened() if mishap.status >= 500)
    assert max(outages.values()) == 1


def test_the_timetable_is_the_same_for_the_same_seed() -> None:
    assert demo_timetables(PORTFOLIO, seed=7) == TIMETABLES
    assert demo_timetables(PORTFOLIO, seed=8) != TIMETABLES


def test_the_mood_answers_what_the_timetable_says() -> None:
    clock = Clock(NOON)
    caller = Caller(make_simulator(wall=clock, default_mood=mishaps(TIMETABLES, clock)))
    for target, path in (
        (VAULT.id, vault_path()),
        (compact(ORGANIZATION.id), organization_path()),
    ):
        clock.now, mishap = next((now, what) for now, who, what in happened() if who == target)
        answer = caller.get(path)
        assert answer.status_code == mishap.status
        assert answer.json()["type"] == f"tag:kraken.com,2025:{mishap.name}"
        clock.now = next(
            now for now in MOMENTS if not any(table.at(now, target) for table in TIMETABLES)
        )
        assert caller.get(path).status_code == 200
