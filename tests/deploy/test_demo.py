"""The demo's portfolio, mishaps included, sets off no alert except for the vaults that it archives."""

from collections import defaultdict
from pathlib import Path
from typing import Final

from exporter.simulator.demonstration import SEED, THRESHOLDS
from exporter.simulator.mishaps import demo_timetables
from exporter.simulator.portfolio import Portfolio, compact, demo_portfolio, living_portfolio
from tests.deploy.rules import Story, run
from tests.deploy.stories import EXPORTER, one

MINUTES: Final = 100
STEP: Final = 60
BEGINNING: Final = 1_772_366_400  # 2026-03-01 12:00 UTC
FIELDS: Final = {
    "balance": "vault_balance",
    "hold": "vault_hold_balance",
    "available": "vault_available_balance",
    "staked": "vault_staked_balance",
    "pledged": "vault_pledged_balance",
    "quote_balance": "vault_quote_balance",
    "quote_price": "vault_quote_price",
}


class Recording:
    """Samples as they would be scraped; a step without a sample has none."""

    def __init__(self) -> None:
        self._values: defaultdict[str, list[str]] = defaultdict(list)
        self._steps = 0

    def step(self, samples: dict[str, str]) -> None:
        for series in self._values.keys() - samples.keys():
            self._values[series].append("stale")
        for series, value in samples.items():
            values = self._values[series]
            values += ["_"] * (self._steps - len(values))
            values.append(value)
        self._steps += 1

    def series(self) -> dict[str, str]:
        return {series: " ".join(values) for series, values in self._values.items()}


def balances(portfolio: Portfolio, target: str, now: int) -> dict[str, str]:
    """Return the balance samples of an organization or vault."""
    for organization in portfolio.organizations:
        if compact(organization.id) == target:
            balance = portfolio.organization_balance(target, now)["balance"]
            assert isinstance(balance, dict)
            labels = {"org": organization.name, "org_id": target, "quote_asset": "USD"}
            return one("organization_quote_balance", {**EXPORTER, **labels}, balance["total"])
        for vault in organization.vaults:
            if vault.id == target:
                labels = {"org": organization.name, "vault": vault.name, "vault_id": vault.id}
                return {
                    series: value
                    for row in portfolio.vault_rows(target, now, full_precision=True)
                    for field, name in FIELDS.items()
                    if row.get(field) is not None
                    for series, value in one(
                        name,
                        {
                            **EXPORTER,
                            **labels,
                            "asset": str(row["asset"]),
                            "asset_class": str(row["asset_class"]),
                            **({"quote_asset": "USD"} if name.startswith("vault_quote") else {}),
                        },
                        str(row[field]),
                    ).items()
                }
    raise AssertionError(target)


def recorded(beginning: int) -> dict[str, str]:
    """Return the demo's series, read every minute, each with the failures it has at that time."""
    portfolio = living_portfolio(SEED)
    timetables = demo_timetables(demo_portfolio(SEED), SEED)
    targets = {
        compact(organization.id): ("organization", organization.name, "")
        for organization in portfolio.organizations
    } | {
        vault.id: ("vault", organization.name, vault.name)
        for organization in portfolio.organizations
        for vault in organization.vaults
    }
    vaults = [vault for organization in portfolio.organizations for vault in organization.vaults]
    recording, held, read_at = Recording(), dict[str, dict[str, str]](), dict[str, int]()
    for at in range(0, MINUTES * 60, STEP):
        samples = one("rate_limit_demand_ratio", EXPORTER, "0.1") | one("up", EXPORTER, "1")
        gone = {vault.id for vault in vaults if not vault.is_listed(beginning + at)}
        for target, (kind, organization, vault) in targets.items():
            if target in gone:
                held.pop(target, None)
                read_at.pop(target, None)
                continue
            labels = {**EXPORTER, "kind": kind, "org": organization, "vault": vault}
            mishap = next(
                (m for table in timetables if (m := table.at(beginning + at, target))), None
            )
            if mishap is None:
                held[target], read_at[target] = balances(portfolio, target, beginning + at), at
            else:
                samples |= one("target_error", labels, "1", type=mishap.name)
            samples |= held.get(target, {})
            samples |= one("target_up", labels, str(int(mishap is None)))
            samples |= one("target_stale", labels, "0")
            samples |= one("target_info", labels, "1", id=target, credential="treasury")
            samples |= one("target_refresh_interval_seconds", labels, str(STEP))
            if target in read_at:
                samples |= one(
                    "target_last_success_timestamp_seconds", labels, str(read_at[target])
                )
            for asset, least in THRESHOLDS.get(vault, {}).items():
                inside = {"org": organization, "vault": vault, "vault_id": target, "asset": asset}
                samples |= one("vault_min_available_balance", {**EXPORTER, **inside}, least)
        recording.step(samples)
    return recording.series()


def halved(values: str) -> str:
    """Return the values of a series that loses half of what it has after an hour."""
    steps = values.split(" ")
    return " ".join(
        value if step < 3600 // STEP or value in ("_", "stale") else str(float(value) / 2)
        for step, value in enumerate(steps)
    )


def test_no_alert_but_for_archived_vaults_fires_on_the_demo_until_something_goes_wrong(
    tmp_path: Path,
) -> None:
    series = recorded(BEGINNING)
    assert any("target_error" in name for name in series)
    calm = Story(
        "the demo", series, {f"{minute}m": 0 for minute in range(5, MINUTES, 5)}, interval="1m"
    )
    (victim,) = (
        name
        for name in series
        if name.startswith("kraken_custody_vault_balance{")
        and 'vault="cold-archive"' in name
        and 'asset="BTC"' in name
    )
    robbed = Story(
        "the demo with a loss",
        {**series, victim: halved(series[victim])},
        {"55m": 0, "63m": 0, "67m": 1, "90m": 1},
        interval="1m",
    )
    # Both vaults that come and go have gone by then.
    gone = Story("the demo's archived vaults", series, {"5m": 0, "45m": 2}, interval="1m")
    run([("KrakenCustody[^V].*", calm)], tmp_path)
    run([("KrakenCustodyVaultVanished", gone)], tmp_path)
    run([("KrakenCustodyUnexpectedOutflow", robbed)], tmp_path)
