"""The base of models that a document is read into, and messages for operators instead of pydantic's."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from exporter.strict_yaml.mistakes import (
    LONGEST_KEY,
    MOST_MISTAKES,
    Location,
    Mistake,
    NamedProblemError,
    ProblemError,
    cut,
)
from exporter.strict_yaml.scalars import Unquoted, kind
from exporter.strict_yaml.secret_text import IN_ITS_PLACE, may_be_secret

LONGEST_SHOWN = 40
# pydantic appends this to the location of an invalid key, as opposed to its value.
KEY_MARK = "[key]"
# The names of keys for the sources of secrets, and their usual misspellings.
SOURCE = re.compile(r"(.*(?:key|secret|otp))_(?:file|env)")
FILE_OR_VARIABLE = re.compile(r"f[il]+e?|path|env|var", re.IGNORECASE)
SECRET_WORDS = re.compile("key|secret|otp|token|pass", re.IGNORECASE)


class Model(BaseModel):
    """A part of the settings; a key without a value counts as absent."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothing(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        return {
            key: value
            for key, value in raw.items()
            if value is not None or key not in cls.model_fields
        }


class Document(Model):
    """A configuration file as a whole.

    example: the file that shows all keys.
    hidden: the sections whose values no message quotes.
    never_inline: the message for an unknown key that looks like a secret.
    lists: what messages call the entries of lists of named things.
    """

    example: ClassVar[str]
    hidden: ClassVar[frozenset[str]]
    never_inline: ClassVar[str] = ""
    lists: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def named_around(cls, location: Location, tree: object) -> str:
        """Return the innermost named thing around a place in the document `tree`, such as `vault "hot"`, or ""."""
        found, above = "", ""
        for step in location:
            match tree, step:
                case (dict(), str()) if step in tree:
                    tree, above = tree[step], step
                case (list(), int()):
                    tree = tree[step]
                    name = tree.get("name") if isinstance(tree, dict) else None
                    if above in cls.lists and isinstance(name, str) and name.isprintable():
                        found = f"{cls.lists[above]} {json.dumps(cut(name), ensure_ascii=False)}"
                case _:
                    break
        return found


def value_mistakes(errors: ValidationError, document: type[Document]) -> Iterator[Mistake]:
    """Yield the mistakes of single values of a document."""
    for number, error in enumerate(errors.errors(include_url=False)):
        at = error["loc"]
        match error["type"]:
            case "value_error":
                problem: ProblemError = error["ctx"]["error"]
                if problem.of_parent or at[-1] == KEY_MARK:
                    at = at[:-1]
                shown = "the value" if at and at[0] in document.hidden else _shown(error["input"])
                told = _told(problem, at, error["input"], document)
                yield Mistake(at, told.replace("{value}", shown))
            case "default_factory_not_called":
                continue  # the name of something whose id is wrong
            case "too_short" if error["input"]:
                continue  # there are entries, but none is right
            case "extra_forbidden" if number >= MOST_MISTAKES:
                # Suggestions take time, and this mistake is only counted.
                yield Mistake(at, "unknown key")
            case kind_of_error:
                yield Mistake(at, _problem(kind_of_error, at, error, document))


def _told(problem: ProblemError, at: Location, written: object, document: type[Document]) -> str:
    if not isinstance(problem, NamedProblemError):
        return str(problem)
    if at[0] not in document.hidden:
        return problem.in_full
    is_secret = may_be_secret(str(at[-1]), str(written))
    return f"{problem}{IN_ITS_PLACE}" if is_secret else problem.in_full


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
    is_secret = at[0] in document.hidden or SECRET_WORDS.search(key)
    never_inline = document.never_inline if is_secret else ""
    # Long keys are cut: they may be secrets, comparing them takes time, and no known key is as long.
    close = difflib.get_close_matches(key[:LONGEST_KEY], known, n=1)
    forms = [name for name in known if close and _source_of(name) == _source_of(close[0])]
    if not close:
        hint = f"known here: {', '.join(known)}"
    elif never_inline and _source_of(close[0]) and not FILE_OR_VARIABLE.search(key):
        # Naming only one of them would invite people to write the secret itself there.
        written = " or ".join(
            f"{name}: {'PATH' if name.endswith('_file') else 'NAME'}" for name in forms
        )
        return f"unknown key{never_inline}; write {written}"
    else:
        hint = f"did you mean '{close[0]}'?"
    return f"unknown key{never_inline}; {hint}"


def _source_of(name: str) -> str | None:
    """Return the secret whose source a key names, such as `api_key` for `api_key_env`."""
    source = SOURCE.fullmatch(name)
    return source and source[1]


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
    # Numbers and booleans are shown; other text may be a misplaced secret.
    if isinstance(value, Unquoted) and len(value) <= LONGEST_SHOWN:
        return str(value)
    return "the value"
