"""The schemas of Kubernetes and the Prometheus operator.

Their libraries take seconds to load, which people who run other tests need not wait for.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import ModuleType
from typing import Any


@cache
def _validate() -> Callable[..., object]:
    import kubernetes_validate  # type: ignore[import-untyped] # noqa: PLC0415 - it comes without types; see above

    # It would read its definitions, a megabyte of JSON, again for each resource.
    kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
    return partial(
        kubernetes_validate.validate,
        desired_version=kubernetes_validate.latest_version(),
        strict=True,
    )


def check(resource: Mapping[str, Any]) -> None:
    """Raise kubernetes_validate.ValidationError if a resource does not match the schema of Kubernetes."""
    _validate()(resource)


@cache
def _operator() -> ModuleType:
    from cloudcoil import pydantic  # noqa: PLC0415 - see above

    # Two of its thousands of models are used.
    pydantic.BaseModel.model_config["defer_build"] = True
    from cloudcoil.models.prometheus_operator import v1  # noqa: PLC0415 - see above

    return v1


def as_the_operator_reads(resource: Mapping[str, Any]) -> Any:
    """Return what the Prometheus operator reads from one of its resources: its models drop what they do not know.

    Raises pydantic.ValidationError.
    """
    model = getattr(_operator(), resource["kind"])
    return model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
