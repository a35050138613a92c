"""One cause pages once: which alerts of an outage are left after Alertmanager's inhibitions.

The inhibitions are evaluated by promtool as a query made from alertmanager.yml, minute by minute, so that no moment is
missed in which a cause has ended for Alertmanager and an alert that it inhibited has not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.rules import alerts, needed, promtool
from tests.deploy.stories import EXPORTER, error, errors, one, paused, target, unanswered
from tests.deploy.test_alertmanager import configuration

BEGAN, ENDED = 10, 45
"""The minutes when the cause began and ended."""
OVER: Final = 75
CHUNK: Final = 15
VAULTS: Final = 5
"""Number of vaults in each of two organizations."""


def told(where: str) -> str:
    """Return a query for the firing alerts with these labels that no other inhibits."""
    firing = 'alertstate="firing"'
    silenced = " or ".join(
        f"(ALERTS{{{firing},{','.join(rule['target_matchers'])}}} and on ({','.join(rule['equal'])}) "
        f"ALERTS{{{firing},{','.join(rule['source_matchers'])}}})"
        for rule in configuration()["inhibit_rules"]
    )
    return f"ALERTS{{{firing},{where}}} unless ({silenced})"


def pages() -> str:
    """Return a query for the number of messages that page someone."""
    group_by = ", ".join(configuration()["route"]["group_by"])
    critical = told('severity="critical"')
    return f"count(group by ({group_by}) ({critical})) or vector(0)"


def failing(type_: str, *credentials: str) -> dict[str, str]:
    """Return two organizations' targets that fail together, are withdrawn together, and recover one after the other.

    Between the first recovery and the last lies the minute that all polls take.
    """
    found = dict[str, str]()
    for index in range(2 * (VAULTS + 1)):
        org = ("acme", "beta")[index % 2]
        vault = f"v{index}" if index > 1 else ""
        labels = {**EXPORTER, "kind": "vault" if vault else "organization", "org": org}
        late = 1 + index // (VAULTS + 1)
        down = 2 * (ENDED - BEGAN) + late
        found |= target(
            {**labels, "vault": vault},
            credential=credentials[index % len(credentials)],
            up=f"1x{2 * BEGAN} 0x{down} 1x200",
            stale=f"0x{2 * BEGAN + 10} 1x{down - 10} 0x200",
            last_success_timestamp_seconds=(
                f"0+30x{2 * BEGAN} {60 * BEGAN}x{down} {60 * ENDED}+30x200"
            ),
        )
        found |= error(type_, f"_x{2 * BEGAN + 1} 1x{down} stale", {**labels, "vault": vault})
    return found


@dataclass(frozen=True)
class Outage:
    """A cause. pages_from: the minute from which it pages. pager: what. others: which other receivers are told of."""

    series: Mapping[str, str]
    pages_from: int
    pager: str
    others: str = ""


HELD: Final = f"0x{2 * BEGAN} 1x{2 * (ENDED - BEGAN)} 0x200"
COUNTED: Final = f"0x{2 * BEGAN} 3+1x{2 * (ENDED - BEGAN)} 0x200"
CLEAR: Final = "0x400"

OUTAGES: Final = {
    "a key that serves two organizations is refused": Outage(
        failing("EAPI:Invalid key", "treasury")
        | paused("treasury", HELD)
        | paused("all", CLEAR)
        | unanswered("treasury", CLEAR),
        BEGAN + 3,
        "CredentialRefused",
    ),
    "the API answers nobody": Outage(
        failing("transport/timeout", "treasury", "another")
        | paused("treasury", CLEAR)
        | paused("all", CLEAR)
        | unanswered("treasury", COUNTED)
        | unanswered("another", COUNTED),
        BEGAN + 10,
        "NoAnswer",
    ),
    "the API refuses the rate": Outage(
        failing("http/429", "treasury", "another")
        | errors("http/429", f"0x{2 * BEGAN} 1+1x70 71x200", "429")
        | paused("all", HELD),
        BEGAN + 9,
        "EverythingPaused",
        "RateLimited",
    ),
    "the API refuses the rate, then does not answer": Outage(
        failing("http/429", "treasury")
        | errors("http/429", f"0x{2 * BEGAN} 1x300", "429")
        | paused("all", HELD)
        | unanswered("treasury", COUNTED),
        BEGAN + 10,
        "NoAnswer|EverythingPaused",
        "RateLimited",
    ),
    "a firewall lets nothing through": Outage(
        failing("http/blocked", "treasury", "another") | paused("all", HELD),
        BEGAN + 9,
        "EverythingPaused",
        "Blocked",
    ),
}


def always(query: str, first: int, last: int, count: int) -> list[dict[str, object]]:
    """Return the expectation of a query's value at every evaluation between two minutes."""
    # Promtool cannot hold more than a few minutes at once.
    return [
        {
            "expr": f"{which}_over_time(({query})[{min(CHUNK, end - first)}m:1m])",
            "eval_time": f"{end}m",
            "exp_samples": [{"labels": "{}", "value": count}],
        }
        for end in range(last, first, -CHUNK)
        for which in ("min", "max")
    ]


def evaluate(
    series: Mapping[str, str], checks: Sequence[Mapping[str, object]], directory: Path
) -> None:
    """Let promtool check expectations for the series of targets."""
    common = one("up", EXPORTER, "1x400") | one("exporter_build_info", EXPORTER, "1x400")
    test = {
        "interval": "30s",
        "input_series": [
            {"series": name, "values": values} for name, values in {**common, **series}.items()
        ],
        "promql_expr_test": [*checks],
    }
    promtool(needed(alerts()), [test], directory, interval="1m")


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_one_cause_is_one_page_from_its_beginning_to_its_end(
    outage: Outage, tmp_path: Path
) -> None:
    others = told(f'alertname!~"KrakenCustody({outage.pager}|{outage.others})"')
    checks = [
        *always(f"count({others}) or vector(0)", 0, OVER, 0),
        *always(pages(), 0, BEGAN + 2, 0),
        *always(pages(), outage.pages_from, ENDED + 10, 1),
        *always(pages(), ENDED + 14, OVER, 0),
    ]
    evaluate(outage.series, checks, tmp_path)


def test_alerts_of_a_target_are_sent_if_nothing_explains_them(tmp_path: Path) -> None:
    """Otherwise the query above could never find anything."""
    checks = [
        *always(pages(), ENDED - 5, ENDED, 2),
        *(
            check
            for name in ("BalancesStale", "TargetFailing")
            for check in always(
                "count(" + told(f'alertname="KrakenCustody{name}"') + ")",
                ENDED - 5,
                ENDED,
                2 * (VAULTS + 1),
            )
        ),
    ]
    evaluate(failing("gateway/Connect", "treasury"), checks, tmp_path)
