"""The exporter's own metrics, kept by `telemetry`: API client, rate limit and process."""

from typing import Final

from exporter.metrics.metric import Group, Metric

API_REQUESTS: Final = Metric(
    name="kraken_custody_api_requests_total",
    type="counter",
    help="Requests to the custody API, including retries, by HTTP status; the status is empty if no answer came.",
    labels=("endpoint", "status"),
    unit="requests",
    source="HTTP status",
)
API_ERRORS: Final = Metric(
    name="kraken_custody_api_errors_total",
    type="counter",
    help="Failed requests to the custody API by error type: problem+json type, legacy error, HTTP or transport error.",
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
    help="How far this machine's clock is ahead of the API's, to about half a second; negative if it is behind.",
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
    help="Slots of the budget taken in the current window.",
    labels=(),
    unit="requests",
    source="budget",
)
BUDGET_DEMAND: Final = Metric(
    name="kraken_custody_rate_limit_demand_ratio",
    type="gauge",
    help="Request rate that the polling intervals need, divided by the rate of the budget or of a key's "
    "own limit, whichever is tighter. Above 1, intervals are longer than configured.",
    labels=(),
    unit="ratio",
    source="polling plan",
)
BUDGET_WAIT: Final = Metric(
    name="kraken_custody_rate_limit_wait_seconds_total",
    type="counter",
    help="Time during which a request waited for a slot of the budget.",
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
    "Whether polling with the credential is paused; the credential all means everything.",
    "",
    "refusals that cause a pause",
)
API_UNANSWERED: Final = _credential(
    "unanswered_requests",
    "Consecutive requests with the credential that got no answer; 0 after any answer.",
    "requests",
    "transport",
)
API_KEY_SHARED: Final = _credential(
    "key_shared",
    "Whether refused nonces show that another program uses the credential's key; 0 after an hour without any.",
    "",
    "refused nonces",
)
API_CREDENTIALS: Final = (API_PAUSED, API_UNANSWERED, API_KEY_SHARED)
API: Final = Group(
    "API client and rate limit",
    (
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
    ),
)

BUILD_INFO: Final = Metric(
    name="kraken_custody_exporter_build_info",
    type="gauge",
    help="Version and revision of the exporter, and version of Python. Always 1.",
    labels=("version", "revision", "python"),
    unit="",
    source="package",
)
SERIES: Final = Metric(
    name="kraken_custody_exporter_series",
    type="gauge",
    help="Series of balances, tasks and whitelists held in memory; polling.max_series limits them.",
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
ACTIVE: Final = Metric(
    name="kraken_custody_exporter_active",
    type="gauge",
    help="Whether this process polls; 0 while it waits for the lease.",
    labels=(),
    unit="",
    source="lease",
)
SHARD_INFO: Final = Metric(
    name="kraken_custody_exporter_shard_info",
    type="gauge",
    help="Number of this process's shard, and of all shards, from --shard. Always 1.",
    labels=("shard", "shards"),
    unit="",
    source="flag `--shard`",
)
LEASE_UP: Final = Metric(
    name="kraken_custody_exporter_lease_up",
    type="gauge",
    help="Whether the record of the lease could last be read and written; absent without a lease.",
    labels=("lease",),
    unit="",
    source="lease",
)
EXPORTER: Final = Group(
    "Exporter",
    (BUILD_INFO, SERIES, RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP, ACTIVE, SHARD_INFO, LEASE_UP),
)
