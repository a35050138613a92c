"""What is logged of a target's change of state."""

from structlog.testing import capture_logs

from exporter.custody.models import vault_balances
from exporter.custody.values import parse_json
from exporter.metrics.state import balances_of
from exporter.metrics.store import Store
from exporter.metrics.telemetry import Telemetry
from exporter.polling.results import Results
from exporter.targets import Target

HOT = Target("vault", "VABCDEF234567A", "acme", "hot", 60.0, "main")


def test_balances_that_are_withdrawn_are_logged_with_their_age() -> None:
    wall = iter((1_795_262_400.25, 1_795_262_400.25, 1_795_262_705.5)).__next__
    store = Store((HOT,), stale_after=lambda _: 300.0, max_series=100)
    results = Results(store, Telemetry(), wall)
    with capture_logs() as events:
        answer = vault_balances(parse_json(b"[]"))
        results.poll_succeeded(HOT, answer, balances_of(HOT, answer, 0.0), refresh_interval=None)
        results.withdraw_stale(305.25, lead=0.0)
    assert events[-1] == {
        "event": "target_stale",
        "log_level": "warning",
        "kind": "vault",
        "org": "acme",
        "vault": "hot",
        "age_seconds": 305,
    }
