"""Validation against JSON Schema.

Its library takes two seconds to load, which people who run other tests need not wait for.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

IRIS = "rfc3987_syntax"


def read_grammar_late() -> None:
    """Let jsonschema load without the grammar of IRIs, which is read when the first IRI is checked.

    It takes 1.4 s of processor time, nine tenths of the whole, and only the schema of bills of materials has IRIs.
    """
    late = ModuleType(IRIS)

    def is_valid_syntax(term: str, value: str) -> bool:
        if sys.modules[IRIS] is late:
            del sys.modules[IRIS]
        from rfc3987_syntax import (  # type: ignore[import-untyped] # noqa: PLC0415 - see above
            is_valid_syntax as is_valid,
        )

        return bool(is_valid(term, value))

    late.is_valid_syntax = is_valid_syntax  # type: ignore[attr-defined]
    sys.modules.setdefault(IRIS, late)


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


def problems(schema: str, paths: Iterable[Path]) -> str:
    """Return the errors of files by one of check-jsonschema's own schemas, empty if they are valid."""
    from check_jsonschema import main  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    done = CliRunner().invoke(main, ["--builtin-schema", f"vendor.{schema}", *map(str, paths)])
    return done.output if done.exit_code else ""
