"""The exporter's own metrics: present from the start, counted as documented, named as in the catalogue."""

from itertools import product

import pytest
from prometheus_client import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of

from exporter.metrics import catalog
from exporter.metrics.metric import Metric
from exporter.metrics.telemetry import DURATION_BUCKETS, Telemetry
from exporter.resources import RESOURCES

ENDPOINTS = (
    "organization_balances",
    "organizations",
    "tasks",
    "vault_asset_balances",
    "vaults",
    "whitelist_addresses",
)
DOCUMENTED_ERRORS = (
    ("400", "BadRequest"),
    ("403", "PermissionDenied"),
    ("500", "gateway/ReadUpstream"),
    ("500", "gateway/WriteResponse"),
    ("500", "gateway/Connect"),
    ("500", "gateway/Fatal"),
    ("500", "Unknown"),
    ("503", "gateway/Connect"),
    ("", "transport/timeout"),
    ("", "transport/connect"),
    ("", "transport/tls"),
    ("", "transport/protocol"),
    ("200", "response/invalid"),
    ("200", "response/too_large"),
    ("200", "limit/series"),
    ("403", "http/blocked"),
    ("", "internal"),
    ("200", "EAPI:Invalid key"),
    ("200", "EAPI:Invalid nonce"),
    ("200", "EAPI:Invalid signature"),
    ("200", "EAPI:Rate limit exceeded"),
    ("200", "EAuth:Rate limit exceeded"),
    ("200", "EAuth:Too many requests"),
    ("200", "EGeneral:Internal error"),
    ("200", "EGeneral:Invalid arguments"),
    ("200", "EGeneral:Permission denied"),
    ("200", "EGeneral:Temporary lockout"),
    ("200", "EGeneral:Too many requests"),
    ("200", "EGeneral:Unknown method"),
    ("200", "EService: Throttled"),
    ("200", "EService:Busy"),
    ("200", "EService:Throttled"),
    ("200", "EService:Unavailable"),
)
GAUGES = tuple(
    metric
    for metric in (*catalog.API.metrics, *catalog.EXPORTER.metrics)
    if metric.type == "gauge" and not metric.labels
)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(f"kraken_custody_{name}", labels)


def telemetry_of_all() -> Telemetry:
    return Telemetry({it.endpoint: it.foreseen for it in RESOURCES.values()})


def used() -> Telemetry:
    """Return telemetry with a value for every metric."""
    telemetry = telemetry_of_all()
    telemetry.requested("vault_asset_balances", 200, 0.3)
    telemetry.skewed(1.5)
    telemetry.failed("vault_asset_balances", 500, "Unknown", "Core")
    for metric in GAUGES:
        if metric is not catalog.API_CLOCK_SKEW:
            telemetry.show(metric, 7)
    for metric in catalog.API_CREDENTIALS:
        telemetry.show_each(metric, lambda: {"treasury": 7})
    telemetry.show_each(catalog.LEASE_UP, lambda: {"kraken-custody-exporter": 7})
    telemetry.show_shard(2, 13)
    telemetry.show_build("1.2.3", "abcdef0", "3.11.7")
    return telemetry


def test_every_documented_error_starts_at_zero_and_no_other_is_there() -> None:
    (family,) = (
        family
        for family in telemetry_of_all().registry.collect()
        if family.name == "kraken_custody_api_errors"
    )
    found = [
        (it.labels["endpoint"], it.labels["status"], it.labels["type"], it.value)
        for it in family.samples
    ]
    expected = [
        (endpoint, status, type_, 0)
        for endpoint, (status, type_) in product(ENDPOINTS, DOCUMENTED_ERRORS)
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_requests_and_durations_start_at_zero(endpoint: str) -> None:
    telemetry = telemetry_of_all()
    assert value(telemetry, "api_requests_total", endpoint=endpoint, status="200") == 0
    assert value(telemetry, "api_request_duration_seconds_count", endpoint=endpoint) == 0
    assert value(telemetry, "rate_limit_wait_seconds_total") == 0


def test_counters_come_without_a_second_series_for_their_beginning() -> None:
    samples = [sample.name for family in used().registry.collect() for sample in family.samples]
    assert [name for name in samples if name.endswith("_created")] == []


def test_a_request_is_counted_by_its_status_and_timed() -> None:
    telemetry = telemetry_of_all()
    telemetry.requested("vault_asset_balances", 200, 0.3)
    telemetry.requested("vault_asset_balances", 503, 0.05)
    telemetry.requested("organization_balances", None, None)
    vault = {"endpoint": "vault_asset_balances"}
    assert value(telemetry, "api_requests_total", **vault, status="200") == 1
    assert value(telemetry, "api_requests_total", **vault, status="503") == 1
    assert value(telemetry, "api_requests_total", endpoint="organization_balances", status="") == 1
    assert value(telemetry, "api_request_duration_seconds_count", **vault) == 2
    assert value(telemetry, "api_request_duration_seconds_sum", **vault) == pytest.approx(0.35)
    assert value(telemetry, "api_request_duration_seconds_bucket", **vault, le="0.05") == 1
    no_answer = "organization_balances"
    assert value(telemetry, "api_request_duration_seconds_count", endpoint=no_answer) == 0


def test_the_buckets_stay_as_queries_know_them() -> None:
    assert DURATION_BUCKETS == (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def test_the_buckets_reach_beyond_the_default_timeout() -> None:
    assert DURATION_BUCKETS[-1] > 10.0


def test_the_clock_skew_is_absent_until_the_first_answer() -> None:
    telemetry = telemetry_of_all()
    telemetry.requested("vault_asset_balances", 200, 0.3)
    assert value(telemetry, "api_clock_skew_seconds") is None
    telemetry.requested("vault_asset_balances", 200, 0.3)
    telemetry.skewed(-2.5)
    telemetry.requested("vault_asset_balances", 200, 0.3)
    assert value(telemetry, "api_clock_skew_seconds") == -2.5
    telemetry.requested("vault_asset_balances", 200, 0.3)
    telemetry.skewed(0.0)
    assert value(telemetry, "api_clock_skew_seconds") == 0.0


def test_a_failure_is_counted_once_and_its_core_error_besides() -> None:
    telemetry = telemetry_of_all()
    telemetry.failed("organization_balances", 500, "Unknown", "InternalError")
    telemetry.failed("organization_balances", 500, "Unknown")
    telemetry.failed("organization_balances", None, "transport/timeout")
    endpoint = {"endpoint": "organization_balances"}
    assert value(telemetry, "api_errors_total", **endpoint, status="500", type="Unknown") == 2
    assert (
        value(telemetry, "api_errors_total", **endpoint, status="", type="transport/timeout") == 1
    )
    core_error = {"core_error": "InternalError"}
    assert value(telemetry, "api_core_errors_total", **endpoint, **core_error) == 1


def test_time_spent_waiting_adds_up() -> None:
    telemetry = telemetry_of_all()
    telemetry.waited(1.5)
    telemetry.waited(0.25)
    assert value(telemetry, "rate_limit_wait_seconds_total") == 1.75


def test_a_gauge_may_be_computed_at_each_scrape() -> None:
    telemetry = telemetry_of_all()
    values = iter((3.0, 4.0))
    telemetry.show(catalog.BUDGET_USED, lambda: next(values))
    assert value(telemetry, "rate_limit_used_requests") == 3
    assert value(telemetry, "rate_limit_used_requests") == 4


def test_the_build_is_shown_as_labels() -> None:
    labels = {"version": "1.2.3", "revision": "abcdef0", "python": "3.11.7"}
    assert value(used(), "exporter_build_info", **labels) == 1


def test_a_credential_that_is_gone_has_no_sample_any_more() -> None:
    telemetry, paused = telemetry_of_all(), {"treasury": 1, "other": 0}
    telemetry.show_each(catalog.API_PAUSED, lambda: paused)
    assert value(telemetry, "api_paused", credential="treasury") == 1
    del paused["treasury"]
    assert value(telemetry, "api_paused", credential="treasury") is None
    assert value(telemetry, "api_paused", credential="other") == 0


@pytest.mark.parametrize(
    "metric", [*catalog.API.metrics, *catalog.EXPORTER.metrics], ids=lambda metric: metric.name
)
def test_each_metric_is_what_the_catalogue_says(metric: Metric) -> None:
    families = {family.name: family for family in used().registry.collect()}
    family: Family = families[metric.name.removesuffix("_total")]
    assert (family.type, family.documentation) == (metric.type, metric.help)
    labels = set(family.samples[0].labels) - {"le"}
    assert labels == set(metric.labels)


def test_nothing_is_counted_that_the_catalogue_does_not_know() -> None:
    names = {family.name for family in used().registry.collect()}
    ours = {name for name in names if not name.startswith(("process_", "python_"))}
    assert ours == {
        metric.name.removesuffix("_total")
        for metric in (*catalog.API.metrics, *catalog.EXPORTER.metrics)
    }


def test_the_process_is_measured_too() -> None:
    assert b"process_start_time_seconds" in openmetrics_of(used().registry)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
