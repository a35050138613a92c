"""The documented revisions of the API, as data: what each accepts and how it answers.

Source: Kraken's pages of 2026 in the order of their content. What no page shows is marked as assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from exporter.simulator.holdings import QUOTE_ASSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision, by what differs from the others.

    envelope: lists come as `{"result": [...], "quote_asset": ...}`, and rows do not name the quote asset, rather than
        as a bare array.
    staked: rows of assets have that part.
    rounding: amounts are rounded to the funding decimals unless `full_precision=true`.
    assets: query parameters of "List vault asset balances".
    vaults: query parameters of "List vaults", except those of the page.
    organization: the name of an organization's id in queries and answers.
    vault_balance: the end of the path of "Get vault balance".
    quote_is_required: whether that needs `quote_asset`.
    rfc3339: times are in that format rather than text of Unix seconds.
    """

    envelope: bool
    staked: bool
    rounding: bool
    assets: frozenset[str]
    vaults: frozenset[str]
    organization: str
    vault_balance: str
    quote_is_required: bool
    rfc3339: bool

    def vault_rows(self, rows: Sequence[Mapping[str, object]]) -> object:
        """Return the answer that has these rows, which may say more than this revision knows."""
        absent = set() if self.staked else {"staked"}
        if self.envelope:
            absent |= {"quote_asset", "quote_asset_class"}
        result = [{name: row[name] for name in row if name not in absent} for row in rows]
        return {"result": result, "quote_asset": QUOTE_ASSET} if self.envelope else result

    def bare_list(self, rows: Sequence[Mapping[str, object]]) -> object:
        """Return the answer that lists assets, or the addresses of a whitelist."""
        return {"result": rows} if self.envelope else rows

    def organizations(self, rows: Sequence[tuple[str, str, str]]) -> object:
        """Return the answer that lists organizations, given by id, name and status."""
        result = [
            {self.organization: id_, "status": status, "name": name} for id_, name, status in rows
        ]
        # Assumed: no page shows this answer in the revision that wraps others.
        return {"result": result} if self.envelope else result

    def vaults_page(self, rows: Sequence[Mapping[str, object]], total: int) -> object:
        """Return the answer with these vaults, which are part of `total`."""
        if self.envelope:
            # Assumed, as for organizations.
            return {"result": rows, "total": total, "quote_asset": QUOTE_ASSET}
        return {"vaults": rows, "total": total, "quote": _QUOTE}

    def balance(self, row: Mapping[str, object]) -> object:
        """Return the answer that has the worth of the vault that is listed as `row`."""
        worth = {name: row[name] for name in ("balance_fiat", "balance_diff", "missing_rates")}
        return worth | ({"quote_asset": QUOTE_ASSET} if self.envelope else {"quote": _QUOTE})


_QUOTE: Final = {"asset": QUOTE_ASSET, "asset_class": "currency"}

R1 = Revision(
    envelope=False,
    staked=False,
    rounding=True,
    assets=frozenset({"quote", "full_precision"}),
    vaults=frozenset({"org_id", "quote_asset", "quote_asset_class"}),
    organization="org_id",
    vault_balance="balance",
    quote_is_required=True,
    rfc3339=False,
)
R2 = replace(
    R1,
    rounding=False,
    assets=frozenset({"quote_asset"}),
    vaults=frozenset({"org_iiban", "quote_asset", "quote_asset_class"}),
    organization="org_iiban",
    vault_balance="balances",
    quote_is_required=False,
)
R3 = replace(R2, staked=True)
R4 = replace(
    R3,
    envelope=True,
    rfc3339=True,
    vaults=frozenset({"org_iiban", "quote_asset"}),
)
