"""For each alert: when it fires, when it does not, and what a restart of the exporter does to it.

In a story's values 2 samples are a minute. `stale _ _` is a scrape that failed and two that did not happen: a restart.
"""

import re
from collections.abc import Mapping
from typing import Final

from tests.deploy.rules import Message, Story

EXPORTER: Final = {"job": "kraken-custody", "instance": "exporter:10063"}
ACME: Final = {**EXPORTER, "org": "acme"}
VAULT: Final = {**EXPORTER, "kind": "vault", "org": "acme", "vault": "hot"}
WARM: Final = {**VAULT, "vault": "warm"}
ORGANIZATION: Final = {**EXPORTER, "kind": "organization", "org": "acme", "vault": ""}
# Additional labels of an alert about a target.
KEY: Final = {"credential": "treasury"}
IDENTITY: Final = {"org": "acme", "vault": "hot", "vault_id": "VHOT", "asset": "BTC"}
ASSET: Final = {**EXPORTER, **IDENTITY, "asset_class": "currency"}
OF_WARM: Final = {**ASSET, "vault": "warm"}
TOTAL: Final = {**EXPORTER, "org": "acme", "org_id": "ACME", "quote_asset": "USD"}
WITHOUT_INSTANCE: Final = {
    "job": "kraken-custody",
    **IDENTITY,
    "asset_class": "currency",
}

# The lists of vaults, and of organizations with a key.
LIST: Final = {**EXPORTER, "kind": "vaults", "org": "acme", "vault": ""}
ORGANIZATIONS: Final = {**EXPORTER, "kind": "organizations", **KEY}
# Two processes with one lease.
PAIR_A: Final = {"job": "kraken-custody", "instance": "a"}
PAIR_B: Final = {"job": "kraken-custody", "instance": "b"}
PAIR: Final = {"job": "kraken-custody", "instance": "pair"}
SHARD_0: Final = {**VAULT, "instance": "shard-0"}

RESTART: Final = "stale _ _"
# Pending tasks of a vault, and its whitelist; alerts on them name the vault, not the process.
TASKS: Final = {
    "job": "kraken-custody",
    "org": "acme",
    "org_id": "ACME",
    "vault": "hot",
    "vault_id": "VHOT",
    "task_type": "request_withdrawal",
}
WHITELIST: Final = {"job": "kraken-custody", "org": "acme", "vault": "hot", "vault_id": "VHOT"}
INSTANCE: Final = {"instance": "exporter:10063"}


def process(
    name: str, active: str, *, lease: str = "pair", up: str = "", job: str = "kraken-custody"
) -> dict[str, str]:
    """Return what a process with a lease exposes. active: whether it holds the lease; up: whether that can be read."""
    labels = {"job": job, "instance": name}
    return (
        one("exporter_active", labels, active)
        | one("exporter_lease_up", labels, up or re.sub(r"\b0(?=x|\b)", "1", active), lease=lease)
        | one("exporter_build_info", labels, re.sub(r"\b0(?=x|\b)", "1", active))
    )


def shards(*active: str) -> dict[str, str]:
    """Return the series of shards, and whether each polls."""
    return {
        series: values
        for number, polls in enumerate(active)
        for name, said, labels in (
            ("exporter_active", polls, {}),
            (
                "exporter_shard_info",
                re.sub(r"\b0(?=x|\b)", "1", polls),
                {"shard": f"{number}", "shards": f"{len(active)}"},
            ),
        )
        for series, values in one(
            name, {"job": "kraken-custody", "instance": f"shard-{number}"}, said, **labels
        ).items()
    }


def one(name: str, labels: Mapping[str, str], values: str, /, **more: str) -> dict[str, str]:
    """Return one series."""
    inside = ",".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
    name = name if name.startswith(("up", "process_")) else f"kraken_custody_{name}"
    return {f"{name}{{{inside}}}": values}


def target(
    labels: Mapping[str, str] = VAULT,
    /,
    *,
    credential: str = "treasury",
    vault_id: str = "",
    **values: str,
) -> dict[str, str]:
    """Return the series of a target, healthy for three hours unless `values` say otherwise."""
    usual = {
        "up": "1x400",
        "stale": "0x400",
        "last_success_timestamp_seconds": "0+30x400",
        "refresh_interval_seconds": "60x400",
        "invalid_rows": "0x400",
    }
    said = {**usual, **values}
    own = {
        series: value
        for name, value_ in said.items()
        if value_
        for series, value in one(f"target_{name}", labels, value_).items()
    }
    # It exists as long as the target does.
    there = re.sub(r"\b[01](?=x|\b)", "1", said["stale"] or "1x400")
    names = "-".join(filter(None, (labels.get("org"), labels.get("vault"))))
    info = {"credential": credential, **labels, "id": vault_id or names or credential}
    return own | one("target_info", info, there)


def error(type_: str, values: str, labels: Mapping[str, str] = VAULT) -> dict[str, str]:
    """Return the series of a target's current error."""
    return one("target_error", labels, values, type=type_)


def errors(type_: str, values: str, status: str = "200") -> dict[str, str]:
    """Return the counter of an error type."""
    return one(
        "api_errors_total",
        EXPORTER,
        values,
        endpoint="vault_asset_balances",
        status=status,
        type=type_,
    )


def paused(credential: str, values: str) -> dict[str, str]:
    """Return whether a credential is paused; `all` stands for everything."""
    return one("api_paused", EXPORTER, values, credential=credential)


def unanswered(credential: str, values: str) -> dict[str, str]:
    """Return how many requests in a row had no answer."""
    return one("api_unanswered_requests", EXPORTER, values, credential=credential)


def asset(labels: Mapping[str, str] = ASSET, /, **values: str) -> dict[str, str]:
    """Return the balance series of an asset in a vault."""
    return {
        series: value
        for name, said in values.items()
        for series, value in one(
            f"vault_{name}",
            {**labels, "quote_asset": "USD"} if name.startswith("quote") else labels,
            said,
        ).items()
    }


def discovered(name: str, lease: str = "", /, **values: str) -> dict[str, str]:
    """Return how many vaults a process has found, polled and not polled."""
    labels = {"job": "kraken-custody", "instance": name}
    found = {
        series: said
        for polled, value in values.items()
        for series, said in one(
            "discovered_vaults", labels, value, org="acme", org_id="ACME", polled=polled
        ).items()
    }
    return found | (one("exporter_lease_up", labels, "1x100", lease=lease) if lease else {})


def prices(
    labels: Mapping[str, str] = ASSET, /, *, held: str = "1x400", **values: str
) -> dict[str, str]:
    """Return prices of assets in a vault, by asset."""
    return {
        series: said
        for name, price in values.items()
        for series, said in asset(
            {**labels, "asset": name}, balance=held, quote_price=price
        ).items()
    }


def ledger(vault: str = "hot", **values: str) -> dict[str, str]:
    """Return the ledger's balances of a vault, by asset; they do not come from an exporter."""
    return {
        f'ledger_balance{{org="acme",vault="{vault}",asset="{name}"}}': said
        for name, said in values.items()
    }


def whitelist(
    labels: Mapping[str, str] = INSTANCE, /, *, additions: str, addresses: str
) -> dict[str, str]:
    """Return the series of a vault's whitelist, whose addresses are for two assets."""
    vault = {**WHITELIST, **INSTANCE, **labels}
    bitcoin, ether = ({"asset": asset, "asset_class": "currency"} for asset in ("BTC", "ETH"))
    return {
        **one("vault_whitelist_additions_total", vault, additions),
        **one("vault_whitelisted_addresses", vault | bitcoin, addresses),
        **one("vault_whitelisted_addresses", vault | ether, re.sub(r"\d+(?=x)", "1", addresses)),
    }


# Healthy for 10 minutes, then failing; a poll each minute.
FAILING: Final = {
    "up": "1x20 0x100",
    "last_success_timestamp_seconds": "0+30x20 600x100",
}
# The same, with a restart after 30 minutes, and then never read again.
FAILING_RESTARTED: Final = {
    "up": f"1x20 0x39 {RESTART} _ 0x100",
    "stale": f"0x30 1x29 {RESTART} 0x100",
    "last_success_timestamp_seconds": "0+30x20 600x39 stale",
    "refresh_interval_seconds": "60x60 stale",
    "invalid_rows": "0x60 stale",
}
# The API goes away after 90 minutes: the last good balances stay for 5 minutes, then they are withdrawn.
OUTAGE: Final = {
    "up": "1x180 0x100",
    "stale": "0x190 1x90",
    "last_success_timestamp_seconds": "0+30x180 5400x100",
}
RESTARTED: Final = {
    "up": f"1x180 {RESTART} _ 1x100",
    "stale": f"0x180 {RESTART} 0x100",
    "last_success_timestamp_seconds": f"0+30x180 {RESTART} _ 5550+30x100",
    "refresh_interval_seconds": f"60x180 {RESTART} _ _ _ 60x100",
    "invalid_rows": f"0x180 {RESTART} _ 0x100",
}

# Process a has polled for 10 minutes, then b does. For a moment Prometheus knows the vault from both; `late`, which b
# shows a scrape later than a hides it, from none.
TAKEN_OVER: Final = {
    **process("a", "1x20 stale"),
    **process("b", "0x19 1x100"),
    **{
        series: values
        for vault, last, first in (("hot", 21, 20), ("late", 20, 23))
        for name, until, since in (("a", last, ""), ("b", 0, first))
        for series, values in target(
            {**VAULT, "instance": name, "vault": vault},
            **(
                {
                    "up": f"1x{until} stale",
                    "stale": f"0x{until} stale",
                    "last_success_timestamp_seconds": f"0+30x{until} stale",
                    "refresh_interval_seconds": f"60x{until} stale",
                    "invalid_rows": f"0x{until} stale",
                }
                if name == "a"
                else {
                    "up": f"_x{first + 2} 1x100",
                    "stale": f"_x{first} 0x100",
                    "last_success_timestamp_seconds": f"_x{first + 2} {30 * first + 60}+30x100",
                    "refresh_interval_seconds": f"_x{first + 4} 60x100",
                    "invalid_rows": f"_x{first + 2} 0x100",
                }
            ),
        ).items()
    },
}
# From the start the API answers nobody. Process a polls for 8 minutes and b for 2; a scrape without a target lies
# between them, and two minutes pass until a new holder has seen enough requests without an answer.
PASSED_ON: Final = {
    **process("a", "1x14 0x4 " * 5),
    **process("b", "0x16 1x1 0 " * 5),
    **{
        series: values
        for name, turns, waits in (("a", 16, 0), ("b", 3, 17))
        for series, values in (
            one(
                "target_stale",
                {**VAULT, "instance": name},
                f"{'_ ' * waits}{'0 ' * (turns - 1)}stale {'_ ' * (20 - turns - waits)}" * 5,
            )
            | one(
                "target_info",
                {**VAULT, "instance": name},
                f"{'_ ' * waits}{'1 ' * (turns - 1)}stale {'_ ' * (20 - turns - waits)}" * 5,
                id="VHOT",
                **KEY,
            )
            | one(
                "target_up",
                {**VAULT, "instance": name},
                f"{'_ ' * (waits + 1)}{'0 ' * (turns - 2)}stale {'_ ' * (20 - turns - waits)}" * 5,
            )
            | one(
                "target_error",
                {**VAULT, "instance": name},
                f"{'_ ' * (waits + 1)}{'1 ' * (turns - 2)}stale {'_ ' * (20 - turns - waits)}" * 5,
                type="transport/timeout",
            )
            | one(
                "api_unanswered_requests",
                {"job": "kraken-custody", "instance": name, **KEY},
                f"{'0 ' * (waits + 1)}{'6 ' * (turns - 2)}{'0 ' * (21 - turns - waits)}" * 5,
            )
        ).items()
    },
}

STORIES: Final[dict[str, tuple[Story, ...]]] = {
    "KrakenCustodyExporterDown": (
        Story(
            "fires after 3 minutes without a scrape",
            one("up", EXPORTER, "1x10 0x30 1x10"),
            {"5m30s": 0, "8m": 0, "8m30s": 1, "20m30s": 1, "21m": 0},
            Message(
                "9m",
                EXPORTER,
                "Custody exporter exporter:10063 is down",
                "Prometheus cannot scrape it (up is 0): balances are unknown.",
            ),
        ),
        Story(
            "fires where no exporter is scraped any more",
            one("up", EXPORTER, "1x10 stale"),
            {"8m": 0, "8m30s": 1},
            Message(
                "9m",
                {},
                "Custody exporter (none is scraped) is down",
                "Prometheus has no target whose job begins with kraken-custody: balances are unknown.",
            ),
        ),
        Story(
            "is quiet at a failed scrape and at a restart",
            one("up", EXPORTER, "1x10 0 1x10 0 0 0 0 1x20"),
            {f"{minute}m": 0 for minute in range(1, 24)},
        ),
        Story(
            "is quiet where a standby is missing, and where a standby has taken over",
            {
                **one("up", PAIR_A, "1x10 0x200"),
                **process("a", "1x10 stale"),
                **one("up", PAIR_B, "1x300"),
                **process("b", "0x11 1x300"),
                **one("up", {**PAIR_A, "instance": "c"}, "1x10 0x200"),
                **process("c", "0x10 stale"),
            },
            {f"{minute}m": 0 for minute in range(1, 100, 3)},
        ),
        Story(
            "fires where nobody takes over from the process that is down",
            {
                **one("up", PAIR_A, "1x10 0x200"),
                **process("a", "1x10 stale"),
                **one("up", PAIR_B, "1x300"),
                **process("b", "0x300"),
            },
            {"8m": 0, "8m30s": 1, "90m": 1},
        ),
    ),
    "KrakenCustodyLeaseNotHeld": (
        Story(
            "fires 3 minutes after the lease has ended",
            {**process("a", "1x10 0x40 1x20", up="1x10 0x40 1x20"), **process("b", "0x70")},
            {"8m": 0, "8m30s": 1, "25m": 1, "31m30s": 0},
            Message(
                "9m",
                {"job": "kraken-custody", "lease": "pair"},
                "No process holds the lease pair: nothing is polled",
                "2 process(es) wait for it, of which 1 cannot read or write its record. Balances are unknown.",
            ),
        ),
        Story(
            "is quiet at a takeover, at a start, and without a lease",
            {
                **process("a", "0x3 1x10 stale"),
                **process("b", "0x14 1x100"),
                **one("exporter_active", EXPORTER, "1x100"),
            },
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
    ),
    "KrakenCustodyNoStandby": (
        Story(
            "fires after 10 minutes without a second process",
            {**process("a", "1x100"), **process("b", "0x10 stale _x39 0x100")},
            {"15m": 0, "15m30s": 1, "25m": 1, "30m30s": 0},
            Message(
                "16m",
                {"job": "kraken-custody", "lease": "pair"},
                "The lease pair has no standby",
                "Of 1 process(es) that Prometheus can scrape, none could take over. If the one that polls fails, "
                "balances are unknown.",
            ),
        ),
        Story(
            "fires where the only standby cannot read the lease",
            {**process("a", "1x100"), **process("b", "0x100", up="1x10 0x90")},
            {"15m": 0, "15m30s": 1},
        ),
        Story(
            "is quiet at a takeover whose old process comes back, and where there is no lease",
            {
                **process("a", "1x10 stale _x10 0x100"),
                **process("b", "0x11 1x100"),
                **one("exporter_active", EXPORTER, "1x100"),
            },
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
    ),
    "KrakenCustodyShardsMissing": (
        Story(
            "fires 5 minutes after a shard has gone",
            shards("1x100", "1x100", "1x10 stale _x39 1x50"),
            {"10m": 0, "10m30s": 1, "25m": 1, "30m30s": 0},
            Message(
                "11m",
                {"job": "kraken-custody", "shards": "3"},
                "Only 2 of 3 shards of the custody exporter are up",
                "Shards that are up: 0, 1. Balances of the others' vaults are unknown.",
            ),
        ),
        Story(
            "fires where a shard has nothing but standbys",
            shards("1x100", "0x100"),
            {"4m30s": 0, "5m": 1},
        ),
        Story(
            "fires where all shards have nothing but standbys",
            shards("0x100", "0x100"),
            {"5m": 1},
            Message(
                "5m",
                {"job": "kraken-custody", "shards": "2"},
                "Only 0 of 2 shards of the custody exporter are up",
                "Shards that are up: (none). Balances of the others' vaults are unknown.",
            ),
        ),
        Story(
            "is quiet at a restart of a shard, and where there are none",
            {
                **shards("1x100", f"1x20 {RESTART} _ 1x60"),
                **one(
                    "exporter_shard_info", EXPORTER, "1x10 stale _x39 1x50", shard="0", shards="1"
                ),
                **one("exporter_active", EXPORTER, "1x10 stale _x39 1x50"),
            },
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
    ),
    "KrakenCustodyExporterRestarting": (
        Story(
            "fires at the third start within an hour",
            one("process_start_time_seconds", EXPORTER, "0x20 600x10 900x10 1200x140"),
            {"10m30s": 0, "20m30s": 0, "22m": 0, "22m30s": 1, "69m30s": 1, "71m": 0},
            Message(
                "23m",
                EXPORTER,
                "Custody exporter exporter:10063 keeps restarting",
                "It was started 3 times in the last hour.",
            ),
        ),
        Story(
            "is quiet at two restarts",
            one(
                "process_start_time_seconds",
                EXPORTER,
                f"0x20 {RESTART} 630x20 {RESTART} 1230x40",
            ),
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
    ),
    "KrakenCustodyReloadFailed": (
        Story(
            "fires after 5 minutes and outlasts a scrape gap",
            {
                **one(
                    "exporter_config_last_reload_successful",
                    EXPORTER,
                    f"1x10 0x20 {RESTART} 0x20 1x40",
                ),
                **one("exporter_config_last_reload_success_timestamp_seconds", EXPORTER, "0x80"),
            },
            {"10m": 0, "10m30s": 1, "16m": 1, "17m": 1, "20m": 1, "28m": 1, "34m": 0},
            Message(
                "11m",
                EXPORTER,
                "Custody exporter exporter:10063 refused its new configuration",
                "The last reload failed, so the configuration that was loaded 11m 0s ago is still in use. "
                "A restart would fail.",
            ),
        ),
        Story(
            "is quiet where the next attempt succeeds",
            one("exporter_config_last_reload_successful", EXPORTER, "1x10 0x8 1x30"),
            {"9m": 0, "10m": 0, "11m": 0, "15m": 0},
        ),
    ),
    "KrakenCustodyClockSkew": (
        Story(
            "fires after 10 minutes and outlasts a restart",
            one("api_clock_skew_seconds", EXPORTER, f"0.2x10 7.25x30 {RESTART} 7.25x20"),
            {"15m": 0, "15m30s": 1, "21m": 1, "23m": 1, "30m": 1},
            Message(
                "16m",
                EXPORTER,
                "The clock of custody exporter exporter:10063 is wrong",
                "It is 7.2 s ahead of the API's clock (negative: behind). Nonces and one-time passwords depend on it.",
            ),
        ),
        Story(
            "fires where the clock is behind",
            one("api_clock_skew_seconds", EXPORTER, "-6x40"),
            {"9m30s": 0, "10m": 1},
        ),
        Story(
            "is quiet just below the threshold",
            one("api_clock_skew_seconds", EXPORTER, "4.9x40"),
            {"10m": 0, "20m": 0},
        ),
    ),
    "KrakenCustodyBudgetTooSmall": (
        Story(
            "fires after 10 minutes with the numbers and outlasts a restart",
            {
                **one("rate_limit_demand_ratio", EXPORTER, f"1.8x40 {RESTART} 1.8x40"),
                **one("rate_limit_budget_requests", EXPORTER, "100x90"),
                **one("rate_limit_window_seconds", EXPORTER, "30x90"),
                **target(),
                **target(ORGANIZATION),
            },
            {"9m30s": 0, "10m": 1, "21m": 1, "22m": 1, "30m": 1},
            Message(
                "10m",
                EXPORTER,
                "Custody exporter exporter:10063 has more to poll than its request budget allows",
                "What is configured and found needs 1.80 times the requests that a limit allows: the budget of 100 "
                "requests in 30s, or a key's own limit. Polling intervals under that limit are longer by this factor.",
            ),
        ),
        Story(
            "is quiet where the budget is used up exactly",
            one("rate_limit_demand_ratio", EXPORTER, "1x60"),
            {"10m": 0, "25m": 0},
        ),
    ),
    "KrakenCustodyTargetFailing": (
        Story(
            "fires 10 minutes after the second failed poll",
            {**target(**FAILING), **error("gateway/Connect", "_x21 1x100")},
            {"10m30s": 0, "20m30s": 0, "21m30s": 1, "40m": 1},
            Message(
                "22m",
                {**VAULT, **KEY},
                "acme / hot: polls fail",
                "Every poll has failed for more than 10 minutes, now with gateway/Connect; last read 12m 0s ago.",
            ),
        ),
        Story(
            "is quiet at one failed poll in 15 minutes",
            target(
                up="1x20 0x29 1x40",
                last_success_timestamp_seconds="0x20 600x9 600x20 1500x40",
                refresh_interval_seconds="900x100",
            ),
            {f"{minute}m": 0 for minute in range(1, 45)},
        ),
        Story(
            "is quiet where every second poll fails",
            target(up="1 1 0 0 1 1 0 0 1 1 0 0 1 1 0 0 1 1 0 0 1 1 0 0 1 1 0 0 1 1 0 0"),
            {f"{minute}m": 0 for minute in range(1, 16)},
        ),
        Story(
            "outlasts a restart",
            target(**FAILING_RESTARTED),
            {"29m": 1, "31m": 1, "32m": 1, "33m": 1, "40m": 1},
        ),
        Story(
            "fires although two processes pass the lease to each other, with a gap between them",
            PASSED_ON,
            {"9m": 0, "12m": 1, "20m": 1, "30m": 1, "40m": 1},
            Message(
                "35m",
                {**VAULT, **PAIR, **KEY},
                "acme / hot: polls fail",
                "Every poll has failed for more than 10 minutes, now with transport/timeout; not read since the "
                "exporter started.",
            ),
        ),
        Story(
            "names what is polled besides balances, and leaves lists to another alert",
            {
                **target({**VAULT, "kind": "whitelist"}, **FAILING),
                **error("PermissionDenied", "_x21 1x100", {**VAULT, "kind": "whitelist"}),
                **target(LIST, **FAILING),
            },
            {"40m": 1},
            Message(
                "22m",
                {**VAULT, "kind": "whitelist", **KEY},
                "acme / hot (whitelist): polls fail",
                "Every poll has failed for more than 10 minutes, now with PermissionDenied; last read 12m 0s ago.",
            ),
        ),
    ),
    "KrakenCustodyBalancesStale": (
        Story(
            "fires after 10 minutes without balances",
            target(**{**FAILING, "stale": "0x30 1x90"}),
            {"15m30s": 0, "25m": 0, "25m30s": 1},
            Message(
                "30m",
                {**VAULT, **KEY},
                "acme / hot: balances are unknown",
                "Last read 20m 0s ago, too long ago to be exported. No balance alert can fire for them.",
            ),
        ),
        Story(
            "fires where an organization was never read",
            target(ORGANIZATION, up="", last_success_timestamp_seconds="", invalid_rows=""),
            {"9m30s": 0, "10m": 1},
            Message(
                "10m",
                {key: value for key, value in ORGANIZATION.items() if value} | KEY,
                "acme: balances are unknown",
                "Not read since the exporter started. No balance alert can fire for them.",
            ),
        ),
        Story(
            "is quiet where the target recovers",
            target(stale="0x30 1x18 0x50"),
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
        Story(
            "outlasts a restart",
            target(**FAILING_RESTARTED),
            {"29m": 1, "31m": 1, "32m": 1, "33m": 1, "40m": 1},
        ),
        Story(
            "fires although two processes pass the lease to each other, with a gap between them",
            PASSED_ON,
            {"9m": 0, "12m": 1, "20m": 1, "30m": 1, "40m": 1},
        ),
        Story(
            "is quiet at a takeover with a lost sample, and while many vaults wait for their first poll",
            TAKEN_OVER
            | {
                series: values
                for number in range(0, 60, 3)
                for series, values in target(
                    {**VAULT, "instance": "many", "vault": f"v{number}"},
                    up=f"_x{number + 10} 1x400",
                    last_success_timestamp_seconds=f"_x{number + 10} {30 * number + 300}+30x400",
                ).items()
            },
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
        Story(
            "is quiet at what has no balances",
            target({**VAULT, "kind": "whitelist"}, **{**FAILING, "stale": "0x30 1x90"}),
            {"30m": 0, "50m": 0},
        ),
        Story(
            "fires where a vault is not polled after all others were",
            target() | target({**VAULT, "vault": "cold"}, up="", last_success_timestamp_seconds=""),
            {"15m": 1},
        ),
    ),
    "KrakenCustodyPollsLate": (
        Story(
            "fires where nothing is read and nothing fails",
            target(last_success_timestamp_seconds="0+30x20 600x50 stale"),
            {"13m": 0, "23m": 0, "23m30s": 1, "38m": 1, "42m": 0},
            Message(
                "24m",
                {**VAULT, **KEY},
                "acme / hot: polls are late",
                "The interval between polls is 14.0 times as long as usual.",
            ),
        ),
        Story(
            "fires where polls are further apart than they were under the same configuration",
            {
                **target(
                    up="1x300",
                    stale="0x300",
                    last_success_timestamp_seconds="0+120x300",
                    refresh_interval_seconds="60x200 240x100",
                    invalid_rows="0x300",
                ),
                **one("exporter_config_last_reload_success_timestamp_seconds", EXPORTER, "0.1x400"),
            },
            {"400m": 0, "410m": 0, "413m": 1},
            interval="2m",
        ),
        Story(
            "is quiet where the configuration asks for longer intervals",
            {
                **target(refresh_interval_seconds="60x60 600x200"),
                **one(
                    "exporter_config_last_reload_success_timestamp_seconds",
                    EXPORTER,
                    "0x60 1800x200",
                ),
            },
            {"31m": 0, "45m": 0, "60m": 0},
        ),
        Story(
            "is quiet at a pause of 10 minutes and at a restart",
            target(
                last_success_timestamp_seconds=f"0+30x20 600x19 1230+30x20 {RESTART} _ 1950+30x60",
                up=f"1x60 {RESTART} _ 1x60",
                refresh_interval_seconds=f"60x60 {RESTART} _ _ _ 60x60",
            ),
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
    ),
    "KrakenCustodyCredentialRefused": (
        Story(
            "fires once for a key that serves two organizations, and outlasts a restart",
            {
                **target(),
                **target(ORGANIZATION),
                **target({**VAULT, "org": "beta"}),
                **target({**VAULT, "org": "other"}, credential="another"),
                **error("EAPI:Invalid key", f"_x11 1x30 {RESTART} _ _ 1x60"),
                **error("EAPI:Invalid key", "_x11 1x90", {**VAULT, "org": "beta"}),
                **paused("treasury", f"0x10 1x30 {RESTART} 0 0 1x60"),
                **paused("another", "0x100"),
                **paused("all", "0x100"),
            },
            {"5m30s": 0, "7m": 0, "7m30s": 1, "20m": 1, "22m": 1, "23m": 1, "25m": 1},
            Message(
                "8m",
                {**EXPORTER, **KEY},
                "The API refuses the key treasury",
                "The error is EAPI:Invalid key. Polling with this key is paused, with one try at least every 15 "
                "minutes. Affected: acme, beta.",
            ),
        ),
        Story(
            "is quiet where everything is paused, and at a key that is refused once",
            {**paused("all", "1x60"), **paused("treasury", "0x10 1x3 0x60")},
            {f"{minute}m": 0 for minute in range(1, 30)},
        ),
    ),
    "KrakenCustodyNoAnswer": (
        Story(
            "fires after 8 minutes without an answer",
            {
                **target(**FAILING),
                **target({**VAULT, "org": "beta"}, **FAILING),
                **error("transport/timeout", "_x21 1x100"),
                **error("transport/timeout", "_x21 1x100", {**VAULT, "org": "beta"}),
                **unanswered("treasury", "0x20 3 3 4+1x100"),
            },
            {"11m30s": 0, "19m": 0, "19m30s": 1, "40m": 1},
            Message(
                "21m",
                {**EXPORTER, **KEY},
                "The API does not answer requests with the key treasury",
                "23 requests in a row had no answer, now with transport/timeout. Nothing is read with this key. "
                "Affected: acme, beta.",
            ),
        ),
        Story(
            "goes on for 10 minutes after an answer",
            {
                **target(
                    up="1x20 0x40 1x100",
                    last_success_timestamp_seconds="0+30x20 600x40 1830+30x100",
                ),
                **unanswered("treasury", "0x20 4+1x40 0x100"),
            },
            {"30m": 1, "40m": 1, "41m30s": 0},
        ),
        Story(
            "is quiet where one vault does not answer and others do",
            {
                **target(**FAILING),
                **target({**VAULT, "vault": "cold"}),
                **unanswered("treasury", "0x20 " + "1 2 3 0 " * 20),
            },
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
        Story(
            "is quiet at one failed poll of a key that polls every 25 minutes",
            {
                **target(
                    up="1x50 0x49 1x50",
                    last_success_timestamp_seconds="0x50 0x49 3000x50",
                    refresh_interval_seconds="1500x150",
                ),
                **unanswered("treasury", "0x50 3x49 0x50"),
            },
            {f"{minute}m": 0 for minute in range(25, 60)},
        ),
        Story(
            "fires although two processes pass the lease to each other, with a gap between them",
            PASSED_ON,
            {"8m": 0, "11m": 1, "20m": 1, "30m": 1, "40m": 1},
        ),
    ),
    "KrakenCustodyEverythingPaused": (
        Story(
            "fires after 8 minutes without an interruption",
            {
                **target(**FAILING),
                **error("http/429", "_x21 1x100"),
                **paused("all", "0x20 1x40 0x60"),
                **paused("treasury", "0x120"),
            },
            {"10m30s": 0, "18m": 0, "18m30s": 1, "30m": 1, "40m": 1, "41m": 0},
            Message(
                "20m",
                EXPORTER,
                "Custody exporter exporter:10063 has paused all polls",
                "The most frequent error is http/429. After each pause the exporter sends one request; until the API "
                "accepts it, nothing else is read.",
            ),
        ),
        Story(
            "is quiet where polls go on between pauses, and where one key is paused",
            {**paused("all", "1x15 0 " * 8), **paused("treasury", "1x120")},
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
    ),
    "KrakenCustodyBlocked": (
        Story(
            "fires 5 minutes after the second block, once for all targets",
            {
                **target(**FAILING),
                **target(ORGANIZATION, **FAILING),
                **error("http/blocked", "_x21 1x100"),
                **error("http/blocked", "_x21 1x100", ORGANIZATION),
            },
            {"10m30s": 0, "16m": 0, "16m30s": 1, "40m": 1},
            Message(
                "17m",
                EXPORTER,
                "Custody exporter exporter:10063 is blocked on its way to the API",
                "A gateway or firewall in front of the API answers instead of it, for 2 target(s). It does not let "
                "this address, or that of the proxy, through. Keys and permissions are not involved.",
            ),
        ),
        Story(
            "is quiet at one block, and where the API itself denies",
            {
                **target(
                    up="1x20 0x3 1x100",
                    last_success_timestamp_seconds="0+30x20 600x3 735+30x100",
                ),
                **error("http/blocked", "_x21 1x3 stale"),
                **target(ORGANIZATION, **FAILING),
                **error("http/403", "_x21 1x100", ORGANIZATION),
            },
            {f"{minute}m": 0 for minute in range(1, 40)},
        ),
    ),
    "KrakenCustodyKeyShared": (
        Story(
            "fires at once, and for a quarter of an hour after the evidence has gone",
            {**target(), **one("api_key_shared", {**EXPORTER, **KEY}, "0x10 1x20 0x60")},
            {"5m": 0, "5m30s": 1, "15m": 1, "30m": 1, "31m": 0},
            Message(
                "6m",
                {**EXPORTER, **KEY},
                "Another program uses the key treasury",
                "The API has seen larger nonces from this key than custody exporter exporter:10063 has sent. Give the "
                "exporter a key that nothing else uses. Affected: acme.",
            ),
        ),
        Story(
            "is quiet where there is no evidence",
            one("api_key_shared", {**EXPORTER, **KEY}, "0x40"),
            {"5m": 0, "15m": 0},
        ),
    ),
    "KrakenCustodyDefect": (
        Story(
            "fires at the first, for an hour",
            {
                **one("exporter_build_info", EXPORTER, "1x200"),
                **errors("internal", "_x11 1x160", ""),
            },
            {"5m": 0, "5m30s": 1, "60m": 1, "67m": 0},
            Message(
                "6m",
                EXPORTER,
                "Custody exporter exporter:10063 has a defect",
                "About 1 of its requests within an hour ended in an unexpected error. The log has the traceback; "
                "please report it.",
            ),
        ),
        Story(
            "is quiet at the API's own faults",
            {
                **one("exporter_build_info", EXPORTER, "1x60"),
                **errors("EGeneral:Internal error", "_x11 1+1x40"),
                **errors("response/invalid", "_x11 1+1x40"),
                **errors("internal", "0x50", ""),
            },
            {"6m": 0, "20m": 0},
        ),
    ),
    "KrakenCustodyPermissionDenied": (
        Story(
            "fires 5 minutes after the second refusal",
            {**target(**FAILING), **error("PermissionDenied", "_x21 1x100")},
            {"10m30s": 0, "16m": 0, "16m30s": 1, "40m": 1},
            Message(
                "17m",
                {**VAULT, "type": "PermissionDenied"},
                "acme / hot: permission denied",
                "The API answers every poll with PermissionDenied: it does not know the id, or the key may not view "
                "it. Last read 7m 0s ago.",
            ),
        ),
        Story(
            "is quiet at one refusal, although the next poll comes later",
            {
                **target(
                    up="1x20 0x3 1x60",
                    last_success_timestamp_seconds="0+30x20 600x3 735+30x60",
                ),
                **error("PermissionDenied", "_x21 1x3 stale"),
            },
            {f"{minute}m": 0 for minute in range(1, 30)},
        ),
        Story(
            "is quiet at other failures",
            {**target(**FAILING), **error("gateway/Connect", "_x21 1x100")},
            {"20m": 0, "40m": 0},
        ),
        Story(
            "outlasts a restart",
            {
                **target(**FAILING_RESTARTED),
                **error("PermissionDenied", f"_x21 1x39 {RESTART} _ 1x100"),
            },
            {"29m": 1, "31m": 1, "32m": 1, "33m": 1, "40m": 1},
        ),
    ),
    "KrakenCustodyListFailing": (
        Story(
            "fires after an hour, with what the key may not do",
            {
                **target(
                    LIST,
                    up="1x20 0x200",
                    stale="",
                    last_success_timestamp_seconds="0+30x20 600x200",
                ),
                **error("PermissionDenied", "_x21 1x200", LIST),
            },
            {"60m": 0, "70m30s": 0, "71m30s": 1},
            Message(
                "75m",
                {**EXPORTER, "kind": "vaults", "org": "acme"},
                "acme (vaults): the list cannot be read",
                "New vaults have not been found for more than an hour. The error is PermissionDenied. What is known is "
                "still polled.",
            ),
        ),
        Story(
            "names the key of a list of organizations",
            {
                **target(ORGANIZATIONS, up="0x300", stale="", last_success_timestamp_seconds=""),
                **error("transport/timeout", "1x300", ORGANIZATIONS),
                **target({**ORGANIZATIONS, "credential": "another"}, stale=""),
            },
            {"59m30s": 0, "60m": 1},
            Message(
                "61m",
                ORGANIZATIONS,
                "treasury (organizations): the list cannot be read",
                "New organizations have not been found for more than an hour. The error is transport/timeout. What is "
                "known is still polled.",
            ),
        ),
        Story(
            "is quiet at half an hour, and where the key may not list and need not",
            {
                **target(
                    LIST,
                    up="1x20 0x60 1x200",
                    stale="",
                    last_success_timestamp_seconds="0+30x20 600x60 2430+30x200",
                ),
                **target(ORGANIZATIONS, stale=""),
            },
            {f"{minute}m": 0 for minute in range(1, 130, 3)},
        ),
    ),
    "KrakenCustodyNonceTrouble": (
        Story(
            "fires where nonces go on being refused, and outlasts a restart",
            errors("EAPI:Invalid nonce", f"0x10 1+1x30 {RESTART} 1+1x30"),
            {"5m": 0, "7m30s": 0, "10m": 1, "21m": 1, "23m": 1, "30m": 1},
            Message(
                "10m",
                EXPORTER,
                "Custody exporter exporter:10063: the API refuses nonces",
                "About 10 refused in 15 minutes, or as many targets failing for this reason. The usual cause is "
                "another program with the same key.",
            ),
        ),
        Story(
            "counts the first refusal, with which its series begins",
            {
                **one("exporter_build_info", EXPORTER, "1x60"),
                **errors("EAPI:Invalid nonce", "_x11 1x4 2x4 3x40"),
            },
            {"5m30s": 0, "12m": 0, "12m30s": 1, "19m": 1, "32m": 0},
        ),
        Story(
            "fires where one target fails for nothing else",
            {**target(**FAILING), **error("EAPI:Invalid nonce", "_x21 1x40 stale")},
            {"13m": 0, "13m30s": 1, "39m": 1, "42m": 0},
        ),
        Story(
            "is quiet at a refusal that a new nonce mends",
            errors("EAPI:Invalid nonce", "0x10 1x10 2x40"),
            {"6m": 0, "10m": 0, "12m": 0, "20m": 0},
        ),
    ),
    "KrakenCustodyRateLimited": (
        Story(
            "fires at refusals again and again, and outlasts a restart",
            {
                **errors("EAPI:Rate limit exceeded", f"0x10 1 2 3x10 4x16 {RESTART} 0x20", "429"),
                **one("rate_limit_budget_requests", EXPORTER, "100x90"),
                **one("rate_limit_window_seconds", EXPORTER, "30x90"),
            },
            {"5m30s": 0, "7m": 0, "8m30s": 1, "19m": 1, "20m": 1, "21m": 1},
            Message(
                "9m",
                EXPORTER,
                "Custody exporter exporter:10063 is rate limited",
                "The API refused about 3 requests in 15 minutes, or has accepted none since. All polls pause "
                "meanwhile. The exporter's own budget is 100 requests in 30s, so others use the same address.",
            ),
        ),
        Story(
            "counts the first refusal, with which its series begins",
            {
                **one("exporter_build_info", EXPORTER, "1x60"),
                **errors("EAPI:Rate limit exceeded", "_x11 1x4 2x40", "429"),
            },
            {"5m30s": 0, "9m30s": 0, "10m": 1, "18m": 1, "32m": 0},
        ),
        Story(
            "fires where one refusal silences everything",
            error("EService: Throttled", "_x11 1x20 stale"),
            {"7m": 0, "7m30s": 1, "24m": 1, "27m": 0},
        ),
        Story(
            "is quiet at one refusal and its pause",
            {
                **errors("http/429", "0x10 1x60", "429"),
                **error("http/429", "_x11 1x1 stale"),
            },
            {f"{minute}m": 0 for minute in range(1, 30)},
        ),
    ),
    "KrakenCustodyInvalidRows": (
        Story(
            "fires after 5 minutes and outlasts a restart",
            target(
                invalid_rows=f"0x10 2x30 {RESTART} _ 2x30",
                invalid_fields=f"0x40 {RESTART} _ 0x30",
            ),
            {"5m30s": 0, "10m": 0, "10m30s": 1, "21m": 1, "23m": 1, "30m": 1},
            Message(
                "11m",
                VAULT,
                "acme / hot: answers have invalid rows or fields",
                "The last answer had 2 invalid row(s), which are missing from the metrics, and 0 invalid field(s) in "
                "other rows.",
            ),
        ),
        Story(
            "fires where single fields cannot be read",
            target(invalid_fields="0x10 3x40"),
            {"10m": 0, "10m30s": 1},
            Message(
                "11m",
                VAULT,
                "acme / hot: answers have invalid rows or fields",
                "The last answer had 0 invalid row(s), which are missing from the metrics, and 3 invalid field(s) in "
                "other rows.",
            ),
        ),
        Story(
            "is quiet at one such answer",
            target(invalid_rows="0x10 2x5 0x40", invalid_fields="0x10 1x5 0x40"),
            {f"{minute}m": 0 for minute in range(1, 20)},
        ),
    ),
    "KrakenCustodyTooManySeries": (
        Story(
            "fires after 5 minutes, once for all targets",
            {
                **error("limit/series", "_x11 1x60"),
                **error("limit/series", "_x11 1x60", ORGANIZATION),
                **one("exporter_series", EXPORTER, "500000x80"),
            },
            {"10m": 0, "10m30s": 1},
            Message(
                "11m",
                EXPORTER,
                "Custody exporter exporter:10063 withholds answers: polling.max_series is reached",
                "The balances, tasks or whitelists of 2 target(s) would exceed the limit and are not exported. The "
                "exporter has 500000 series now. No alert about what they hold can fire.",
            ),
        ),
        Story(
            "is quiet at other errors",
            error("response/too_large", "_x11 1x60"),
            {"11m": 0, "20m": 0},
        ),
    ),
    "KrakenCustodyVaultsNotPolled": (
        Story(
            "fires after 10 minutes, with those of all shards once",
            {
                **discovered("shard-0", true="9000x60", false="0x10 3x50"),
                **discovered("shard-1", true="9000x60", false="0x10 4x50"),
                **discovered("a", "pair", true="2000x11 stale", false="0x10 5x1 stale"),
                **discovered("b", "pair", true="_x10 2000x50", false="_x11 5x50"),
            },
            {"15m": 0, "15m30s": 1},
            Message(
                "16m",
                {"job": "kraken-custody", "org": "acme", "org_id": "ACME", "polled": "false"},
                "acme: vaults are not polled",
                "12 vault(s) of this organization that no filter excludes are not polled: more than 20,000 vaults have "
                "been found. Their balances are unknown.",
            ),
        ),
        Story(
            "is quiet where all are polled",
            discovered("shard-0", true="20000x60", false="0x60"),
            {"15m": 0, "20m": 0},
        ),
    ),
    "KrakenCustodyNoVaults": (
        Story(
            "fires where all lists are read and no vault is found, until one is",
            {
                **target(LIST, rows="0x300"),
                **target(ORGANIZATIONS, rows="1x300"),
                **target(ORGANIZATION),
                **target({**VAULT, "kind": "pending_tasks", "vault": ""}),
                **one("target_info", VAULT, "_x60 1x300", id="VHOT"),
            },
            {"14m30s": 0, "15m30s": 1, "30m": 1, "36m": 0},
            Message(
                "16m",
                {"job": "kraken-custody"},
                "The custody exporter polls no vault",
                "All lists are read and 1 exporter(s) of the job kraken-custody poll, but there is no vault among "
                "their targets: the API lists 0 vault(s). No balance alert can fire.",
            ),
        ),
        Story(
            "fires where no organization is found either, and after the last vault has gone",
            {
                **target(ORGANIZATIONS, rows="0x300"),
                **target({**ORGANIZATIONS, "job": "kraken-custody-other"}, rows="1x300"),
                **target({**LIST, "job": "kraken-custody-other"}, rows="1x60 0x240"),
                **one(
                    "target_info", {**VAULT, "job": "kraken-custody-other"}, "1x60 stale", id="V"
                ),
            },
            {"15m30s": 1, "44m": 1, "46m": 2},
        ),
        Story(
            "is quiet where another shard has vaults, and where a process waits for the lease",
            {
                **shards("1x400", "1x400"),
                **target({**LIST, "instance": "shard-0"}),
                **target({**LIST, "instance": "shard-1"}),
                **target(SHARD_0),
                **process("b", "0x400"),
            },
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
        Story(
            "is quiet while a shard with the only vault is missing",
            {
                **shards("1x400", "1x20 stale _x100 1x200"),
                **target({**LIST, "instance": "shard-0"}),
                **target(SHARD_0 | {"instance": "shard-1"}, stale="0x20 stale _x100 0x200"),
            },
            {f"{minute}m": 0 for minute in range(1, 90)},
        ),
        Story(
            "is quiet until lists are read, where discovery is off, and where no balances are collected",
            {
                **target(LIST, last_success_timestamp_seconds="", up="0x400"),
                **target({**ORGANIZATION, "job": "kraken-custody-totals"}),
                **target({**LIST, "job": "kraken-custody-tasks"}),
                **target({**LIST, "job": "kraken-custody-tasks", "kind": "pending_tasks"}),
            },
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
    ),
    "KrakenCustodyNewErrorType": (
        Story(
            "fires for an hour from the first, and a restart makes nothing new",
            errors("SomethingNew", "_x11 1x30 stale _x120 1x40", "502"),
            {"5m": 0, "5m30s": 1, "20m": 1, "90m": 0, "100m": 0},
            Message(
                "6m",
                {"job": "kraken-custody", "type": "SomethingNew"},
                "The custody API failed in a way not seen before: SomethingNew",
                "1 request(s) so far. The exporter does not know this type, and reacts to its HTTP status and message "
                "only.",
            ),
        ),
        Story(
            "is quiet at what the exporter explains",
            {
                **errors("gateway/Connect", "0x10 5x20", "503"),
                **errors("transport/timeout", "0x10 5x20", ""),
                **errors("limit/series", "0x10 5x20"),
                **errors("EAPI:Invalid nonce", "_x10 5x20"),
                **errors("http/502", "_x10 5x20", "502"),
                **errors("http/blocked", "_x10 5x20", "403"),
                **errors("internal", "0x10 5x20", ""),
            },
            {"5m30s": 0, "10m": 0},
        ),
    ),
    "KrakenCustodyVaultVanished": (
        Story(
            "fires 5 minutes after a vault has left the configuration",
            {
                **one("up", EXPORTER, "1x100"),
                **one("target_info", VAULT, "1x20 stale _x39 1x60", id="VHOT"),
                **one("target_info", VAULT, "1x100", id="VCOLD", vault="cold"),
            },
            {"10m": 0, "15m": 0, "15m30s": 1, "30m": 1, "34m": 1, "37m": 0},
            Message(
                "16m",
                {"job": "kraken-custody", "org": "acme", "vault": "hot", "id": "VHOT"},
                "acme / hot: vault is no longer exported",
                "It was exported within the last 6 hours. It has left the configuration. The exporter is up and has 1 "
                "other vault(s).",
            ),
        ),
        Story(
            "says of a vault that was found that the API no longer lists it",
            {
                **one("up", EXPORTER, "1x100"),
                **one("target_info", VAULT, "1x20 stale", id="VHOT"),
                **one(
                    "vault_info",
                    {**ACME, "vault": "hot"},
                    "1x20 stale",
                    vault_id="VHOT",
                    name="Hot",
                    status="archived",
                ),
            },
            {"15m30s": 1},
            Message(
                "16m",
                {"job": "kraken-custody", "org": "acme", "vault": "hot", "id": "VHOT"},
                "acme / hot: vault is no longer exported",
                "It was exported within the last 6 hours. Discovery had found it, as Hot (archived): it has left the "
                "list of vaults of the API (log event vault_gone), or a filter excludes it. The exporter is up and has "
                "0 other vault(s).",
            ),
        ),
        Story(
            "is quiet where a vault is renamed",
            {
                **one("up", EXPORTER, "1x100"),
                **one("target_info", VAULT, "1x20 stale", id="VHOT"),
                **one("target_info", VAULT, "_x20 1x80", id="VHOT", vault="warm"),
            },
            {f"{minute}m": 0 for minute in range(1, 45)},
        ),
        Story(
            "is quiet while an exporter of the job is down",
            {
                **one("up", EXPORTER, "1x20 0x80"),
                **one("target_info", VAULT, "1x20 stale", id="VHOT"),
                **one("up", EXPORTER, "1x100", instance="other:10063"),
                **one(
                    "target_info", VAULT, "1x100", id="VCOLD", instance="other:10063", vault="cold"
                ),
            },
            {"16m": 0, "20m": 0, "45m": 0},
        ),
        Story(
            "is quiet at a restart under another address",
            {
                **one("up", EXPORTER, "1x20 stale"),
                **one("target_info", VAULT, "1x20 stale", id="VHOT"),
                **one("up", EXPORTER, "_x24 1x70", instance="moved:10063"),
                **one("target_info", VAULT, "_x24 1x70", id="VHOT", instance="moved:10063"),
            },
            {f"{minute}m": 0 for minute in range(1, 45)},
        ),
        Story(
            "is quiet until the lists of vaults are read after a restart, and where nobody holds the lease",
            {
                **one("up", EXPORTER, "1x100"),
                **one("target_info", VAULT, f"1x20 {RESTART} _x60", id="VHOT"),
                **one(
                    "target_info", LIST, f"1x20 {RESTART} 1x70", id="ACME", credential="treasury"
                ),
                **one("target_last_success_timestamp_seconds", LIST, "0x20 stale"),
                **process("b", "0x100", job="kraken-custody-pair"),
                **one("up", PAIR_A, "1x100", instance="b", job="kraken-custody-pair"),
                **one(
                    "target_info",
                    {**VAULT, "job": "kraken-custody-pair"},
                    "1x20 stale",
                    id="VHOT",
                    instance="b",
                ),
            },
            {f"{minute}m": 0 for minute in range(1, 45)},
        ),
        Story(
            "is quiet at a takeover with a lost sample, and while a shard is missing",
            {
                **TAKEN_OVER,
                **one("up", PAIR_A, "1x20 0x100"),
                **one("up", PAIR_B, "1x100"),
                **shards("1x100", "1x20 stale"),
                **one("up", EXPORTER, "1x100", job="kraken-custody-shards"),
                **one(
                    "target_info",
                    {**VAULT, "instance": "shard-1", "vault": "cold"},
                    "1x20 stale",
                    id="VCOLD",
                ),
            },
            {f"{minute}m": 0 for minute in range(1, 45)},
        ),
    ),
    "KrakenCustodyAvailableBelowMinimum": (
        Story(
            "fires after 4 minutes, and a failed poll does not end it",
            {
                **target(
                    up="1x40 0x1 1x60",
                    last_success_timestamp_seconds="0+30x40 1200x1 1260+30x60",
                ),
                **asset(available_balance="3x10 1.25x100"),
                **one("vault_min_available_balance", {**EXPORTER, **IDENTITY}, "2x110"),
            },
            {
                "5m30s": 0,
                "9m": 0,
                "9m30s": 1,
                "20m30s": 1,
                "21m": 1,
                "22m": 1,
                "23m": 1,
                "24m": 1,
                "30m": 1,
            },
            Message(
                "10m",
                {"job": "kraken-custody", **IDENTITY},
                "acme / hot / BTC: available balance is below its minimum",
                "1.25 BTC is available; the configured minimum is 2.",
            ),
        ),
        Story(
            "fires where a failed poll comes before it is due",
            {
                **target(up="1x10 1x2 0x1 1x60"),
                **asset(available_balance="3x10 1.25x100"),
                **one("vault_min_available_balance", {**EXPORTER, **IDENTITY}, "2x110"),
            },
            {"9m": 0, "9m30s": 1},
        ),
        Story(
            "fires where the asset is not held at all",
            {
                **target(),
                **one("vault_min_available_balance", {**EXPORTER, **IDENTITY}, "2x110"),
            },
            {"3m30s": 0, "4m": 1},
        ),
        Story(
            "is quiet at exactly the minimum",
            {
                **target(),
                **asset(available_balance="2x100"),
                **one("vault_min_available_balance", {**EXPORTER, **IDENTITY}, "2x110"),
            },
            {"5m": 0, "20m": 0},
        ),
        Story(
            "is quiet where a single answer is followed by an outage, and where nothing is read or rows are left out",
            {
                **target(**OUTAGE),
                **asset(available_balance="3x178 1x11 stale"),
                **one("vault_min_available_balance", {**EXPORTER, **IDENTITY}, "2x280"),
                **target({**VAULT, "vault": "late"}, up="_x400", last_success_timestamp_seconds=""),
                **one(
                    "vault_min_available_balance",
                    {**EXPORTER, **IDENTITY},
                    "2x280",
                    vault="late",
                ),
                **target({**VAULT, "vault": "odd"}, invalid_rows="1x400"),
                **one(
                    "vault_min_available_balance", {**EXPORTER, **IDENTITY}, "2x280", vault="odd"
                ),
            },
            {f"{minute}m": 0 for minute in range(1, 135)},
        ),
        Story(
            "outlasts a restart",
            {
                **target(**RESTARTED),
                **asset(available_balance=f"1x180 {RESTART} _ 1x100"),
                **one(
                    "vault_min_available_balance",
                    {**EXPORTER, **IDENTITY},
                    f"2x180 {RESTART} 2x100",
                ),
            },
            {"90m": 1, "91m": 1, "92m": 1, "93m": 1, "94m": 1, "100m": 1},
        ),
        Story(
            "is quiet at a restart",
            {
                **target(**RESTARTED),
                **asset(available_balance=f"3x180 {RESTART} _ 3x100"),
                **one(
                    "vault_min_available_balance",
                    {**EXPORTER, **IDENTITY},
                    f"2x180 {RESTART} 2x100",
                ),
            },
            {f"{minute}m": 0 for minute in range(80, 110)},
        ),
    ),
    "KrakenCustodyUnexpectedOutflow": (
        Story(
            "fires after 4 minutes, stays for the hour, and a failed poll does not end it",
            {
                **target(up="1x80 0x1 1x300"),
                **asset(balance="100x60 80x300", quote_balance="6500000x60 5200000x300"),
            },
            {
                "30m30s": 0,
                "34m": 0,
                "34m30s": 1,
                "40m30s": 1,
                "41m30s": 1,
                "42m": 1,
                "43m": 1,
                "90m": 1,
                "106m": 0,
            },
            Message(
                "35m",
                WITHOUT_INSTANCE,
                "acme / hot / BTC: balance fell by 20% within an hour",
                "From 100 to 80 BTC, in units of the asset: no price is involved.",
            ),
        ),
        Story(
            "fires where the asset leaves the answer",
            {
                **target(),
                **asset(balance="100x60 stale", quote_balance="6500000x60 stale"),
                **asset({**ASSET, "asset": "ETH"}, balance="9x300"),
            },
            {"30m30s": 0, "34m": 0, "35m": 1, "80m": 1, "120m": 0},
            Message(
                "36m",
                WITHOUT_INSTANCE,
                "acme / hot / BTC: balance fell by 100% within an hour",
                "From 100 to 0 BTC, in units of the asset: no price is involved.",
            ),
        ),
        Story(
            "fires although every second poll fails",
            {
                **target(up="1x62 " + "0 0 1 1 " * 20),
                **asset(balance="100x60 80x300"),
            },
            {"34m": 0, "34m30s": 1, "45m": 1},
        ),
        Story(
            "is quiet at a fall by just the threshold, at a price crash, at dust, and at more where a vault allows it",
            {
                **target(),
                **asset(balance="100x60 90x300", quote_balance="6500000x60 5850000x300"),
                **asset(
                    {**ASSET, "asset": "SOL"},
                    balance="100x300",
                    quote_balance="9000x60 1000x300",
                    quote_price="90x60 10x300",
                ),
                **asset(
                    {**ASSET, "asset": "DOT"},
                    balance="100x60 0x300",
                    quote_balance="999x60 0x300",
                ),
                **target({**VAULT, "vault": "busy"}),
                **asset({**ASSET, "vault": "busy"}, balance="100x60 60x300"),
                'kraken_custody:threshold:outflow_ratio{org="acme",vault="busy"}': "0.5x400",
            },
            {f"{minute}m": 0 for minute in range(30, 60)},
        ),
        Story(
            "is quiet at an outage of the API, also where its last answers were wrong, and after it",
            {
                **target(
                    up="1x180 0x40 1x100",
                    stale="0x190 1x30 0x100",
                    last_success_timestamp_seconds="0+30x180 5400x40 6630+30x100",
                ),
                **asset(balance="100x190 stale _x29 100x100"),
                **asset({**ASSET, "asset": "ETH"}, balance="100x178 0x11 stale _x29 100x100"),
                **asset({**ASSET, "asset": "SOL"}, balance="100x178 stale _x40 100x100"),
            },
            {f"{minute}m": 0 for minute in range(80, 150)},
        ),
        Story(
            "is quiet where a paused key lets balances grow stale while the target is not polled",
            {
                **target(
                    stale="0x190 1x90",
                    last_success_timestamp_seconds="0+30x180 5400x100",
                ),
                **asset(balance="100x190 stale"),
            },
            {f"{minute}m": 0 for minute in range(80, 135)},
        ),
        Story(
            "is quiet where a row is left out, and where the vault is given another id or name",
            {
                **target(invalid_rows="0x60 1x200"),
                **asset(balance="100x60 stale"),
                **target({**VAULT, "vault": "other"}),
                **asset({**ASSET, "vault": "other"}, balance="100x60 stale"),
                **asset({**ASSET, "vault": "other", "vault_id": "VNEW"}, balance="_x61 3x200"),
                **target({**VAULT, "vault": "old"}, up="1x60 stale", stale="0x60 stale"),
                **asset({**ASSET, "vault": "old"}, balance="100x60 stale"),
                **target({**VAULT, "vault": "new"}, up="_x61 1x200", stale="_x61 0x200"),
                **asset({**ASSET, "vault": "new"}, balance="_x61 100x200"),
            },
            {f"{minute}m": 0 for minute in range(30, 60)},
        ),
        Story(
            "sees what leaves a vault together with its name",
            {
                **target(vault_id="VHOT", up="1x60 stale", stale="0x60 stale"),
                **asset(balance="100x60 stale", quote_balance="6500000x60 stale"),
                **asset({**ASSET, "asset": "SOL"}, balance="9x60 stale"),
                **target(WARM, vault_id="VHOT", up="_x61 1x300", stale="_x61 0x300"),
                **asset(OF_WARM, balance="_x61 20x300", quote_balance="_x61 9x300"),
                **asset({**OF_WARM, "asset": "SOL"}, balance="_x61 9x300"),
            },
            {"30m30s": 0, "34m": 0, "35m30s": 1, "80m": 1, "110m": 0},
            Message(
                "36m",
                {**WITHOUT_INSTANCE, "vault": "warm"},
                "acme / warm / BTC: balance fell by 80% within an hour",
                "From 100 to 20 BTC, in units of the asset: no price is involved.",
            ),
        ),
        Story(
            "sees an asset that leaves the answer when the vault gets another name",
            {
                **target(vault_id="VHOT", up="1x60 stale", stale="0x60 stale"),
                **asset(balance="100x60 stale"),
                **target(WARM, vault_id="VHOT", up="_x61 1x300", stale="_x61 0x300"),
            },
            {"30m30s": 0, "34m": 0, "36m": 1, "80m": 1, "110m": 0},
        ),
        Story(
            "is quiet where vaults swap their names",
            {
                **target(vault_id="VHOT"),
                **target(WARM, vault_id="VWARM"),
                **asset(balance="100x60 stale"),
                **asset({**OF_WARM, "vault_id": "VWARM"}, balance="9x60 stale"),
                **asset({**ASSET, "vault_id": "VWARM"}, balance="_x61 9x300"),
                **asset(OF_WARM, balance="_x61 100x300"),
            },
            {f"{minute}m": 0 for minute in range(30, 110)},
        ),
        Story(
            "is quiet at a restart",
            {
                **target(**RESTARTED),
                **asset(balance=f"100x180 {RESTART} _ 100x100"),
            },
            {f"{minute}m": 0 for minute in range(85, 110)},
        ),
        Story(
            "stays for a quarter of an hour after its target begins to fail",
            {
                **target(**OUTAGE),
                **asset(balance="100x120 80x69 stale"),
            },
            {"64m": 0, "64m30s": 1, "92m": 1, "95m": 1, "106m30s": 1, "109m": 0},
        ),
        Story(
            "sees an outflow during a restart under another address",
            {
                **target(up="1x60 stale", stale="0x60 stale"),
                **asset(balance="100x60 stale"),
                **target({**VAULT, "instance": "moved:10063"}, up="_x64 1x200", stale="_x64 0x200"),
                **asset({**ASSET, "instance": "moved:10063"}, balance="_x64 10x200"),
            },
            {"32m": 0, "35m30s": 0, "36m": 1},
        ),
    ),
    "KrakenCustodyApprovalWaiting": (
        Story(
            "fires after four hours, whatever is approved meanwhile, until the oldest task is through",
            one("pending_task_oldest_timestamp_seconds", TASKS | INSTANCE, "0x140 stale 16200x200"),
            {"240m": 0, "246m": 1, "280m": 1, "300m": 0},
            Message(
                "246m",
                TASKS,
                "acme / hot: request_withdrawal waits for approval",
                "The oldest such task has waited for 4h 6m 0s.",
            ),
            interval="2m",
        ),
        Story(
            "is quiet where tasks are approved in time",
            one("pending_task_oldest_timestamp_seconds", TASKS | INSTANCE, "0+1800x300"),
            {f"{minute}m": 0 for minute in range(0, 600, 60)},
        ),
    ),
    "KrakenCustodyApprovalExpiring": (
        Story(
            "fires in the last hour before a task expires, and not once none waits",
            one(
                "pending_task_next_expiry_timestamp_seconds",
                TASKS | INSTANCE,
                "7200x180 stale",
            ),
            {"58m": 0, "64m": 1, "88m": 1, "96m": 0},
            Message(
                "64m",
                TASKS,
                "acme / hot: request_withdrawal expires without approval",
                "A task that waits expires in 56m 0s.",
            ),
        ),
        Story(
            "is quiet while there is time",
            one("pending_task_next_expiry_timestamp_seconds", TASKS | INSTANCE, "7200+30x300"),
            {"60m": 0, "120m": 0},
        ),
    ),
    "KrakenCustodyApprovalsPilingUp": (
        Story(
            "fires after half an hour with more than ten tasks of a kind",
            {
                **one("pending_tasks", TASKS | INSTANCE, "11x120 0x100"),
                **one("pending_tasks", TASKS | INSTANCE | {"vault": "cold"}, "10x220"),
            },
            {"28m": 0, "32m": 1, "60m": 1, "80m": 0},
            Message(
                "32m",
                TASKS,
                "acme / hot: many tasks of type request_withdrawal wait",
                "11 tasks wait for approval.",
            ),
        ),
        Story(
            "is quiet where they are through within half an hour",
            one("pending_tasks", TASKS | INSTANCE, "11x50 0x10 11x50"),
            {"29m": 0, "40m": 0, "55m": 0},
        ),
    ),
    "KrakenCustodyWhitelistAddition": (
        Story(
            "fires when addresses were added, and a restart is no addition",
            whitelist(
                additions=f"0x300 2x300 {RESTART} 0x300", addresses=f"5x300 7x300 {RESTART} 7x300"
            ),
            {"149m": 0, "151m": 1, "260m": 1, "340m": 0, "400m": 0},
            Message(
                "151m",
                WHITELIST,
                "acme / hot: an address was added to the whitelist",
                "New addresses seen within two hours: 2.",
            ),
        ),
        Story(
            "fires within two hours of a start",
            whitelist(additions="0x118 1x300", addresses="5x118 6x300"),
            {"59m": 0, "61m": 1},
        ),
        Story(
            "fires where an address replaced another",
            whitelist(additions="0x300 1x300", addresses="5x600"),
            {"149m": 0, "151m": 1},
        ),
        Story(
            "fires where an address was added while the exporter was down, also for hours",
            {
                **whitelist(additions=f"3x300 {RESTART} 0x400", addresses=f"5x300 {RESTART} 6x400"),
                **whitelist(
                    {"vault": "cold"},
                    additions="3x300 stale _x300 0x400",
                    addresses="5x300 stale _x300 6x400",
                ),
            },
            {"150m": 0, "152m": 1, "272m": 1, "303m": 2, "335m": 1, "500m": 0},
            Message(
                "152m",
                WHITELIST,
                "acme / hot: an address was added to the whitelist",
                "New addresses seen within two hours: 1.",
            ),
        ),
        Story(
            "fires where an address replaced another while nothing was recorded for hours",
            {
                **whitelist(additions="3x300 _x400 4x400", addresses="5x300 _x400 5x400"),
                **whitelist({"vault": "cold"}, additions="3x300 _x400 3x400", addresses="5x1100"),
            },
            {"300m": 0, "354m": 1, "468m": 1, "535m": 0},
        ),
        Story(
            "is quiet where nothing is added, at a restart under another address, and where a row is rejected",
            {
                **whitelist(additions=f"5x100 {RESTART} 0x400", addresses=f"9x100 {RESTART} 9x400"),
                **whitelist({"vault": "moved"}, additions="5x100 stale", addresses="9x100 stale"),
                **whitelist(
                    {"vault": "moved", "instance": "moved:10063"},
                    additions="_x104 0x400",
                    addresses="_x104 9x400",
                ),
                **whitelist({"vault": "odd"}, additions="0x500", addresses="9x100 8x100 9x300"),
                **one(
                    "target_invalid_rows",
                    {**VAULT, "kind": "whitelist", "vault": "odd"},
                    "0x100 1x100 0x300",
                ),
            },
            {f"{minute}m": 0 for minute in range(1, 250, 3)},
        ),
    ),
    "KrakenCustodyHoldNotClearing": (
        Story(
            "fires after 6 hours, and a restart does not start them anew",
            {
                **target(
                    up="1x90 stale 1x200", stale="0x300", last_success_timestamp_seconds="0+120x300"
                ),
                **asset(hold_balance="0.75x90 stale 0.5x40 0.75x160"),
            },
            {"360m": 0, "366m": 0, "372m": 1, "380m": 1},
            Message(
                "380m",
                WITHOUT_INSTANCE,
                "acme / hot / BTC: a hold does not clear",
                "At least 0.5 BTC has been on hold for 6 hours without a break.",
            ),
            interval="2m",
        ),
        Story(
            "stays for a quarter of an hour after its target begins to fail",
            {
                **target(up="1x190 0x30", stale="0x300"),
                **asset(hold_balance="0.5x300"),
            },
            {"380m": 1, "400m": 1, "408m": 0},
            interval="2m",
        ),
        Story(
            "is quiet where there was a moment without, where the hold is gone, and where it is not known",
            {
                **target({**VAULT, "vault": "lost"}, up="1x175 0x100", stale="0x300"),
                **asset({**ASSET, "vault": "lost"}, hold_balance="0.5x178 stale"),
                **target(up="1x300", stale="0x300", last_success_timestamp_seconds="0+120x300"),
                **asset(hold_balance="0.5x20 0 0.5x280"),
                **asset({**ASSET, "asset": "ETH"}, hold_balance="0.5x178 0x100"),
            },
            {f"{minute}m": 0 for minute in range(340, 420, 10)},
            interval="2m",
        ),
    ),
    "KrakenCustodyShareUnusual": (
        Story(
            "fires after 15 minutes where something is unstaked, and outlasts a restart",
            {
                **target(**RESTARTED),
                **asset(
                    balance=f"100x180 {RESTART} _ 100x100",
                    staked_balance=f"80x120 20x59 {RESTART} _ 20x100",
                ),
            },
            {"60m30s": 0, "75m": 0, "75m30s": 1, "91m": 1, "93m": 1, "100m": 1},
            Message(
                "76m",
                {**WITHOUT_INSTANCE, "component": "staked"},
                "acme / hot / BTC: staked share is unusual",
                "It differs from its mean of the last day by -47.76% of the balance, and is now 20%.",
            ),
        ),
        Story(
            "fires where something is pledged",
            {
                **target(),
                **asset(balance="100x300", pledged_balance="0x60 30x200"),
            },
            {"45m": 0, "45m30s": 1},
        ),
        Story(
            "stays for a quarter of an hour after its target begins to fail",
            {
                **target(**OUTAGE),
                **asset(balance="100x190 stale", staked_balance="80x120 20x69 stale"),
            },
            {"75m": 0, "75m30s": 1, "95m": 1, "106m30s": 1, "109m": 0},
        ),
        Story(
            "is quiet at a small change, and at an outage",
            {
                **target(**OUTAGE),
                **asset(
                    balance="100x190 stale",
                    staked_balance="80x120 71x69 stale",
                    pledged_balance="0x178 50x11 stale",
                ),
            },
            {f"{minute}m": 0 for minute in range(60, 135)},
        ),
    ),
    "KrakenCustodyQuotePriceMissing": (
        Story(
            "fires after 15 minutes and outlasts a restart",
            {
                **target(**RESTARTED),
                **asset(
                    balance=f"100x180 {RESTART} _ 100x100",
                    quote_price="65000x120 stale",
                ),
            },
            {"60m30s": 0, "75m": 0, "75m30s": 1, "91m": 1, "93m": 1, "110m": 1},
            Message(
                "80m",
                WITHOUT_INSTANCE,
                "acme / hot / BTC: asset no longer has a quote price",
                "100 BTC is held without a price; sums in the quote asset leave it out.",
            ),
        ),
        Story(
            "is quiet where there never was a price, at a short gap, and at an outage",
            {
                **target(**OUTAGE),
                **asset({**ASSET, "asset": "NOVA"}, balance="900000x190 stale"),
                **asset(balance="100x190 stale", quote_price="65000x60 stale _x20 65000x108 stale"),
            },
            {f"{minute}m": 0 for minute in range(1, 135)},
        ),
    ),
    "KrakenCustodyQuotePriceStill": (
        Story(
            "fires after 6 hours and a half while others move, until the price moves, and outlasts a restart",
            {
                **target(up="1x220 stale 1x400", stale="0x220 stale 0x400"),
                **prices(
                    BTC="65000+1x220 stale 65300+1x400",
                    ETH="3000+1x220 stale 3300+1x400",
                    SOL="150x220 stale 150x40 151x400",
                    DOT="6+0.01x230 8.3x400",
                ),
            },
            {"380m": 0, "394m": 1, "442m": 1, "444m": 1, "500m": 1, "530m": 1, "560m": 0},
            Message(
                "400m",
                {
                    "job": "kraken-custody",
                    "asset": "SOL",
                    "asset_class": "currency",
                    "quote_asset": "USD",
                },
                "SOL: quote price does not change",
                "It has been 150 USD for 6 hours, while 3 other prices of its class changed. Holdings in 1 vault(s) "
                "are valued with it.",
            ),
            interval="2m",
        ),
        Story(
            "is quiet where the whole market is: prices that change a few times do not move",
            {
                **target(up="1x400", stale="0x400"),
                **prices(
                    BTC="65000+1x400",
                    ETH="3000x100 3001x100 3002x200",
                    SOL="150x400",
                    DOT="6x400",
                ),
            },
            {f"{minute}m": 0 for minute in range(360, 700, 20)},
            interval="2m",
        ),
        Story(
            "compares an asset with those of its own class: shares stand still on a weekend, and one alone does not",
            {
                **target(up="1x400", stale="0x400"),
                **prices(BTC="65000+1x400", ETH="3000+1x400", SOL="150+1x400", DOT="6+1x400"),
                **prices(
                    {**ASSET, "asset_class": "tokenised_asset"},
                    AAPLx="230x200 230+0.1x200",
                    NVDAx="180x200 180+0.1x200",
                    SPYx="600x400",
                ),
            },
            {**{f"{minute}m": 0 for minute in range(360, 440, 20)}, "600m": 1},
            Message(
                "600m",
                {
                    "job": "kraken-custody",
                    "asset": "SPYx",
                    "asset_class": "tokenised_asset",
                    "quote_asset": "USD",
                },
                "SPYx: quote price does not change",
                "It has been 600 USD for 6 hours, while 2 other prices of its class changed. Holdings in 1 vault(s) "
                "are valued with it.",
            ),
            interval="2m",
        ),
        Story(
            "is quiet at stablecoins, at the quote asset, at what nobody holds, and with one other price",
            {
                **target(up="1x400", stale="0x400"),
                **prices(BTC="65000+1x400", ETH="3000+1x400", USDC="0.9998x400", USD="1x400"),
                **prices(held="0x400", LUNA2="0.3x400"),
                **target({**VAULT, "instance": "other:10063", "job": "kraken-custody-other"}),
                **prices(
                    {**ASSET, "instance": "other:10063", "job": "kraken-custody-other"},
                    BTC="65000+1x400",
                    SOL="150x400",
                ),
            },
            {f"{minute}m": 0 for minute in range(360, 700, 20)},
            interval="2m",
        ),
        Story(
            "is quiet at a start, where a vault is not read for an hour, and where it is read every few hours",
            {
                **target(up="1x400", stale="0x400"),
                **prices(BTC="65000+1x400", ETH="3000+1x400", DOT="6+1x400"),
                **prices(held="_x100 1x300", NOVA="_x100 2x170 3+0.1x130"),
                **target({**VAULT, "vault": "lost"}, up="1x150 0x40 1x210", stale="0x400"),
                **prices({**ASSET, "vault": "lost"}, SOL="150x230 151+1x170"),
                **target(
                    {**VAULT, "vault": "cold"},
                    up="1x400",
                    stale="0x400",
                    refresh_interval_seconds="14400x400",
                ),
                **prices({**ASSET, "vault": "cold"}, ADA="0.5x400"),
            },
            {f"{minute}m": 0 for minute in range(10, 700, 20)},
            interval="2m",
        ),
    ),
    "KrakenCustodyLedgerMismatch": (
        Story(
            "fires after an hour of difference, and not where the ledger follows in time",
            {
                **target(),
                **asset(balance="10x20 9.5x300"),
                **asset({**ASSET, "asset": "ETH"}, balance="100x20 80x300"),
                **asset({**ASSET, "asset": "DOT"}, balance="0x320"),
                **ledger(BTC="10x320", ETH="100x120 80x200", SOL="0x320"),
            },
            {"69m": 0, "71m": 1, "120m": 1},
            Message(
                "80m",
                {"org": "acme", "vault": "hot", "asset": "BTC"},
                "acme / hot / BTC: balance and ledger do not agree",
                "The vault has -0.5 BTC compared with the ledger.",
            ),
        ),
        Story(
            "fires where the ledger lacks an asset, and leaves out vaults that it does not have",
            {
                **target(),
                **asset(balance="10x320"),
                **asset({**ASSET, "asset": "ETH"}, balance="3x320"),
                **target({**VAULT, "vault": "cold"}),
                **asset({**ASSET, "vault": "cold"}, balance="7x320"),
                **ledger(BTC="10x320"),
            },
            {"59m": 0, "61m": 1},
            Message(
                "70m",
                {"org": "acme", "vault": "hot", "asset": "ETH", "missing": "ledger"},
                "acme / hot / ETH: balance and ledger do not agree",
                "The vault has 3 ETH, and the ledger has no entry for it.",
            ),
        ),
        Story(
            "fires where a vault lacks an asset of the ledger",
            {
                **target(),
                **asset(balance="10x320"),
                **ledger(BTC="10x320", SOL="42.5x320"),
            },
            {"59m": 0, "61m": 1},
            Message(
                "70m",
                {"org": "acme", "vault": "hot", "asset": "SOL", "missing": "kraken"},
                "acme / hot / SOL: balance and ledger do not agree",
                "The ledger has 42.5 SOL, and the vault has no such asset.",
            ),
        ),
        Story(
            "fires where the ledger calls a vault by another name",
            {
                **one("up", EXPORTER, "1x320"),
                **target(),
                **asset(balance="10x320"),
                **ledger("HOT", BTC="10x320"),
            },
            {"59m": 0, "61m": 1},
            Message(
                "70m",
                {"org": "acme", "vault": "HOT", "asset": "BTC", "missing": "vault"},
                "acme / HOT / BTC: balance and ledger do not agree",
                "The ledger has 10 BTC, and no vault of this name is polled.",
            ),
        ),
        Story(
            "is quiet within the threshold, at one failed poll, while a vault is not read, and without a ledger",
            {
                **target(up="1x40 0x2 1x278"),
                **asset(balance="10x320"),
                **target({**VAULT, "vault": "odd"}, invalid_rows="1x320"),
                **asset({**ASSET, "vault": "odd"}, balance="10x320"),
                **target({**VAULT, "vault": "lost"}, **OUTAGE),
                **asset({**ASSET, "vault": "lost"}, balance="10x190 stale"),
                **asset({**ASSET, "vault": "cold"}, balance="7x320"),
                **ledger(BTC="10.0005x320"),
                **ledger("odd", BTC="10x320", ETH="1x320"),
                **ledger("lost", BTC="10x320"),
            },
            {f"{minute}m": 0 for minute in range(1, 160, 3)},
        ),
        Story(
            "is quiet where the exporter is down, and outlasts a restart of it",
            {
                **one("up", EXPORTER, "1x200 0x100"),
                **target(up=f"1x150 {RESTART} 1x46 stale", stale=f"0x150 {RESTART} 0x46 stale"),
                **asset(balance=f"10x150 {RESTART} 10x46 stale"),
                **asset({**ASSET, "asset": "ETH"}, balance=f"3x150 {RESTART} 3x46 stale"),
                **ledger(BTC="10x320", ETH="2x320"),
            },
            {"59m": 0, "61m": 1, "76m": 1, "78m": 1, "90m": 1, "130m": 0, "159m": 0},
        ),
    ),
    "KrakenCustodyTotalDrift": (
        Story(
            "fires after 15 minutes where the total grows by itself, and outlasts a restart",
            {
                **target(**RESTARTED),
                **target(ORGANIZATION, **{**RESTARTED, "invalid_rows": ""}),
                **asset(quote_balance=f"600x180 {RESTART} _ 600x100"),
                **one(
                    "organization_quote_balance",
                    TOTAL,
                    f"1000x120 1200x59 {RESTART} _ 1200x100",
                ),
            },
            {"60m30s": 0, "75m": 0, "75m30s": 1, "91m": 1, "93m": 1, "100m": 1},
            Message(
                "76m",
                {"job": "kraken-custody", "org": "acme", "quote_asset": "USD"},
                "acme: total and sum of vaults drift apart",
                "The difference has changed by 10% of the total, or the vaults exceed the total by this much. "
                "The vaults now add up to 50% of it.",
            ),
        ),
        Story(
            "fires where the vaults have more than the total",
            {
                **target(),
                **target(ORGANIZATION, invalid_rows=""),
                **asset(quote_balance="1030x100"),
                **one("organization_quote_balance", TOTAL, "1000x100"),
            },
            {"14m30s": 0, "15m": 1},
        ),
        Story(
            "stays for a quarter of an hour after a target begins to fail",
            {
                **target(**OUTAGE),
                **target(ORGANIZATION, invalid_rows=""),
                **asset(quote_balance="600x190 stale"),
                **one("organization_quote_balance", TOTAL, "1000x120 1200x200"),
            },
            {"75m": 0, "75m30s": 1, "95m": 1, "106m30s": 1, "109m": 0},
        ),
        Story(
            "is quiet while a vault is not read, and where one is added",
            {
                **target(**OUTAGE),
                **target({**VAULT, "vault": "cold"}),
                **asset({**ASSET, "vault": "cold"}, quote_balance="400x300"),
                **target(ORGANIZATION, invalid_rows=""),
                **asset(quote_balance="600x190 stale"),
                **one("organization_quote_balance", TOTAL, "1000x300"),
                **target({**VAULT, "org": "beta"}),
                **target({**ORGANIZATION, "org": "beta"}, invalid_rows=""),
                **asset({**ASSET, "org": "beta"}, quote_balance="600x300"),
                **target(
                    {**VAULT, "org": "beta", "vault": "cold"}, up="_x60 1x300", stale="_x60 0x300"
                ),
                **asset({**ASSET, "org": "beta", "vault": "cold"}, quote_balance="_x60 400x300"),
                **one(
                    "organization_quote_balance",
                    {**TOTAL, "org": "beta", "org_id": "BETA"},
                    "1000x300",
                ),
            },
            {f"{minute}m": 0 for minute in range(1, 135)},
        ),
        Story(
            "is quiet where the worth of a holding cannot be read",
            {
                **target(invalid_fields="0x60 1x100"),
                **target(ORGANIZATION, invalid_rows=""),
                **asset(quote_balance="600x60 stale"),
                **asset({**ASSET, "asset": "ETH"}, quote_balance="400x160"),
                **one("organization_quote_balance", TOTAL, "1000x160"),
            },
            {f"{minute}m": 0 for minute in range(1, 75)},
        ),
        Story(
            "is quiet where the market moves between two polls",
            {
                **target(),
                **target(ORGANIZATION, invalid_rows=""),
                **asset(quote_balance="1000 1012 1000 990 " * 40),
                **one("organization_quote_balance", TOTAL, "1000x180"),
            },
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
        Story(
            "is quiet where the vaults tell of a large transfer sooner than the total",
            {
                **target(),
                **target(ORGANIZATION, invalid_rows=""),
                **asset(quote_balance="1000x20 400x180"),
                **one("organization_quote_balance", TOTAL, "1000x22 400x178"),
            },
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
        Story(
            "adds up shards, and is quiet while one is missing and after it",
            {
                **shards("1x400", "1x180 stale _x40 1x100"),
                **target(SHARD_0, stale="0x400"),
                **target({**ORGANIZATION, "instance": "shard-0"}, invalid_rows=""),
                **one("organization_quote_balance", {**TOTAL, "instance": "shard-0"}, "1000x400"),
                **asset({**ASSET, "instance": "shard-0"}, quote_balance="600x400"),
                **target(
                    {**SHARD_0, "instance": "shard-1", "vault": "cold"},
                    up="1x180 stale _x40 1x100",
                    stale="0x180 stale _x40 0x100",
                    last_success_timestamp_seconds="0+30x180 stale _x40 6630+30x100",
                    invalid_rows="0x180 stale _x40 0x100",
                ),
                **asset(
                    {**ASSET, "instance": "shard-1", "vault": "cold"},
                    quote_balance="400x180 stale _x40 400x100",
                ),
            },
            {f"{minute}m": 0 for minute in range(1, 160, 2)},
        ),
        Story(
            "still fires within hours of a shard's absence",
            {
                **shards("1x400", "1x100 stale _x40 1x300"),
                **target(SHARD_0, stale="0x400"),
                **target({**ORGANIZATION, "instance": "shard-0"}, invalid_rows=""),
                **one(
                    "organization_quote_balance",
                    {**TOTAL, "instance": "shard-0"},
                    "1000x240 1500x200",
                ),
                **asset({**ASSET, "instance": "shard-0"}, quote_balance="600x400"),
                **target(
                    {**SHARD_0, "instance": "shard-1", "vault": "cold"},
                    up="1x100 stale _x40 1x300",
                    stale="0x100 stale _x40 0x300",
                    last_success_timestamp_seconds="0+30x100 stale _x40 4230+30x300",
                    invalid_rows="0x100 stale _x40 0x300",
                ),
                **asset(
                    {**ASSET, "instance": "shard-1", "vault": "cold"},
                    quote_balance="400x100 stale _x40 400x300",
                ),
            },
            {"119m": 0, "140m": 1},
        ),
        Story(
            "is quiet at a takeover, whether Prometheus knows both processes for a moment or a sample is lost",
            {
                **TAKEN_OVER,
                **target(
                    {**ORGANIZATION, "instance": "a"},
                    up="1x21 stale",
                    stale="0x21 stale",
                    invalid_rows="",
                ),
                **target(
                    {**ORGANIZATION, "instance": "b"},
                    up="_x20 1x100",
                    stale="_x20 0x100",
                    invalid_rows="",
                ),
                **one("organization_quote_balance", {**TOTAL, "instance": "a"}, "1000x21 stale"),
                **one("organization_quote_balance", {**TOTAL, "instance": "b"}, "_x20 1000x100"),
                **asset({**ASSET, "instance": "a"}, quote_balance="1000x21 stale"),
                **asset({**ASSET, "instance": "b"}, quote_balance="_x20 1000x100"),
            },
            {f"{minute}m": 0 for minute in range(1, 60)},
        ),
    ),
}
