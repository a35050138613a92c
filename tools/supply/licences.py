"""The licences that may be shipped: permissive ones, and one whose copyleft covers only its own files."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from license_expression import (  # type: ignore[import-untyped] # it has no types
    ExpressionError,
    get_spdx_licensing,
)

FIT: Final = frozenset(
    {
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "MIT",
        "MPL-2.0",
        "PSF-2.0",
        # Classifiers of older packages.
        "License :: OSI Approved :: BSD License",
    }
)
CLASSIFIER: Final = "License :: OSI Approved :: "
SPDX: Final = get_spdx_licensing()


def unfit(bom: Mapping[str, Any]) -> dict[str, str]:
    """Return the licences of components that may not be shipped, by name."""
    declared = {
        component["name"]: _declared(component.get("licenses", ()))
        for component in bom["components"]
    }
    return {
        name: ", ".join(texts) or "nothing"
        for name, texts in declared.items()
        if not texts or not all(map(is_fit, texts))
    }


def is_fit(text: str) -> bool:
    """Whether a licence, or an expression of SPDX that joins some with AND and OR, may be shipped."""
    if text in FIT:
        return True
    try:
        parsed = SPDX.parse(text)
    except ExpressionError:
        return False
    # A single licence has no parts, and neither has one WITH an exception.
    parts = [is_fit(str(part)) for part in getattr(parsed, "args", ())]
    return any(parts) if isinstance(parsed, SPDX.OR) else bool(parts) and all(parts)


def _declared(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a component's licence as an SPDX expression, or else as its classifiers."""
    licences = [(entry, entry.get("license", {})) for entry in entries]
    texts = [
        str(entry.get("expression") or licence.get("id") or licence.get("name"))
        for entry, licence in licences
    ]
    return [text for text in texts if not text.startswith(CLASSIFIER)] or texts
