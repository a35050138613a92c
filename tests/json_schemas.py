"""Validation against JSON Schema.

Its library takes two seconds to load, which people who run other tests need not wait for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def validator(schema: Any) -> "Validator":
    """Return a validator; raises jsonschema.SchemaError if the schema is invalid."""
    from jsonschema.validators import validator_for  # noqa: PLC0415 - see above

    kind = validator_for(schema)
    kind.check_schema(schema)
    found: Validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    return found


def strict(schema: Any) -> Any:
    """Return a stricter schema, in which undocumented members are not allowed."""
    if isinstance(schema, dict):
        closed = {"additionalProperties": False} if "properties" in schema else {}
        return {key: strict(value) for key, value in schema.items()} | closed
    return [strict(element) for element in schema] if isinstance(schema, list) else schema
