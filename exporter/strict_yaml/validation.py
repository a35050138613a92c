"""The base of models, and how a document is read into one: every value is read, and each mistake noted at its place."""

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    get_args,
    get_origin,
)

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields, replace

from exporter.strict_yaml.mistakes import (
    LONGEST_KEY,
    MOST_MISTAKES,
    Location,
    Mistake,
    NamedProblemError,
    ProblemError,
    cut,
)
from exporter.strict_yaml.scalars import Before, Context, Fields, Unquoted, Within, kind
from exporter.strict_yaml.secret_text import IN_ITS_PLACE, may_be_secret

Read = TypeVar("Read", bound="Document")

LONGEST_SHOWN = 40
# The names of keys for the sources of secrets, and their usual misspellings.
SOURCE = re.compile(r"(.*(?:key|secret|otp))_(?:file|env)")
FILE_OR_VARIABLE = re.compile(r"f[il]+e?|path|env|var", re.IGNORECASE)
SECRET_WORDS = re.compile("key|secret|otp|token|pass", re.IGNORECASE)

_WRONG: Final = object()
"""Stands for a value whose mistakes are noted."""


class Model(Struct, frozen=True):
    """A part of the settings; a key without a value counts as absent.

    The type of a field says how its value is read: by its sections, lists, mappings and choices, and then by the
    functions in `Annotated[type, ...]`, each of which gets the result of the one before it. Defaults are read too. A
    field whose name begins with an underscore is no key of the document.
    """

    @classmethod
    def is_absent(cls, key: str, value: object) -> bool:
        """Whether a key of this section counts as absent."""
        del key
        return value is None

    def completed(self, context: Context) -> Self:
        """Return a section without mistakes with what else it holds. Raises ProblemError about the whole section."""
        del context
        return self


@cache
def keys_of(model: type[Model]) -> Mapping[str, FieldInfo]:
    """Return the keys of a section."""
    return {field.name: field for field in fields(model) if not field.name.startswith("_")}


def default_of(key: FieldInfo) -> object:
    """Return the default of a key, NODEFAULT if it is required."""
    return key.default if key.default_factory is NODEFAULT else key.default_factory()


class Document(Model, frozen=True):
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


def read_tree(
    tree: object, document: type[Read], context: Context
) -> tuple[Read | None, list[Mistake]]:
    """Read the values of a document. Returns it, if none is wrong, and the mistakes of single values."""
    reading = _Reading(document, context, [])
    read = reading.value(document, tree, ())
    return read if isinstance(read, document) else None, reading.mistakes


class _Reading(NamedTuple):
    """Reads the values of a section by their types, and notes every mistake."""

    document: type[Document]
    context: Context
    mistakes: list[Mistake]

    def value(self, form: object, written: object, at: Location) -> object:
        """Return the value, or _WRONG."""
        try:
            return self._value(form, written, at)
        except ProblemError as problem:
            is_hidden = not at or at[0] in self.document.hidden
            told = _told(problem, at, written, is_hidden=is_hidden)
            shown = "the value" if is_hidden else _shown(written)
            place = at[:-1] if problem.of_parent else at
            self.mistakes.append(Mistake(place, told.replace("{value}", shown)))
            return _WRONG

    def _value(self, form: object, written: object, at: Location) -> object:
        if isinstance(form, type) and issubclass(form, Model):
            return self._section(form, written, at)
        origin, arguments = get_origin(form), get_args(form)
        if origin is Annotated:
            return self._annotated(*arguments, written=written, at=at)
        if origin is Mapping:
            return self._mapping(*arguments, written=written, at=at)
        if origin is tuple:
            return self._list(arguments[0], written, at)
        if NoneType in arguments and written is not None:
            return self._value(arguments[0], written, at)
        if origin is Literal and written not in arguments:
            *others, last = map(repr, arguments)
            raise ProblemError(f"must be {', '.join(others)} or {last}")
        return written

    def _annotated(self, form: object, *steps: Any, written: object, at: Location) -> object:  # noqa: ANN401 - as Annotated takes them
        for step in steps:
            if isinstance(step, Before):
                written = step.read(written, self.context)
        value = self._value(form, written, at)
        for step in steps:
            if value is not _WRONG and not isinstance(step, Before):
                value = step.read(value, self.context) if isinstance(step, Within) else step(value)
        return value

    def _list(self, form: object, written: object, at: Location) -> object:
        if not isinstance(written, list | tuple):
            raise ProblemError(f"must be a list (each entry after '- '), not {kind(written)}")
        entries = tuple(self.value(form, entry, (*at, i)) for i, entry in enumerate(written))
        return _WRONG if _WRONG in entries else entries

    def _mapping(self, name: object, form: object, *, written: object, at: Location) -> object:
        entries = {
            self.value(name, key, (*at, key)): self.value(form, entry, (*at, key))
            for key, entry in _fields(written).items()
        }
        return _WRONG if _WRONG in (*entries, *entries.values()) else entries

    def _section(self, model: type[Model], written: object, at: Location) -> object:
        if isinstance(written, model):
            return written
        found, keys, mistakes = _fields(written), keys_of(model), len(self.mistakes)
        section = self._replace(context=replace(self.context, read={}))
        for name, key in keys.items():
            value = found.get(name)
            if model.is_absent(name, value) and (value := default_of(key)) is NODEFAULT:
                self.mistakes.append(Mistake((*at, name), "is required"))
            elif (read := section.value(key.type, value, (*at, name))) is not _WRONG:
                section.context.read[name] = read
        for name in found:
            if name not in keys:
                self.mistakes.append(Mistake((*at, name), self._unknown_key(name, at, list(keys))))
        is_right = len(self.mistakes) == mistakes
        return model(**section.context.read).completed(self.context) if is_right else _WRONG

    def _unknown_key(self, key: str, at: Location, known: list[str]) -> str:
        if len(self.mistakes) >= MOST_MISTAKES:
            return "unknown key"  # suggestions take time, and this mistake is only counted
        is_secret = (*at, key)[0] in self.document.hidden or SECRET_WORDS.search(key)
        never_inline = self.document.never_inline if is_secret else ""
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


def _fields(written: object) -> Fields:
    if not isinstance(written, dict):
        raise ProblemError(f"must be a mapping (lines of 'key: value'), not {kind(written)}")
    return written


def _told(problem: ProblemError, at: Location, written: object, *, is_hidden: bool) -> str:
    if not isinstance(problem, NamedProblemError):
        return str(problem)
    is_secret = is_hidden and may_be_secret(str(at[-1]), str(written))
    return f"{problem}{IN_ITS_PLACE}" if is_secret else problem.in_full


def _source_of(name: str) -> str | None:
    """Return the secret whose source a key names, such as `api_key` for `api_key_env`."""
    source = SOURCE.fullmatch(name)
    return source and source[1]


def _shown(value: object) -> str:
    # Numbers and booleans are shown; other text may be a misplaced secret.
    if isinstance(value, Unquoted) and len(value) <= LONGEST_SHOWN:
        return str(value)
    return "the value"
