"""Reads a file into its model; all of it is checked before it is rejected.

Every scalar stays the text that was written. Numbers are parsed later, exactly, by the field that expects one, and none
of YAML's implicit conversions (`NO` as false, `010` as eight, `1:30` as ninety) apply.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import yaml

from exporter.strict_yaml.files import contents
from exporter.strict_yaml.mistakes import (
    MOST_MISTAKES,
    ConfigError,
    ConfigFilesError,
    Location,
    MissingFileError,
    Mistake,
    NamedProblemError,
    Place,
    ProblemError,
)
from exporter.strict_yaml.scalars import Context, Unquoted, kind
from exporter.strict_yaml.validation import Read, read_tree

First = TypeVar("First")
Second = TypeVar("Second")
Relations = Callable[[object, Context], Iterable[Mistake]]

LONGEST_DOCUMENT = 1024 * 1024
# More values than a document of that size can have without nested aliases.
MOST_VALUES = 1_000_000

TAG = "tag:yaml.org,2002:"
NOTHING, MERGE = f"{TAG}null", f"{TAG}merge"
TEXT = {f"{TAG}str", f"{TAG}value"}
COLLECTIONS = {f"{TAG}map", f"{TAG}seq"}
READ_AS = {
    f"{TAG}int": "a number",
    f"{TAG}float": "a number",
    f"{TAG}bool": "a boolean",
    f"{TAG}timestamp": "a date",
    NOTHING: "nothing",
}

UNKNOWN_BREAKAGE = "broken YAML: check the quotes, brackets and indentation here and above"
# PyYAML's messages are for authors of parsers, and some quote the file.
PLAIN_WORDS = {
    r"'\t' that cannot start": "a tab: use spaces",
    "cannot start any token": "text that begins with this character: put it in quotes",
    "mapping values are not allowed": "an unexpected ':': check the indentation and the ':' of the line "
    "above, or put text with a ':' in quotes",
    "found unknown escape character": "an unknown escape after a backslash: use single quotes",
    "found undefined alias": "an alias without its anchor: put text that begins with '*' in quotes",
    "second occurrence": "an anchor that is defined a second time",
    "expected <block end>": "a line that does not fit those above it: check the indentation",
    "expected the node content": "a missing value, or one bracket too many",
    "sequence entries are not allowed": "an unexpected '- ': begin a new line with it, indented like its "
    "neighbours",
    "found another document": "a second document: only one is allowed",
}
# Detected only lines below or at the end of the file: reported where the unfinished part begins.
UNFINISHED = {
    "could not find expected ':'": "a key without ': ' after it",
    "found unexpected end of stream": "a quote that is never closed",
    "expected ',' or": "a bracket that is not closed, or lacks a comma, before {found}",
}


def load_document(
    path: Path,
    environ: Mapping[str, str],
    document: type[Read],
    relations: Relations,
    placeholders: Mapping[str, str] = MappingProxyType({}),
) -> Read:
    """Read a file and the files it names; `relations` finds mistakes that involve several values.

    Relative paths in it start at its directory; `environ` has the variables it may name. placeholders: the values of
    `{name}` in its paths and names of variables.
    Raises ConfigError with every mistake.
    """
    text, mistakes = _text(path, example=document.example)
    if mistakes:
        raise ConfigError(path, mistakes)
    return _read(text, path, Context(path.parent, environ, placeholders), document, relations)


def read_both(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Read two files. Raises ConfigError with the mistakes of both."""
    try:
        read = first()
    except ConfigError as error:
        try:
            second()
        except ConfigError as other:
            raise ConfigFilesError(error, other) from None
        raise
    return read, second()


def parse_document(text: str, context: Context, document: type[Read], relations: Relations) -> Read:
    """Read a document from text, as `load_document` does from a file."""
    return _read(text, "configuration", context, document, relations)


# Errors are raised outside of `except`: their context would hold parts of the file.


def _text(path: Path, *, example: str) -> tuple[str, list[Mistake]]:
    try:
        return contents(path, at_most=LONGEST_DOCUMENT).decode("utf-8-sig"), []
    except NamedProblemError as problem:
        # An absolute path already shows where the file was looked for.
        shown = str(problem) if path.is_absolute() else problem.in_full
        if isinstance(problem, MissingFileError):
            shown += f", or create it: {example} shows what belongs here"
        return "", [Mistake((), shown)]
    except UnicodeDecodeError:
        return "", [Mistake((), "is not UTF-8 text: save it in that encoding")]


def _read(
    text: str,
    file: Path | str,
    context: Context,
    document: type[Read],
    relations: Relations,
) -> Read:
    read, mistakes = _examine(text, context, document, relations)
    if read is None or mistakes:
        raise ConfigError(file, mistakes[:MOST_MISTAKES], len(mistakes[MOST_MISTAKES:]))
    return read


def _examine(
    text: str, context: Context, document: type[Read], relations: Relations
) -> tuple[Read | None, list[Mistake]]:
    try:
        written = read_document(text, example=document.example)
    except ProblemError as problem:
        return None, [Mistake((), str(problem))]
    read, mistakes = read_tree(written.tree, document, context)
    # One value may be found wrong twice with the same message.
    found = list(dict.fromkeys((*written.mistakes, *mistakes, *relations(written.tree, context))))
    for number, mistake in enumerate(found[:MOST_MISTAKES]):
        place = written.place(mistake.location)
        within = place and place._replace(
            within=document.named_around(mistake.location, written.tree)
        )
        found[number] = mistake.placed(within)
    return read, found


class Written(NamedTuple):
    """A document as it was written. tree: its values. mistakes: of YAML syntax."""

    tree: object
    mistakes: list[Mistake]
    node: yaml.Node | None

    def place(self, location: Location) -> Place | None:
        """Return the place of a value, or of the nearest thing around it: its key, or its entry in a list."""
        if self.node is None:
            return None
        node, mark = self.node, self.node.start_mark
        for step in location:
            if (found := _child(node, step)) is None:
                break
            beginning, node = found
            mark = beginning.start_mark
        return Place(mark.line + 1, mark.column + 1)


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the beginning of an entry of a mapping or a list, and its value; the last one of a duplicate key."""
    if isinstance(node, yaml.SequenceNode):
        is_there = isinstance(step, int) and step < len(node.value)
        return (node.value[step], node.value[step]) if is_there else None
    pairs = reversed(node.value) if isinstance(node, yaml.MappingNode) else ()
    return next((pair for pair in pairs if pair[0].value == step), None)


def read_document(text: str, *, example: str) -> Written:
    """Read the values of a YAML document.

    Raises ProblemError if the text is not a document; `example` is the file to learn from.
    """
    if len(text) > LONGEST_DOCUMENT:
        raise ProblemError("is larger than 1 MiB: is it the right file?")
    reader = _Reader()
    try:
        node = _compose(text)
        tree = None if node is None else reader.value(node, ())
    except RecursionError:
        raise ProblemError("is nested too deeply, or an alias contains itself") from None
    if tree is None and not reader.mistakes:
        raise ProblemError(f"is empty: {example} shows what belongs here")
    return Written(tree, reader.mistakes, node)


def _compose(text: str) -> yaml.Node | None:
    # PyYAML's Python parser, not its faster libyaml binding, in which deep nesting crashes the process.
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        column = error.position - text.rfind("\n", 0, error.position) - 1
        raise ProblemError(f"{_place(line, column)}: a control character: remove it") from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise ProblemError(_broken(error, loader.get_mark())) from None
    except (ValueError, OverflowError):  # from chr(), for an escape such as "\UFFFFFFFF"
        mark = loader.get_mark()
        raise ProblemError(
            f"{_place(mark.line, mark.column)}: an escape that is not a character"
        ) from None
    finally:
        loader.dispose()


def _place(line: int, column: int) -> str:
    return f"line {line + 1}, column {column + 1}"


def _broken(error: yaml.MarkedYAMLError, read_to: yaml.Mark) -> str:
    """Describe a syntax error and its place. read_to: where reading ended, for an error without a place."""
    problem, mark = error.problem or "", error.problem_mark or read_to
    found = _place(mark.line, mark.column)
    for part, words in UNFINISHED.items():
        if part in problem and (begun := error.context_mark):
            return f"{_place(begun.line, begun.column)}: {words.format(found=found)}"
    words = next(
        (words for part, words in PLAIN_WORDS.items() if part in problem), UNKNOWN_BREAKAGE
    )
    return f"{found}: {words}"


class _Reader:
    """Converts the nodes of a document to values and collects mistakes."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._values = 0

    def value(self, node: yaml.Node, at: Location) -> object:
        self._values += 1
        if self._values > MOST_VALUES:
            raise ProblemError(f"expands to more than {MOST_VALUES} values: are aliases nested?")
        match node:
            case yaml.ScalarNode():
                return self._scalar(node, at)
            case yaml.SequenceNode(tag=tag) if tag in COLLECTIONS:
                return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
            case yaml.MappingNode(tag=tag) if tag in COLLECTIONS:
                return self._mapping(node, at)
            case _:
                self._tagged(at)
                return None

    def _scalar(self, node: yaml.ScalarNode, at: Location) -> object:
        if node.tag == NOTHING:
            return None
        if node.tag in READ_AS:
            return _unquoted(node)
        if node.tag in TEXT:
            return node.value
        self._tagged(at)
        return None

    def _tagged(self, at: Location) -> None:
        # The tag is not shown: an unquoted secret may begin with an exclamation mark.
        self._mistake(at, "has a YAML tag: put text that begins with '!' in quotes")

    def _mapping(self, node: yaml.MappingNode, at: Location) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == MERGE:
                merged = {**self._merged(value_node, at), **merged}
                continue
            key = _key(key_node)
            if key is None:
                self._mistake(at, f"the key on line {line} is not plain text: write a name there")
                continue
            if key in lines:
                problem = f"is written twice, on line {lines[key]} and on line {line}: keep one"
                self._mistake((*at, key), problem)
            lines[key] = line
            own[key] = self.value(value_node, (*at, key))
        return {**merged, **own}

    def _merged(self, node: yaml.Node, at: Location) -> dict[str, object]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, object] = {}
        for source in sources:
            fields = self.value(source, at)
            if isinstance(fields, dict):
                merged = {**fields, **merged}
            else:
                self._mistake(at, f"'<<' merges mappings, not {kind(fields)}")
        return merged

    def _mistake(self, at: Location, problem: str) -> None:
        self.mistakes.append(Mistake(at, problem))


def _key(node: yaml.Node) -> str | None:
    if not isinstance(node, yaml.ScalarNode) or not node.value.isprintable():
        return None
    if node.tag in READ_AS:
        return _unquoted(node)
    return str(node.value) if node.tag in TEXT else None


def _unquoted(node: yaml.ScalarNode) -> Unquoted:
    unquoted = Unquoted(node.value)
    unquoted.reads_as = READ_AS[node.tag]
    return unquoted
