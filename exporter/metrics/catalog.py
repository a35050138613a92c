"""Every metric once: name, type, help, labels and where its value comes from.

The exposition, the counters of `telemetry` and the README's table are all made from these entries.
"""

from dataclasses import dataclass
from typing import Final, Literal

Type = Literal["gauge", "counter", "histogram"]


UNITS: Final = ("bytes", "fields", "ratio", "requests", "rows", "seconds", "series")


def unit_of(family: str) -> str:
    """Return the unit that the name of a family ends with, "" where it has none (OpenMetrics 1.0, "Unit")."""
    word = family.rpartition("_")[2]
    return word if word in UNITS else ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    unit: of its value, for people. source: the API's field, or what else the value is taken from.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...]
    unit: str
    source: str


_CACHED = "Read on the exporter's own schedule, not at the scrape."

VAULT_LABELS: Final = ("org", "vault", "vault_id", "asset", "asset_class")
VAULT_QUOTE_LABELS: Final = (*VAULT_LABELS, "quote_asset")


def _vault(name: str, field: str, what: str) -> Metric:
    return Metric(
        name=f"kraken_custody_vault_{name}",
        type="gauge",
        help=f"{what}, in units of the asset (API field {field}). {_CACHED}",
        labels=VAULT_LABELS,
        unit="asset",
        source=field,
    )


def _vault_quote(name: str, field: str, what: str) -> Metric:
    return Metric(
        name=f"kraken_custody_vault_quote_{name}",
        type="gauge",
        help=f"{what}, in units of quote_asset (API field {field}). {_CACHED}",
        labels=VAULT_QUOTE_LABELS,
        unit="quote asset",
        source=field,
    )


VAULT_AMOUNTS: Final = (
    _vault("balance", "balance", "Total balance of the asset in the vault"),
    _vault("spot_balance", "spot", "Spot part of the balance"),
    _vault("hold_balance", "hold", "Balance on hold, such as for pending withdrawals"),
    _vault("available_balance", "available", "Balance that is available"),
    _vault("pledged_balance", "pledged", "Pledged part of the balance"),
    _vault("staked_balance", "staked", "Staked part of the balance"),
    _vault("balance_diff", "balance_diff", "Day-over-day change of the balance"),
)
VAULT_QUOTES: Final = (
    _vault_quote("balance", "quote_balance", "Value of the total balance"),
    _vault_quote("spot_balance", "quote_spot_balance", "Value of the spot part of the balance"),
    _vault_quote("available_balance", "quote_available", "Value of the balance that is available"),
    _vault_quote("price", "quote_price", "Price of one unit of the asset"),
)
MIN_AVAILABLE: Final = Metric(
    name="kraken_custody_vault_min_available_balance",
    type="gauge",
    help="Configured threshold for the available balance, in units of the asset.",
    labels=("org", "vault", "vault_id", "asset"),
    unit="asset",
    source="configuration `min_available`",
)

ORGANIZATION_TOTAL: Final = Metric(
    name="kraken_custody_organization_quote_balance",
    type="gauge",
    help=f"Total of the organization's vaults, in units of quote_asset (API field balance.total). {_CACHED}",
    labels=("org", "org_id", "quote_asset"),
    unit="quote asset",
    source="balance.total",
)
ORGANIZATION_COMPONENT: Final = Metric(
    name="kraken_custody_organization_quote_component_balance",
    type="gauge",
    help="Part of the organization's total, in units of quote_asset; the parts add up to it "
    f"(API fields balance.spot, balance.staked, balance.pledged). {_CACHED}",
    labels=("org", "org_id", "quote_asset", "component"),
    unit="quote asset",
    source="balance.spot, balance.staked, balance.pledged",
)
ORGANIZATION_COMPONENTS: Final = ("spot", "staked", "pledged")

ASSET_DESCRIPTIONS: Final = (
    "name",
    "name_full",
    "symbol",
    "virtual",
    "reserve",
    "decimals",
    "display_decimals",
    "rate_decimals",
    "funding_decimals",
)
ASSET_INFO: Final = Metric(
    name="kraken_custody_asset_info",
    # OpenMetrics has a type for it, which would take the suffix from the family's name: two names for one metric.
    type="gauge",
    help="What the API tells of an asset that is held anywhere; a description it leaves out is empty. Always 1.",
    labels=("asset", "asset_class", *ASSET_DESCRIPTIONS),
    unit="",
    source="fields of the same names",
)
ASSET_MIN_LOT: Final = Metric(
    name="kraken_custody_asset_min_lot",
    type="gauge",
    help="Smallest amount of the asset that can be traded or transferred, in units of the asset (API field min_lot).",
    labels=("asset", "asset_class"),
    unit="asset",
    source="min_lot",
)
ASSET_LAUNCH: Final = Metric(
    name="kraken_custody_asset_launch_timestamp_seconds",
    type="gauge",
    help="When the asset was launched, in Unix time (API field launch_time).",
    labels=("asset", "asset_class"),
    unit="seconds",
    source="launch_time",
)

BALANCES: Final = (*VAULT_AMOUNTS, *VAULT_QUOTES, ORGANIZATION_TOTAL, ORGANIZATION_COMPONENT)
"""What is withdrawn when it is too old, and counts against `polling.max_series`."""
ASSETS: Final = (ASSET_INFO, ASSET_MIN_LOT, ASSET_LAUNCH)

_TARGET_LABELS = ("kind", "org", "vault")


def _target(name: str, what: str, unit: str, source: str, *labels: str) -> Metric:
    return Metric(
        name=f"kraken_custody_target_{name}",
        type="gauge",
        help=what,
        labels=(*_TARGET_LABELS, *labels),
        unit=unit,
        source=source,
    )


TARGET_UP: Final = _target(
    "up",
    "Whether the last poll of the target succeeded, and nothing keeps it from the next; absent before the first.",
    "",
    "poll",
)
TARGET_PAUSED: Final = _target(
    "paused",
    "Whether the target's credential, or everything, is paused.",
    "",
    "pauses that the API asked for",
)
TARGET_INFO: Final = _target(
    "info",
    "The target's id and the credential it is read with, which join it to metrics by credential. Always 1.",
    "",
    "configuration",
    "id",
    "credential",
)
TARGET_STALE: Final = _target(
    "stale",
    "Whether the target's balances are withheld because they are older than polling.stale_after.",
    "",
    "age of the last good answer",
)
TARGET_LAST_SUCCESS: Final = _target(
    "last_success_timestamp_seconds",
    "When the target's balances were last read, in Unix time.",
    "seconds",
    "clock",
)
TARGET_REFRESH_INTERVAL: Final = _target(
    "refresh_interval_seconds",
    "Measured time between the target's last two polls.",
    "seconds",
    "clock",
)
TARGET_ROWS: Final = _target(
    "rows", "Asset rows in the vault's last good answer.", "rows", "length of the answer"
)
TARGET_INVALID_ROWS: Final = _target(
    "invalid_rows",
    "Rows of the vault's last good answer that were rejected.",
    "rows",
    "rows that failed a check",
)
TARGET_INVALID_FIELDS: Final = _target(
    "invalid_fields",
    "Optional fields of the target's last good answer that could not be read; their rows count without them.",
    "fields",
    "optional fields that failed a check",
)
TARGET_ERROR: Final = _target(
    "error",
    "Why the target is not up, by error type; absent while it is. Always 1.",
    "",
    "the answer, or its absence",
    "type",
)
TARGETS: Final = (
    TARGET_UP,
    TARGET_PAUSED,
    TARGET_INFO,
    TARGET_STALE,
    TARGET_LAST_SUCCESS,
    TARGET_REFRESH_INTERVAL,
    TARGET_ROWS,
    TARGET_INVALID_ROWS,
    TARGET_INVALID_FIELDS,
    TARGET_ERROR,
)

API_REQUESTS: Final = Metric(
    name="kraken_custody_api_requests_total",
    type="counter",
    help="Requests to the custody API by HTTP status, retries included; the status is empty when no answer came.",
    labels=("endpoint", "status"),
    unit="requests",
    source="HTTP status",
)
API_ERRORS: Final = Metric(
    name="kraken_custody_api_errors_total",
    type="counter",
    help="Failed requests to the custody API by error type (problem+json type, legacy error, or what went wrong).",
    labels=("endpoint", "status", "type"),
    unit="requests",
    source="problem `type`, legacy `error[0]`, HTTP status, transport",
)
API_CORE_ERRORS: Final = Metric(
    name="kraken_custody_api_core_errors_total",
    type="counter",
    help="Problems of type Unknown by the originating error (API field data.core_error).",
    labels=("endpoint", "core_error"),
    unit="requests",
    source="data.core_error",
)
API_DURATION: Final = Metric(
    name="kraken_custody_api_request_duration_seconds",
    type="histogram",
    help="Time from sending a request to the last byte of its answer.",
    labels=("endpoint",),
    unit="seconds",
    source="clock",
)
API_CLOCK_SKEW: Final = Metric(
    name="kraken_custody_api_clock_skew_seconds",
    type="gauge",
    help="Seconds by which this machine's clock is ahead of the API's, good to about half a second.",
    labels=(),
    unit="seconds",
    source="Date header",
)
BUDGET_REQUESTS: Final = Metric(
    name="kraken_custody_rate_limit_budget_requests",
    type="gauge",
    help="Requests that this process may send in one window.",
    labels=(),
    unit="requests",
    source="configuration `api.rate_limit`: requests x share",
)
BUDGET_WINDOW: Final = Metric(
    name="kraken_custody_rate_limit_window_seconds",
    type="gauge",
    help="Length of the rate-limit window.",
    labels=(),
    unit="seconds",
    source="configuration `api.rate_limit.window`",
)
BUDGET_USED: Final = Metric(
    name="kraken_custody_rate_limit_used_requests",
    type="gauge",
    help="Slots of the budget that are taken in the current window.",
    labels=(),
    unit="requests",
    source="budget",
)
BUDGET_DEMAND: Final = Metric(
    name="kraken_custody_rate_limit_demand_ratio",
    type="gauge",
    help="Request rate that the configured intervals ask for over the rate of the budget, or of a key's own limit "
    "where that is tighter; above 1 polls are stretched.",
    labels=(),
    unit="ratio",
    source="polling plan",
)
BUDGET_WAIT: Final = Metric(
    name="kraken_custody_rate_limit_wait_seconds_total",
    type="counter",
    help="Time in which a request was ready and waited for a slot of the budget.",
    labels=(),
    unit="seconds",
    source="budget",
)


def _credential(name: str, what: str, unit: str, source: str) -> Metric:
    return Metric(
        name=f"kraken_custody_api_{name}",
        type="gauge",
        help=what,
        labels=("credential",),
        unit=unit,
        source=source,
    )


API_PAUSED: Final = _credential(
    "paused",
    "Whether polling with the credential is paused; the credential all stands for everything.",
    "",
    "refusals that ask for a pause",
)
API_UNANSWERED: Final = _credential(
    "unanswered_requests",
    "Requests of the credential in a row that got no answer; 0 after any answer.",
    "requests",
    "transport",
)
API_KEY_SHARED: Final = _credential(
    "key_shared",
    "Whether refused nonces say that another program uses the credential's key, until an hour has passed without any.",
    "",
    "refused nonces",
)
API_CREDENTIALS: Final = (API_PAUSED, API_UNANSWERED, API_KEY_SHARED)
API: Final = (
    API_REQUESTS,
    API_ERRORS,
    API_CORE_ERRORS,
    API_DURATION,
    API_CLOCK_SKEW,
    *API_CREDENTIALS,
    BUDGET_REQUESTS,
    BUDGET_WINDOW,
    BUDGET_USED,
    BUDGET_DEMAND,
    BUDGET_WAIT,
)

BUILD_INFO: Final = Metric(
    name="kraken_custody_exporter_build_info",
    type="gauge",
    help="The exporter's version, revision and Python. Always 1.",
    labels=("version", "revision", "python"),
    unit="",
    source="package",
)
SERIES: Final = Metric(
    name="kraken_custody_exporter_series",
    type="gauge",
    help="Balance series that are held.",
    labels=(),
    unit="series",
    source="store",
)
RELOAD_SUCCESSFUL: Final = Metric(
    name="kraken_custody_exporter_config_last_reload_successful",
    type="gauge",
    help="Whether the last attempt to load the configuration succeeded.",
    labels=(),
    unit="",
    source="configuration",
)
RELOAD_TIMESTAMP: Final = Metric(
    name="kraken_custody_exporter_config_last_reload_success_timestamp_seconds",
    type="gauge",
    help="When the configuration was last loaded, in Unix time.",
    labels=(),
    unit="seconds",
    source="clock",
)
EXPORTER: Final = (BUILD_INFO, SERIES, RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP)

STORED: Final = (*BALANCES, MIN_AVAILABLE, *ASSETS, *TARGETS)
"""What `store` keeps as rendered lines, in the order of the exposition; the others are `telemetry`'s."""
ALL: Final = (*STORED, *API, *EXPORTER)
