"""Several processes that share the targets: what each of them polls, lists and counts."""

from typing import Any

from exporter.shard import Shard
from exporter.status.model import Status
from tests.polling.test_discovery import LISTS, finding, listings, value
from tests.polling.world import Stage, run

SHARDS = 3
NAMES = tuple(f"v{number}" for number in range(30))


def shards(**options: Any) -> list[Stage]:
    return [finding(NAMES, shard=Shard(number, SHARDS), **options) for number in range(SHARDS)]


def polled(played: Stage) -> set[tuple[str, str]]:
    return {it.key for it in played.exporter.plan.targets if it.kind in ("vault", "organization")}


def test_all_shards_list_everything_and_each_target_is_polled_by_one() -> None:
    async def main() -> None:
        played = shards()
        for one in played:
            await one.play(30)
            assert listings(one, LISTS)
        parts = [polled(one) for one in played]
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(NAMES) + 1
        assert all(len(part) > 1 for part in parts)
        counts = [value(one, "kraken_custody_discovered_vaults", polled="true") for one in played]
        assert sum(counts) == len(NAMES)
        for number, one in enumerate(played):
            labels = {"shard": str(number), "shards": str(SHARDS)}
            assert one.counted("kraken_custody_exporter_shard_info", **labels) == 1
            assert all(state.is_up for state in one.exporter.store.states())
            await one.stop()

    run(main())


def test_a_vault_has_the_same_label_whichever_shard_polls_it() -> None:
    async def main() -> None:
        whole = finding(("hot", "hot", "hot", "cold"))
        played = [
            finding(("hot", "hot", "hot", "cold"), shard=Shard(number, 2)) for number in range(2)
        ]
        for one in (whole, *played):
            await one.play(30)
            await one.stop()
        expected = {it.id: it.vault for it in whole.exporter.plan.targets if it.kind == "vault"}
        found = {
            it.id: it.vault
            for one in played
            for it in one.exporter.plan.targets
            if it.kind == "vault"
        }
        assert found == expected

    run(main())


def test_the_status_says_which_shard_it_is() -> None:
    def status(shard: Shard) -> Status:
        return finding(NAMES, shard=shard).exporter.look()()

    async def main() -> None:
        assert status(Shard(2, 3)).exporter.shard == Shard(2, 3)

    run(main())
