"""Properties of every metric of the catalogue, from Prometheus's naming rules and the contract."""

import re

from exporter.resources import RESOURCES
from tools.docs import all_metrics

BALANCES = [metric for it in RESOURCES.values() for metric in it.metrics]


def test_no_name_is_there_twice() -> None:
    names = [metric.name for metric in all_metrics()]
    assert sorted(names) == sorted(set(names))


def test_names_and_labels_are_of_the_form_that_needs_no_escaping() -> None:
    for metric in all_metrics():
        assert re.fullmatch("kraken_custody_[a-z]+(_[a-z]+)*", metric.name)
        assert all(re.fullmatch("[a-z]+(_[a-z]+)*", label) for label in metric.labels)
        assert len(set(metric.labels)) == len(metric.labels)


def test_endings_say_what_a_metric_is() -> None:
    for metric in all_metrics():
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert metric.name.endswith(("_sum", "_count", "_bucket", "_created")) is False
        assert ("seconds" in metric.name) == (metric.unit == "seconds")


def test_help_is_one_sentence_or_more_on_one_line() -> None:
    for metric in all_metrics():
        assert re.fullmatch(r"[A-Z].*\.", metric.help)
        assert metric.source


def test_help_of_a_balance_names_its_field_and_that_it_is_not_read_at_the_scrape() -> None:
    for metric in BALANCES:
        assert re.search(rf"\(API fields? {re.escape(metric.source)}\)", metric.help)
        assert metric.help.endswith("Read on the exporter's own schedule, not at the scrape.")
