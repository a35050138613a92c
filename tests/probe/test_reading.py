"""What the probe reads from an answer: facts about its form, and no amount."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.custody.document import parse_json
from exporter.probe.reading import VaultFacts, read_vault
from exporter.turns import at_once
from tests.resources.answers import row

BTC = row("BTC", balance="1.2500", quote_price="60000", funding_decimals=8)


FACTS = VaultFacts(
    is_envelope=False, has_staked=False, rows=1, invalid=0, unpriced=0, places=4, is_beyond=False
)


@pytest.mark.parametrize(
    ("document", "facts"),
    [
        ([], replace(FACTS, has_staked=None, rows=0, places=0)),
        ([row("USD")], replace(FACTS, unpriced=1, places=0)),
        ([BTC], FACTS),
        ([BTC | {"funding_decimals": 3}], replace(FACTS, is_beyond=True)),
        ([BTC | {"funding_decimals": 4}], FACTS),
        ({"result": [BTC | {"staked": "1"}]}, replace(FACTS, is_envelope=True, has_staked=True)),
        (
            [row("ETH", hold="x"), row("SOL", spot=None), BTC],
            replace(FACTS, rows=3, invalid=2, problem="hold is not a finite decimal"),
        ),
    ],
)
def test_the_facts_of_a_vault_are_its_form_its_numbers_of_rows_and_its_precision(
    document: Any, facts: VaultFacts
) -> None:
    assert at_once(read_vault(parse_json(json.dumps(document).encode()))) == facts


def test_others_may_come_between_a_hundred_rows() -> None:
    rows = [row(f"A{number}") for number in range(201)]
    # Yields twice while they are judged, twice while their amounts are put together, and three times while they are
    # examined again.
    assert sum(1 for _ in read_vault(rows)) == 7
