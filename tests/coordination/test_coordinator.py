"""Which engine the settings name."""

import pytest

from exporter.config import LeaseSettings, RedisSettings
from exporter.coordination.coordinator import engine_of
from exporter.coordination.engine import EngineError
from exporter.coordination.kubernetes import KubernetesEngine
from exporter.coordination.redis import RedisEngine

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
REDIS = LeaseSettings(kind="redis", redis=RedisSettings(url="redis://127.0.0.1"))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [(LeaseSettings(kind="kubernetes"), KubernetesEngine), (REDIS, RedisEngine)],
)
def test_settings_name_their_engine(settings: LeaseSettings, kind: type[object]) -> None:
    assert isinstance(engine_of(settings, IN_A_POD, lambda: 0.0), kind)


def test_outside_of_a_pod_a_kubernetes_lease_is_refused() -> None:
    with pytest.raises(EngineError, match="works only in a pod"):
        engine_of(LeaseSettings(kind="kubernetes"), {}, lambda: 0.0)
