"""The schemas of Kubernetes and the Prometheus operator.

Their libraries take seconds to load, which people who run other tests need not wait for.
"""

from collections.abc import Mapping
from typing import Any


def check(resource: Mapping[str, Any]) -> None:
    """Raise kubernetes_validate.ValidationError if a resource does not match the schema of Kubernetes."""
    import kubernetes_validate  # type: ignore[import-untyped] # noqa: PLC0415 - it comes without types; see above

    kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def as_the_operator_reads(resource: Mapping[str, Any]) -> Any:
    """Return what the Prometheus operator reads from one of its resources: its models drop what they do not know.

    Raises pydantic.ValidationError.
    """
    from cloudcoil.models.prometheus_operator import v1  # noqa: PLC0415 - see above

    model = getattr(v1, resource["kind"])
    return model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
