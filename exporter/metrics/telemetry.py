"""The exporter's own metrics, kept by prometheus-client in a separate registry."""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from exporter.metrics import catalog
from exporter.metrics.metric import Metric

Foreseen = Mapping[str, Collection[tuple[int | None, str]]]
"""By endpoint, the (HTTP status, type) of every failure known in advance; the status is None without a response."""

DURATION_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """The exporter's own metrics; `registry` has all of them.

    Every foreseen failure starts at 0, so that `increase()` sees the first one.
    """

    def __init__(self, foreseen: Foreseen) -> None:
        # They would double the counters and add nothing to `process_start_time_seconds`.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
        self.registry = CollectorRegistry()
        self._requests = self._counter(catalog.API_REQUESTS)
        self._errors = self._counter(catalog.API_ERRORS)
        self._core_errors = self._counter(catalog.API_CORE_ERRORS)
        self._duration = Histogram(
            catalog.API_DURATION.name,
            catalog.API_DURATION.help,
            catalog.API_DURATION.labels,
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        # For each request; prometheus-client checks all labels each time.
        self._requests_of = functools.cache(self._requests.labels)
        self._duration_of = functools.cache(self._duration.labels)
        # A gauge without labels starts at 0, but the skew is unknown until the first answer.
        self._clock_skew: Gauge | None = None
        self._wait = self._counter(catalog.BUDGET_WAIT)
        self._start_at_zero(foreseen)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def requested(self, endpoint: str, status: int | None, seconds: float | None) -> None:
        """Count a request that has ended, whatever its outcome.

        status: of HTTP, None without a response. seconds: from send to last byte, None likewise.
        """
        self._requests_of(endpoint, _status(status)).inc()
        if seconds is not None:
            self._duration_of(endpoint).observe(seconds)

    def skewed(self, seconds: float) -> None:
        """Set the seconds by which this machine's clock is ahead of the API's."""
        if self._clock_skew is None:
            self._clock_skew = self._gauge(catalog.API_CLOCK_SKEW)
        self._clock_skew.set(seconds)

    def failed(
        self, endpoint: str, status: int | None, type_: str, core_error: str | None = None
    ) -> None:
        """Count a failed request. core_error: the underlying error, if the API names one."""
        self._errors.labels(endpoint, _status(status), type_).inc()
        if core_error is not None:
            self._core_errors.labels(endpoint, core_error).inc()

    def waited(self, seconds: float) -> None:
        """Count the time that a request waited for the budget."""
        self._wait.inc(seconds)

    def show(self, metric: Metric, value: float | Callable[[], float]) -> None:
        """Expose `metric`, a gauge without labels, as `value`, or as `value` returns it at each scrape."""
        gauge = self._gauge(metric)
        if callable(value):
            gauge.set_function(value)
        else:
            gauge.set(value)

    def show_each(self, metric: Metric, values: Callable[[], Mapping[str, float]]) -> None:
        """Expose `metric`, a gauge with one label, as `values` returns it by that label at each scrape."""
        self.registry.register(_Each(metric, values))

    def show_shard(self, number: int, of: int) -> None:
        """Expose the shard that this process polls."""
        self._gauge(catalog.SHARD_INFO).labels(str(number), str(of)).set(1)

    def show_build(self, version: str, revision: str, python: str) -> None:
        """Expose the version that is running."""
        self._gauge(catalog.BUILD_INFO).labels(version, revision, python).set(1)

    def _start_at_zero(self, foreseen: Foreseen) -> None:
        for endpoint, failures in foreseen.items():
            self._requests.labels(endpoint, "200")
            self._duration.labels(endpoint)
            for status, type_ in failures:
                self._errors.labels(endpoint, _status(status), type_)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)


class _Each(Collector):
    """A gauge whose label values come and go; prometheus-client's own would keep those that are gone."""

    def __init__(self, metric: Metric, values: Callable[[], Mapping[str, float]]) -> None:
        self._metric = metric
        self._values = values

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for label, value in self._values().items():
            family.add_metric((label,), value)
        yield family


def _status(status: int | None) -> str:
    return "" if status is None else str(status)
