"""From a file to what it says: everything is looked at before anything is refused."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from exporter.config.document import LONGEST_DOCUMENT, read_document
from exporter.config.files import contents
from exporter.config.mistakes import (
    MOST_MISTAKES,
    ConfigError,
    ConfigFilesError,
    Mistake,
    NamedProblemError,
    ProblemError,
)
from exporter.config.models import Document
from exporter.config.translation import value_mistakes
from exporter.config.values import Surroundings

Read = TypeVar("Read", bound=Document)
First = TypeVar("First")
Second = TypeVar("Second")
Relations = Callable[[object, Surroundings], Iterable[Mistake]]


def load_document(
    path: Path, environ: Mapping[str, str], document: type[Read], relations: Relations
) -> Read:
    """Read a file and the files it names; `relations` finds what is wrong between its values.

    Relative paths in it start at its directory; `environ` holds the variables it may name.
    Raises ConfigError with every mistake.
    """
    text, mistakes = _text(path)
    if mistakes:
        raise ConfigError(path, mistakes)
    return _read(text, path, Surroundings(path.parent, environ), document, relations)


def read_both(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Read two files. Raises ConfigError with what is wrong with either, or with both."""
    try:
        read = first()
    except ConfigError as error:
        try:
            second()
        except ConfigError as other:
            raise ConfigFilesError(error, other) from None
        raise
    return read, second()


def parse_document(
    text: str, surroundings: Surroundings, document: type[Read], relations: Relations
) -> Read:
    """Read a document from text, as `load_document` does from a file."""
    return _read(text, "configuration", surroundings, document, relations)


# Errors are raised outside of `except`: what they would carry along holds parts of the file.


def _text(path: Path) -> tuple[str, list[Mistake]]:
    try:
        return contents(path, at_most=LONGEST_DOCUMENT).decode("utf-8-sig"), []
    except NamedProblemError as problem:
        # Where it was looked for is to be seen already in a path that begins at the root.
        return "", [Mistake((), str(problem) if path.is_absolute() else problem.in_full)]
    except UnicodeDecodeError:
        return "", [Mistake((), "is not UTF-8 text: save it in that encoding")]


def _read(
    text: str,
    file: Path | str,
    surroundings: Surroundings,
    document: type[Read],
    relations: Relations,
) -> Read:
    read, mistakes = _examine(text, surroundings, document, relations)
    if read is None or mistakes:
        raise ConfigError(file, mistakes[:MOST_MISTAKES], len(mistakes[MOST_MISTAKES:]))
    return read


def _examine(
    text: str, surroundings: Surroundings, document: type[Read], relations: Relations
) -> tuple[Read | None, list[Mistake]]:
    try:
        written = read_document(text, example=document.example)
    except ProblemError as problem:
        return None, [Mistake((), str(problem))]
    read, mistakes = None, written.mistakes
    try:
        read = document.model_validate(written.tree, context=surroundings)
    except ValidationError as errors:
        mistakes += value_mistakes(errors, document)
    mistakes += relations(written.tree, surroundings)
    # One value can be seen to be wrong in two ways that come to the same.
    found = list(dict.fromkeys(mistakes))
    for number, mistake in enumerate(found[:MOST_MISTAKES]):
        place = written.place(mistake.location)
        within = place and place._replace(
            within=document.named_around(mistake.location, written.tree)
        )
        found[number] = mistake.placed(within)
    return read, found
