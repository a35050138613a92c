"""From pydantic's errors to an operator's words."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import TypeGuard, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.document import Unquoted, kind
from exporter.config.mistakes import Location, Mistake, ProblemError
from exporter.config.models import Document, Model

LONGEST_SHOWN = 40
# What pydantic adds to the location of a key that is wrong itself, not its value.
KEY_MARK = "[key]"
SECRET_WORDS = re.compile("key|secret|otp|token|pass", re.IGNORECASE)


def value_mistakes(errors: ValidationError, document: type[Document]) -> Iterator[Mistake]:
    """Tell what is wrong with single values of a document."""
    for error in errors.errors(include_url=False):
        at = error["loc"]
        match error["type"]:
            case "value_error":
                problem: ProblemError = error["ctx"]["error"]
                if problem.of_parent or at[-1] == KEY_MARK:
                    at = at[:-1]
                shown = "the value" if at and at[0] in document.hidden else _shown(error["input"])
                yield Mistake.at(at, str(problem).replace("{value}", shown))
            case "default_factory_not_called":
                continue  # the name of something whose id is wrong
            case "too_short" if error["input"]:
                continue  # there are entries, but none is right
            case kind_of_error:
                yield Mistake.at(at, _problem(kind_of_error, at, error, document))


def _problem(
    kind_of_error: str, at: Location, error: ErrorDetails, document: type[Document]
) -> str:
    match kind_of_error:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return _unknown_key(at, document)
        case "too_short":
            return "must have at least one entry"
        case "literal_error":
            return f"must be {error['ctx']['expected']}"
        case "tuple_type":
            return f"must be a list (each entry after '- '), not {kind(error['input'])}"
        case _:
            return f"must be a mapping (lines of 'key: value'), not {kind(error['input'])}"


def _unknown_key(at: Location, document: type[Document]) -> str:
    key, known = str(at[-1]), list(_model_at(at[:-1], document).model_fields)
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
    is_secret = at[0] in document.hidden or SECRET_WORDS.search(key)
    return f"unknown key{document.never_inline if is_secret else ''}; {hint}"


def _model_at(at: Location, document: type[Document]) -> type[Model]:
    model: type[Model] = document
    steps = iter(at)
    for step in steps:
        annotation = model.model_fields[str(step)].annotation
        model = next(part for part in (annotation, *get_args(annotation)) if _is_model(part))
        if get_origin(annotation) in (tuple, Mapping):
            next(steps)
    return model


def _is_model(annotation: object) -> TypeGuard[type[Model]]:
    return isinstance(annotation, type) and issubclass(annotation, Model)


def _shown(value: object) -> str:
    # A number or boolean tells more when it is shown; other text may be a misplaced secret.
    if isinstance(value, Unquoted) and len(value) <= LONGEST_SHOWN:
        return str(value)
    return "the value"
