"""From a configuration file to settings: everything is looked at before anything is refused."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from exporter.config.document import LONGEST_DOCUMENT, read_document
from exporter.config.files import contents
from exporter.config.mistakes import ConfigError, Mistake, ProblemError
from exporter.config.relations import relation_mistakes
from exporter.config.settings import Settings
from exporter.config.translation import value_mistakes
from exporter.config.values import Surroundings


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read a configuration file and the files it names.

    Relative paths in it start at its directory; `environ` holds the variables it may name.
    Raises ConfigError with every mistake.
    """
    text, mistakes = _text(path)
    if mistakes:
        raise ConfigError(path, mistakes)
    return _settings(text, path, Surroundings(path.parent, environ))


def parse(text: str, *, directory: Path, environ: Mapping[str, str]) -> Settings:
    """Read a configuration from text, as `load` does from a file in that directory."""
    return _settings(text, "configuration", Surroundings(directory, environ))


# Errors are raised outside of `except`: what they would carry along holds parts of the file.


def _text(path: Path) -> tuple[str, list[Mistake]]:
    try:
        return contents(path, at_most=LONGEST_DOCUMENT).decode("utf-8-sig"), []
    except ProblemError as problem:
        return "", [Mistake("", str(problem))]
    except UnicodeDecodeError:
        return "", [Mistake("", "is not UTF-8 text: save it in that encoding")]


def _settings(text: str, file: Path | str, surroundings: Surroundings) -> Settings:
    settings, mistakes = _examine(text, surroundings)
    if settings is None or mistakes:
        # One value can be seen to be wrong in two ways that come to the same.
        raise ConfigError(file, dict.fromkeys(mistakes))
    return settings


def _examine(text: str, surroundings: Surroundings) -> tuple[Settings | None, list[Mistake]]:
    try:
        tree, mistakes = read_document(text)
    except ProblemError as problem:
        return None, [Mistake("", str(problem))]
    settings = None
    try:
        settings = Settings.model_validate(tree, context=surroundings)
    except ValidationError as errors:
        mistakes += value_mistakes(errors)
    return settings, [*mistakes, *relation_mistakes(tree, surroundings)]
