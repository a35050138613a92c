"""Whatever the API lists, list after list: what is polled, its labels, and whose balances are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.responses import JSONResponse

from exporter.metrics.negotiation import Format
from exporter.simulator import moods
from exporter.simulator.moods import Mood
from exporter.simulator.portfolio import Organization, Portfolio, large_portfolio
from tests.polling.world import Stage, run, stage

VAULTS: Final = large_portfolio(6, 1).organizations[0].vaults
CONFIGURED: Final = VAULTS[0]
IDS: Final = ("AAAA BBBB CCCC 0000", "AAAA BBBB CCCC 0001")
SECONDS: Final = 80
"""Duration of a step: enough for a list of each organization, and for everything that is polled before it."""
NAMES: Final = (
    *("pay", "own", "mine", "test-pay", "", " ", 'q"\\\n', "<b>"),
    *(VAULTS[1].id, f"pay ({VAULTS[1].id})", f"pay ({VAULTS[2].id})", IDS[0]),
)
FAULTS: Final[Mapping[str, Mood]] = {
    "fails": moods.problem(503, "gateway/Connect"),
    "is another": moods.always(JSONResponse({"vaults": [], "total": 1})),
    "has no ids": moods.always(JSONResponse({"vaults": [{"name": "pay"}], "total": 1})),
}


class Step(NamedTuple):
    """What the API lists for a while: a name for some vaults of each organization, and what is wrong with the lists."""

    listed: tuple[Mapping[int, str], Mapping[int, str]]
    fault: str | None = None


LISTED: Final = st.dictionaries(st.integers(0, len(VAULTS) - 1), st.sampled_from(NAMES))
STEPS: Final = st.lists(
    st.builds(Step, st.tuples(LISTED, LISTED), st.none() | st.sampled_from(sorted(FAULTS))),
    min_size=1,
    max_size=6,
)
SWAPPED: Final = [
    Step(({1: "pay", 2: "spend"}, {})),
    Step(({1: "spend", 2: "pay"}, {})),
    Step(({1: "spend"}, {2: "pay"})),
]
MOVED: Final = [Step(({1: "test-pay"}, {1: "<b>"})), Step(({}, {1: "pay"}))]
HIDING: Final = [Step(({1: "pay"}, {})), Step(({1: "test-pay"}, {})), Step(({}, {1: "test-pay"}))]


def staged() -> Stage:
    entry = {"id": IDS[0], "name": "mine", "vaults": [{"id": CONFIGURED.id, "name": "own"}]}
    return stage(
        portfolio=Portfolio(()),
        organizations=[entry],
        discovery={"interval": "1m", "vaults": {"exclude": ["test-*"]}},
    )


def apply(played: Stage, step: Step) -> None:
    played.simulator.portfolio = Portfolio(
        tuple(
            Organization(
                id_, "org", tuple(replace(VAULTS[it], name=name) for it, name in listed.items())
            )
            for id_, listed in zip(IDS, step.listed, strict=True)
        )
    )
    played.simulator.moods.pop("vaults", None)
    if step.fault is not None:
        played.simulator.moods["vaults"] = FAULTS[step.fault]


def polled(played: Stage) -> dict[str, tuple[str, str]]:
    """Return the labels of each vault that is polled, by its id."""
    targets = [state.target for state in played.exporter.store.states()]
    vaults = [it for it in targets if it.kind == "vault"]
    assert len({(it.organization, it.vault) for it in vaults}) == len(vaults)
    assert len({it.id for it in vaults}) == len(vaults)
    return {it.id: (it.organization, it.vault) for it in vaults}


def wanted(steps: Sequence[Step]) -> set[str]:
    """Return the ids of vaults that have to be polled once the lists of the last of `steps` are known."""
    first, second = steps[-1].listed
    # A vault that two organizations list is the first's, until two of its lists in a row do not have it.
    left = dict(item for step in steps[-3:-1] for item in step.listed[0].items())
    left = {number: name for number, name in left.items() if name.startswith("test-")}
    names = {**second, **left, **first}
    return {VAULTS[number].id for number, name in names.items() if not name.startswith("test-")}


def named(step: Step) -> set[str]:
    """Return the ids of all vaults that are listed, whatever their names are."""
    return {VAULTS[number].id for listed in step.listed for number in listed}


def check_balances(played: Stage) -> None:
    """Check that every exposition can be parsed, and has each vault's own balance and no other."""
    page = b"".join(played.exporter.exposition().plain(Format.TEXT_0_0_4)).decode()
    seen = set()
    for family in read_text(page):
        for sample in family.samples:
            series = (sample.name, tuple(sorted(sample.labels.items())))
            assert series not in seen
            seen.add(series)
            if sample.name == "kraken_custody_vault_balance":
                (vault,) = (it for it in VAULTS if it.id == sample.labels["vault_id"])
                (row,) = vault.rows(played.simulator.wall(), full_precision=True)
                assert sample.value == float(str(row["balance"]))


async def play(steps: Sequence[Step]) -> None:
    played = staged()
    believed: list[Step] = []
    try:
        for step in steps:
            apply(played, step)
            before = polled(played).keys()
            await played.play(SECONDS)
            now = polled(played)
            assert now[CONFIGURED.id] == ("mine", "own")
            check_balances(played)
            if step.fault is not None:
                # One list was believed in the time of the step before, and counts once it is missed again.
                assert now.keys() <= before | (named(believed[-1]) if believed else set())
                continue
            believed.append(step)
            assert wanted(believed) <= now.keys()
            # What was missing in three steps, and so in two lists in a row, is gone.
            recent = set[str]().union(*map(named, believed[-3:]))
            assert now.keys() <= recent | {CONFIGURED.id}
            for id_, (_, label) in now.items():
                assert label == id_ or label not in now
    finally:
        await played.stop()


# Shrinking would take minutes.
@settings(max_examples=settings().max_examples // 5, phases=[Phase.explicit, Phase.generate])
@given(steps=STEPS)
@example(steps=SWAPPED)
@example(steps=HIDING)
@example(steps=MOVED)
@example(steps=[Step(({}, {})), Step(({0: "pay"}, {0: "pay"})), Step(({}, {0: "own"}))])
def test_every_listed_vault_is_polled_under_its_own_label(steps: list[Step]) -> None:
    run(play(steps))
