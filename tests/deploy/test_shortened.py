"""The files that the end-to-end test runs differ from those of deploy/ in durations and addresses only."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.rules import DEPLOY, RULE_FILES
from tests.deploy.shortened import DURATION, shortened

FILES = (
    *RULE_FILES,
    DEPLOY / "prometheus" / "prometheus.yml",
    DEPLOY / "alertmanager" / "alertmanager.yml",
)


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("for: 4m", "for: 4000ms"),
        ("scrape_interval: 30s", "scrape_interval: 500ms"),
        ("repeat_interval: 1d", "repeat_interval: 1440000ms"),
        ("group_wait: 10s", "group_wait: 167ms"),
        ("wait: 60ms", "wait: 1ms"),
        ("metric[6h] offset 30m", "metric[360000ms] offset 30000ms"),
        ("vault_balance:max1h", "vault_balance:max1h"),
        ('printf "%.10g"', 'printf "%.10g"'),
        ("127.0.0.1:9093, localhost:25, 6 * 3600, 0.10", None),
        ("within 15 minutes", None),
    ],
)
def test_durations_are_divided_by_sixty_and_nothing_else_changes(
    written: str, becomes: str | None
) -> None:
    assert shortened(written) == (becomes or written)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_duration_in_the_files_is_of_a_form_that_would_be_passed_over(path: Path) -> None:
    # As a document, so that prose in comments does not count.
    text = json.dumps(yaml.safe_load(path.read_text("utf-8")))
    found = re.findall(r'(?:for|wait|interval)": "(.+?)"|\[(\d\w*)\]|offset (\w+)', text)
    assert all(DURATION.fullmatch("".join(duration)) for duration in found)
