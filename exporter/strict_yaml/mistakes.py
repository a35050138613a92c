"""Mistakes in the configuration: the place, the problem and the expected form."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, Self

from msgspec import Struct
from msgspec.structs import replace

Location = tuple[str | int, ...]
"""The keys and list indexes from the top of the document to a value."""

PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_KEY = 40
LONGEST_FILE = 256
MOST_MISTAKES: Final = 25
"""Maximum mistakes reported for one file: more than anyone corrects at once, and few enough for a log line and a
page."""
MOST_NAMES: Final = 10
"""Maximum names listed in one mistake."""
MOST_STEPS: Final = 8
"""Maximum steps of a path in a mistake; no known key is as deep."""


class ProblemError(ValueError):
    """What is wrong with one value, and the expected form, for an operator.

    `{value}` in the text is replaced by the value where the caller knows that it may be shown. With `of_parent` the
    mistake is reported at the mapping around the value.
    """

    def __init__(self, text: str, *, of_parent: bool = False) -> None:
        super().__init__(text)
        self.of_parent = of_parent


class NamedProblemError(ProblemError):
    """What is wrong with the file or environment variable that a value names. named: it, a file with its directory.

    The caller knows whether the name may be a misplaced secret.
    """

    def __init__(self, text: str, named: Path | str) -> None:
        super().__init__(text)
        self.named = named

    @property
    def in_full(self) -> str:
        """The problem with the name, or the file's full path."""
        named = self.named.absolute() if isinstance(self.named, Path) else self.named
        return f"{self} ({_end_of(str(named))})"


class MissingFileError(NamedProblemError):
    """A file that is not there."""

    def __init__(self, named: Path) -> None:
        super().__init__("no such file: check the path", named)


class Place(NamedTuple):
    """The place of a mistake: line and column, from 1, and the named thing around it, such as `vault "hot"`."""

    line: int
    column: int
    within: str = ""

    def __str__(self) -> str:
        at = f"line {self.line}, column {self.column}"
        return f"{at}, {self.within}" if self.within else at


class Mistake(Struct, frozen=True):
    """A mistake in a configuration.

    location: of the value; empty for the document as a whole.
    problem: what is wrong with the value, and the expected form.
    place: None if unknown, as for what was not read from a file.
    """

    location: Location
    problem: str
    place: Place | None = None

    @property
    def path(self) -> str:
        """The location, such as `organizations[0].vaults[2].id`."""
        return path(self.location)

    def placed(self, place: Place | None) -> Self:
        """Return the same mistake with its place."""
        return replace(self, place=place)

    def __str__(self) -> str:
        place = f"({self.place})" if self.place else ""
        at = " ".join(filter(None, (self.path, place)))
        return f"{at}: {self.problem}" if at else self.problem


class ConfigError(Exception):
    """The configuration cannot be used; its text has one line for each mistake.

    file: as named by the operator.
    mistakes: the first ones, never empty.
    more: number of further mistakes.
    """

    def __init__(self, file: Path | str, mistakes: Iterable[Mistake], more: int = 0) -> None:
        self.file = str(file)
        self.mistakes = tuple(mistakes)
        self.more = more
        lines = [f"{self.file}: {mistake}" for mistake in self.mistakes]
        if more:
            lines.append(f"{self.file}: and {more} more mistake{'s' if more > 1 else ''}")
        super().__init__("\n".join(lines))


class UnansweredError(ConfigError):
    """Reading a file timed out, as on a network file system whose server is gone. seconds: the timeout."""

    def __init__(self, file: Path, seconds: float) -> None:
        problem = f"did not answer within {seconds:g} s: check its file system"
        super().__init__(file, [Mistake((), problem)])


class ConfigFilesError(ConfigError):
    """Several files cannot be used; each line of the text names its own."""

    def __init__(self, *errors: ConfigError) -> None:
        mistakes = (mistake for error in errors for mistake in error.mistakes)
        more = sum(error.more for error in errors)
        super().__init__(", ".join(error.file for error in errors), mistakes, more)
        self._text = "\n".join(map(str, errors))

    def __str__(self) -> str:
        return self._text


def path(location: Location) -> str:
    """Format a location as `organizations[0].vaults[2].id`; a very deep one without its middle."""
    steps = [f"[{step}]" if isinstance(step, int) else _key_step(step) for step in location]
    if len(steps) > MOST_STEPS:
        half = MOST_STEPS // 2
        steps = [*steps[:half], "...", *steps[-half:]]
    return "".join(steps).removeprefix(".")


def _key_step(key: str) -> str:
    shown = key_text(key)
    return f".{shown}" if PLAIN_KEY.fullmatch(shown) else f"[{shown}]"


def key_text(key: str) -> str:
    """Format a key for a message.

    A very long key is cut, as it may be a misplaced secret.
    """
    shown = cut(key)
    return shown if PLAIN_KEY.fullmatch(shown) else json.dumps(shown)


def cut(text: str) -> str:
    """Return a key or a name, cut if it is very long."""
    return text if len(text) <= LONGEST_KEY else f"{text[:8]}..."


def names_text(names: Iterable[str]) -> str:
    """Format a list of keys for a message; the first of a long one, and the number of the others."""
    known = list(names)
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return ", ".join(map(key_text, known[:MOST_NAMES])) + more


def _end_of(written: str) -> str:
    return written if len(written) <= LONGEST_FILE else f"...{written[-LONGEST_FILE:]}"
