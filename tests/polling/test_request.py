"""The effects of one request: retries, parts of an answer, and the next request for its target."""

import httpx

from tests.polling.test_discovery import LISTS, finding
from tests.polling.world import Stage, run, stage


async def silent_after_one_round(vaults: int) -> Stage:
    """Return a stage on which all vaults were polled once, and no later request gets an answer."""
    played = stage(vaults=vaults)
    await played.play(59)
    for number in range(vaults):
        played.wire.broken[played.path(f"v{number}")] = httpx.ReadError("connection reset")
    return played


def test_while_nothing_is_answered_each_target_has_one_try_once_two_had_no_answer() -> None:
    async def main() -> None:
        played = await silent_after_one_round(4)
        await played.play(40)
        await played.stop()
        # The first failed before the silence was detected; the others are not retried.
        assert [len(played.times(f"v{number}")) - 1 for number in range(4)] == [2, 1, 1, 1]
        assert [played.state(f"v{number}").failed_polls for number in range(4)] == [1, 1, 1, 1]

    run(main())


def test_the_pages_of_a_list_are_read_one_after_the_other_and_polled_once_in_a_single_round() -> (
    None
):
    async def main() -> None:
        played = finding([f"v{number}" for number in range(101)], limit=(2000, 30.0))
        await played.exporter.poller.run_once(lambda _polled, _targets: None)
        lists = [number for number, (_, path) in enumerate(played.wire.sent) if path == LISTS]
        # A refused parameter and two pages, before the vaults that the first one found.
        assert lists == list(range(lists[0], lists[0] + 3))
        assert sum(path.endswith("/assets/balances") for _, path in played.wire.sent) == 101

    run(main())
