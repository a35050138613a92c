"""A reload while the exporter polls: what stays, what is removed, and what takes effect at once."""

import asyncio
import base64
import copy
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from structlog.testing import capture_logs

from exporter.config import CredentialSettings, SecretError, Secrets, Settings, parse
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import Format
from exporter.secret import Secret
from exporter.simulator import moods
from exporter.simulator.guard import Refusal
from tests.polling.world import API_KEY, API_SECRET, OTHER_KEY, Stage, now, run, stage

Document = dict[str, Any]

OWN_LIMIT = {"requests": 11, "window": "10s", "share": 1}
OTHER_SECRET = base64.b64encode(b"another secret").decode()


def changed(played: Stage, change: Callable[[Document], None], **environ: str) -> Settings:
    """Return the settings of a stage after `change` was made to its file."""
    document = yaml.safe_load(yaml.safe_dump(played.document))
    change(document)
    secrets = {**played.environ, **environ}
    return parse(yaml.safe_dump(document), directory=played.directory, environ=secrets)


def page(played: Stage) -> str:
    exposition = Exposition(played.exporter.store, played.exporter.registry)
    return b"".join(exposition.plain(Format.TEXT_0_0_4)).decode()


def vaults(document: Document) -> list[Document]:
    found: list[Document] = document["organizations"][0]["vaults"]
    return found


def play(scene: Callable[[Stage], Any], **options: Any) -> None:
    """Play `scene` on a stage that has polled for 30 s."""

    async def main() -> None:
        played = stage(**options)
        await played.play(30)
        await scene(played)
        await played.stop()

    run(main())


def nothing(_document: Document) -> None:
    pass


def test_what_did_not_change_keeps_its_data_its_counters_and_its_place_in_the_schedule() -> None:
    async def scene(played: Stage) -> None:
        before = played.state("v1")
        requests = played.counted(
            "kraken_custody_api_requests_total", endpoint="vault_asset_balances", status="200"
        )
        await played.exporter.reload(changed(played, nothing))
        assert played.state("v1") == before
        assert requests == 3
        await played.play(60)
        for vault in ("v0", "v1", "v2"):
            first, second = played.times(vault)
            assert second - first == pytest.approx(60, abs=0.01)
        assert (
            played.counted(
                "kraken_custody_api_requests_total", endpoint="vault_asset_balances", status="200"
            )
            == 6
        )

    play(scene)


def test_a_changed_interval_takes_effect_at_once() -> None:
    async def scene(played: Stage) -> None:
        def often(document: Document) -> None:
            vaults(document)[1]["interval"] = "40s"

        await played.exporter.reload(changed(played, often))
        await played.play(60)
        assert [b - a for a, b in pairwise(played.times("v1"))] == pytest.approx([40, 40], abs=0.5)
        assert len(played.times("v0")) == 2

    play(scene)


def test_a_changed_name_is_on_the_page_at_once_with_the_balances_it_had() -> None:
    async def scene(played: Stage) -> None:
        before = page(played)

        def rename(document: Document) -> None:
            document["organizations"][0]["name"] = 'new "org"'
            vaults(document)[1]["name"] = "renamed"

        await played.exporter.reload(changed(played, rename))
        after = page(played)
        expected = before.replace('org="org-main"', 'org="new \\"org\\""')
        expected = expected.replace('vault="v1"', 'vault="renamed"')
        balances = [
            line for line in expected.split("\n") if "_vault_" in line or "_target_" in line
        ]
        assert balances == [
            line for line in after.split("\n") if "_vault_" in line or "_target_" in line
        ]
        await played.play(60)
        assert len(played.times("renamed")) == 2

    play(scene)


def test_a_changed_threshold_is_on_the_page_at_once() -> None:
    async def scene(played: Stage) -> None:
        def threshold(document: Document) -> None:
            vaults(document)[0]["min_available"] = {"T0000": "12.5"}

        assert "min_available" not in page(played)
        await played.exporter.reload(changed(played, threshold))
        assert 'asset="T0000"} 12.5\n' in page(played)

    play(scene)


def test_a_removed_target_disappears_at_once_and_is_no_longer_polled() -> None:
    async def scene(played: Stage) -> None:
        removed = played.path("v1")
        series = played.exporter.store.series

        def remove(document: Document) -> None:
            del vaults(document)[1]

        await played.exporter.reload(changed(played, remove))
        assert 'vault="v1"' not in page(played)
        assert played.exporter.store.series == series - 20
        await played.play(120)
        assert [path for _, path in played.wire.sent].count(removed) == 1

    play(scene, assets=2)


def test_an_asset_that_only_a_removed_vault_held_is_gone_with_it() -> None:
    async def scene(played: Stage) -> None:
        def only_the_total(document: Document) -> None:
            document["organizations"][0]["vaults"] = []

        assert "kraken_custody_asset_info{" in page(played)
        await played.exporter.reload(changed(played, only_the_total))
        assert "kraken_custody_asset" not in page(played)

    play(scene)


def test_time_without_targets_does_not_count_as_waiting_for_the_budget() -> None:
    def waited(played: Stage) -> float:
        value = played.counted("kraken_custody_rate_limit_wait_seconds_total")
        assert value is not None
        return value

    async def scene(played: Stage) -> None:
        def only_the_total(document: Document) -> None:
            document["organizations"][0]["vaults"] = []

        await played.play(100)
        # The total was polled at 120 s, and a vault waits for 180 s.
        before = waited(played)
        await played.exporter.reload(changed(played, only_the_total))
        await played.play(45)
        await played.exporter.reload(changed(played, nothing))
        await played.play(10)
        assert waited(played) - before == pytest.approx(5, abs=0.1)

    two_a_minute = {"requests": 2, "window": "60s", "share": 1}
    polling = {"interval": "1h", "stale_after": "3h"}
    play(scene, vaults=2, assets=1, polling=polling, api={"rate_limit": two_a_minute})


def test_a_target_that_is_removed_while_its_request_is_in_flight_stays_removed() -> None:
    async def main() -> None:
        played = stage(jitter=lambda: 5.0)
        await played.play(7)
        assert [path for _, path in played.wire.sent][-1] == played.path("v0")

        def remove(document: Document) -> None:
            del vaults(document)[0]

        await played.exporter.reload(changed(played, remove))
        await played.play(30)
        await played.stop()
        assert 'vault="v0"' not in page(played)
        assert played.state("v1").failure is None

    run(main())


def test_a_new_target_is_due_at_once() -> None:
    async def main() -> None:
        played = stage(vaults=3)
        document = yaml.safe_load(yaml.safe_dump(played.document))

        def without_the_last(known: Document) -> None:
            vaults(known).pop()

        await played.exporter.reload(changed(played, without_the_last))
        await played.play(30)
        await played.exporter.reload(changed(played, lambda known: known.update(document)))
        await played.play(2)
        await played.stop()
        assert played.state("v2").failure is None
        assert len(played.times("v2")) == 1

    run(main())


def test_a_vault_that_moves_to_another_organization_keeps_its_data() -> None:
    async def scene(played: Stage) -> None:
        before = played.state("v1")

        def move(document: Document) -> None:
            vault = vaults(document).pop(1)
            document["organizations"].append(
                {"id": "AAAA BBBB CCCC DDDD", "name": "other", "vaults": [vault]}
            )

        await played.exporter.reload(changed(played, move))
        after = played.state("v1")
        assert after.balances is not None
        assert after.target.organization == "other"
        assert after.read_at == before.read_at
        assert 'org="other",vault="v1"' in page(played)

    play(scene)


def test_secrets_are_read_again_and_a_pause_about_the_old_ones_ends() -> None:
    async def main() -> None:
        played = stage(environ={"KEY": "revoked"})
        await played.play(10)
        assert played.simulator.guard.refusals == {Refusal.INVALID_KEY: 1}
        await played.exporter.reload(changed(played, nothing, KEY=API_KEY))
        await played.play(60)
        await played.stop()
        assert played.simulator.guard.refusals == {Refusal.INVALID_KEY: 1}
        assert all(state.failure is None for state in played.exporter.store.states())

    run(main())


def test_a_reload_ends_the_pause_of_a_refused_key_for_one_request_once_a_minute() -> None:
    async def main() -> None:
        played = stage(environ={"KEY": "revoked"})
        await played.play(10)
        for _ in range(5):
            await played.exporter.reload(changed(played, nothing))
            await played.play(5)
        await played.stop()
        assert len(played.wire.sent) == 2

    run(main())


def test_a_key_that_was_put_right_at_the_api_works_after_a_reload() -> None:
    async def main() -> None:
        played = stage(environ={"KEY": "revoked"})
        await played.play(10)
        played.simulator.guard.secrets["revoked"] = API_SECRET
        await played.exporter.reload(changed(played, nothing))
        await played.play(5)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


@pytest.mark.parametrize(
    "mood",
    [moods.rate_limited(600), moods.legacy("EGeneral:Temporary lockout")],
    ids=["a rate limit", "a lockout"],
)
@pytest.mark.parametrize("secret", [API_SECRET, OTHER_SECRET], ids=["as before", "another"])
def test_no_reload_ends_a_pause_requested_by_the_api(mood: moods.Mood, secret: str) -> None:
    async def main() -> None:
        played = stage()
        played.simulator.default_mood = mood
        await played.play(10)
        await played.exporter.reload(changed(played, nothing, SECRET=secret))
        await played.play(60)
        await played.stop()
        assert len(played.wire.sent) == 1

    run(main())


def test_another_key_is_tried_at_once_though_the_old_one_is_locked_out() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.default_mood = moods.times(1, moods.legacy("EGeneral:Temporary lockout"))
        await played.play(10)
        await played.exporter.reload(changed(played, nothing, KEY=OTHER_KEY))
        await played.play(10)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


@pytest.mark.parametrize("unit", ["nanoseconds", "milliseconds"])
def test_nonces_go_on_growing_across_reloads_whatever_their_unit(unit: str) -> None:
    async def scene(played: Stage) -> None:
        def other_unit(document: Document) -> None:
            document["credentials"]["main"]["nonce"] = unit

        for _ in range(3):
            await played.exporter.reload(changed(played, other_unit))
            await played.play(60)
        assert not played.simulator.guard.refusals
        assert all(state.failure is None for state in played.exporter.store.states())

    play(scene)


def test_settings_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        file = tmp_path / "secret"
        file.write_text(API_SECRET)
        played = stage(directory=tmp_path)

        def with_a_file(document: Document) -> None:
            del document["credentials"]["main"]["api_secret_env"]
            document["credentials"]["main"]["api_secret_file"] = "secret"
            del vaults(document)[1]

        await played.play(30)
        settings = changed(played, with_a_file)
        # It disappears between check and use.
        file.unlink()
        before = page(played)
        with pytest.raises(SecretError):
            await played.exporter.reload(settings)
        assert (
            page(played).split("# HELP kraken_custody_api")[0]
            == before.split("# HELP kraken_custody_api")[0]
        )
        await played.play(60)
        await played.stop()
        assert len(played.times("v1")) == 2

    run(main())


@pytest.mark.no_cover
def test_a_smaller_budget_counts_what_was_sent_under_the_larger_one() -> None:
    async def main() -> None:
        played = stage(vaults=60, limit=(100, 30.0), polling={"interval": "1s"})
        await played.play(45)

        def halve(document: Document) -> None:
            document["api"]["rate_limit"] = {"requests": 50, "window": "30s", "share": 1}

        played.simulator.guard.limit = 100
        await played.exporter.reload(changed(played, halve))
        before = len(played.wire.sent)
        await played.play(120)
        await played.stop()
        sent = [moment for moment, _ in played.wire.sent[before:]]
        assert all(later - earlier >= 30 for earlier, later in zip(sent, sent[50:], strict=False))
        assert played.counted("kraken_custody_rate_limit_budget_requests") == 50
        assert not played.simulator.guard.refusals

    run(main())


@pytest.mark.no_cover
def test_reloads_under_full_load_cost_no_poll_no_nonce_and_no_budget() -> None:
    async def main() -> None:
        played = stage(
            vaults=24,
            limit=(80, 30.0),
            api={"rate_limit": {"requests": 80, "share": 1}},
            polling={"interval": "5s"},
            jitter=lambda: 0.1,
        )
        await played.play(20)
        names = iter(range(1000))

        def rename(document: Document) -> None:
            vaults(document)[0]["name"] = f"name-{next(names)}"

        for _ in range(20):
            await played.exporter.reload(changed(played, rename))
            await played.play(2.9)
        await played.stop()
        guard = played.simulator.guard
        assert guard.largest_window <= 80
        assert not guard.refusals
        assert guard.largest_in_flight == {API_KEY: 1}
        assert guard.arrivals >= 0.97 * now() * 80 / 30
        assert all(state.failure is None for state in played.exporter.store.states())

    run(main())


@pytest.mark.parametrize("reloads", [0, 3])
def test_a_reload_right_after_the_start_shortens_no_wait_for_requests_of_the_process_before(
    reloads: int,
) -> None:
    async def main() -> None:
        played = stage(credentials={"main": {"max_in_flight": 5, "rate_limit": OWN_LIMIT}})
        for _ in range(reloads):
            await played.exporter.reload(changed(played, nothing))
        await played.play(12)
        await played.stop()
        # Of its 11 places in 10 s, five stay empty.
        assert played.wire.sent[0][0] == pytest.approx(6, abs=0.1)

    run(main())


def test_series_above_a_lowered_limit_stay_until_the_next_answer() -> None:
    async def scene(played: Stage) -> None:
        def limit(document: Document) -> None:
            document["polling"]["max_series"] = 10

        held = played.exporter.store.series
        await played.exporter.reload(changed(played, limit))
        assert played.exporter.store.series == held

    play(scene)


def test_failing_targets_go_on_failing_since_they_began() -> None:
    async def main() -> None:
        played = stage()
        played.simulator.moods[played.vault_id("v1")] = moods.problem(403, "PermissionDenied")
        await played.play(30)
        since = played.state("v1").failure
        await played.exporter.reload(changed(played, nothing))
        assert played.state("v1").failure == since
        await played.stop()

    run(main())


def test_two_reloads_at_once_come_one_after_the_other() -> None:
    async def scene(played: Stage) -> None:
        def rename(document: Document) -> None:
            vaults(document)[0]["name"] = "renamed"

        await asyncio.gather(
            played.exporter.reload(changed(played, nothing)),
            played.exporter.reload(changed(played, rename)),
        )
        assert played.state("renamed").balances is not None

    play(scene)


def test_a_limit_that_a_key_gets_while_its_request_is_in_flight_is_counted_right() -> None:
    async def main() -> None:
        played = stage(jitter=lambda: 5.0)
        await played.play(7)

        def own_limit(document: Document) -> None:
            document["credentials"]["main"]["rate_limit"] = {"requests": 10, "window": "10s"}

        await played.exporter.reload(changed(played, own_limit))
        await played.play(300)
        await played.stop()
        await asyncio.sleep(60)
        (credential,) = played.exporter._credentials.values()
        assert credential.own_budget is not None
        assert credential.own_budget.used(now()) == 0

    run(main())


def test_connection_failures_are_retried_at_once_when_the_connection_settings_change() -> None:
    async def main() -> None:
        played = stage()
        for vault in ("v0", "v1", "v2"):
            played.simulator.moods[played.vault_id(vault)] = moods.problem(404, "NotFound")
        await played.play(500)
        played.simulator.moods.clear()

        def other_timeout(document: Document) -> None:
            document["api"]["timeout"] = "11s"

        await played.exporter.reload(changed(played, other_timeout))
        await played.play(3)
        await played.stop()
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


def test_a_refusal_of_the_old_key_that_arrives_after_the_reload_is_not_held_against_the_new() -> (
    None
):
    async def main() -> None:
        played = stage(environ={"KEY": "revoked"}, jitter=lambda: 5.0)
        await played.play(3)
        assert len(played.wire.sent) == 1
        with capture_logs() as logs:
            await played.exporter.reload(changed(played, nothing, KEY=API_KEY))
            await played.play(40)
        await played.stop()
        assert played.simulator.guard.refusals == {Refusal.INVALID_KEY: 1}
        assert "polling_paused" not in [entry["event"] for entry in logs]
        assert all(state.failure is None for state in played.exporter.store.states())

    run(main())


def test_a_credential_under_a_new_name_is_still_the_same_key() -> None:
    async def main() -> None:
        played = stage(jitter=lambda: 5.0)
        await played.play(7)

        def rename(document: Document) -> None:
            document["credentials"]["renamed"] = document["credentials"].pop("main")
            document["organizations"][0]["credentials"] = "renamed"

        await played.exporter.reload(changed(played, rename))
        await played.play(60)
        await played.stop()
        assert played.simulator.guard.largest_in_flight == {API_KEY: 1}
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


def test_a_key_is_recognised_even_if_its_old_name_goes_to_another() -> None:
    async def main() -> None:
        played = stage(jitter=lambda: 5.0)
        await played.play(7)

        def pass_on(document: Document) -> None:
            credentials = document["credentials"]
            credentials["retired"] = dict(credentials["main"])
            credentials["main"]["api_key_env"] = "OTHER_KEY"
            document["organizations"][0]["credentials"] = "retired"
            other = {"name": "new", "id": "NEWX NEWX NEWX NEWX", "credentials": "main"}
            document["organizations"].append(other)

        await played.exporter.reload(changed(played, pass_on))
        await played.play(60)
        await played.stop()
        assert played.simulator.guard.largest_in_flight[API_KEY] == 1
        assert all(played.state(vault).failure is None for vault in ("v0", "v1", "v2"))

    run(main())


def test_two_credentials_may_exchange_their_names() -> None:
    async def main() -> None:
        played = stage(
            vaults=4,
            credentials={"main": {}, "other": {}},
            credential_of=lambda number: "main" if number < 2 else "other",
        )
        await played.play(30)

        def exchange(document: Document) -> None:
            credentials = document["credentials"]
            credentials["main"], credentials["other"] = credentials["other"], credentials["main"]

        await played.exporter.reload(changed(played, exchange))
        await played.play(70)
        await played.stop()
        assert not played.simulator.guard.refusals
        assert max(played.simulator.guard.largest_in_flight.values()) == 1
        assert all(played.state(f"v{number}").failure is None for number in range(4))

    run(main())


def test_a_shorter_deadline_is_not_that_of_a_request_sent_before() -> None:
    async def main() -> None:
        played = stage(api={"timeout": "5m"}, jitter=lambda: 120.0)
        await played.play(5)

        def shorter(document: Document) -> None:
            document["api"]["timeout"] = "5s"

        await played.exporter.reload(changed(played, shorter))
        await played.play(60)
        assert played.exporter.poller.trouble() is None
        await played.stop()

    run(main())


def test_secrets_read_before_a_reload_do_not_replace_those_of_the_reload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        played = stage()
        await played.play(1)
        credential = played.exporter._credentials["main"]
        before, read = credential.secrets, CredentialSettings.read

        def reloaded_meanwhile(settings: CredentialSettings) -> Secrets:
            credential.settings = copy.copy(settings)
            return msgspec.structs.replace(read(settings), api_key=Secret("from before the reload"))

        with monkeypatch.context() as patch:
            patch.setattr(CredentialSettings, "read", reloaded_meanwhile)
            await credential.read_secrets_again()
        assert credential.secrets == before
        await played.stop()

    run(main())
