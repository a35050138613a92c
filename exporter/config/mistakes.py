"""How a mistake in the configuration is told: where it stands, the problem, the expected form."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Location = tuple[str | int, ...]
"""The keys and list positions on the way from the top of the document to a value."""

PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_KEY = 40


class ProblemError(ValueError):
    """What is wrong with one value, and the expected form, in an operator's words.

    `{value}` in the text stands for the value: whoever knows where the value was written knows
    whether it may be shown. With `of_parent` the mistake is told at the mapping around the value.
    """

    def __init__(self, text: str, *, of_parent: bool = False) -> None:
        super().__init__(text)
        self.of_parent = of_parent


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration.

    path: such as `organizations[0].vaults[2].id`; empty for the document as a whole.
    problem: what is wrong with the value there, and the expected form.
    """

    path: str
    problem: str

    @classmethod
    def at(cls, location: Location, problem: str) -> "Mistake":
        """Tell the problem of the value at a location."""
        return cls(path(location), problem)

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


class ConfigError(Exception):
    """The configuration cannot be used; its text has one line for each mistake.

    file: the file as it was named by the operator.
    mistakes: all of them, never empty.
    """

    def __init__(self, file: Path | str, mistakes: Iterable[Mistake]) -> None:
        self.file = str(file)
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{self.file}: {mistake}" for mistake in self.mistakes))


class UnansweredError(ConfigError):
    """A file does not answer, as when the server that it is on is gone. seconds: for which it was waited for."""

    def __init__(self, file: Path, seconds: float) -> None:
        problem = f"did not answer within {seconds:g} s: check the file system that it is on"
        super().__init__(file, [Mistake("", problem)])


class ConfigFilesError(ConfigError):
    """Several files cannot be used; each line of the text names its own."""

    def __init__(self, *errors: ConfigError) -> None:
        mistakes = (mistake for error in errors for mistake in error.mistakes)
        super().__init__(", ".join(error.file for error in errors), mistakes)
        self._text = "\n".join(map(str, errors))

    def __str__(self) -> str:
        return self._text


def path(location: Location) -> str:
    """Write a location as `organizations[0].vaults[2].id`."""
    steps = (f"[{step}]" if isinstance(step, int) else _key_step(step) for step in location)
    return "".join(steps).removeprefix(".")


def _key_step(key: str) -> str:
    shown = key_text(key)
    return f".{shown}" if PLAIN_KEY.fullmatch(shown) else f"[{shown}]"


def key_text(key: str) -> str:
    """Write a key for a message.

    A very long key is cut, for it may be a secret that slipped into the place of a key.
    """
    if len(key) > LONGEST_KEY:
        return json.dumps(f"{key[:8]}...")
    return key if PLAIN_KEY.fullmatch(key) else json.dumps(key)
