"""Makes the mutants of a module: one small change each, with a name that survives the moving of lines."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import libcst as cst
from libcst.metadata import (
    ByteSpanPositionProvider,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
)
from mutmut.mutation.mutators import (
    mutation_operators,
    operator_arg_removal,
    operator_assignment,
    operator_dict_arguments,
    operator_string,
)

Operator = tuple[type[cst.CSTNode], Callable[[Any], Iterable[cst.CSTNode]]]


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    function: the qualified name of the outermost function it is in, or of the class, or empty. old, new: the line that
    differs. number: which of those with the same change. lines: of the original, that run where the change matters;
    empty if they run at import. around: those of the outermost function. source: the whole module.
    """

    function: str
    old: str
    new: str
    number: int
    lines: frozenset[int]
    around: frozenset[int]
    source: str

    @property
    def name(self) -> str:
        """Its name, unique within the module and stable when lines move."""
        which = f" ({self.number})" if self.number > 1 else ""
        return f"{self.function or '<module>'}: {self.old} -> {self.new or '(nothing)'}{which}"

    @property
    def rank(self) -> str:
        """A number derived from its name, so that a sample stays the same when other mutants come and go."""
        return hashlib.sha256(self.name.encode()).hexdigest()


def mutants_of(source: str) -> list[Mutant]:
    """Return all mutants of a module that can be compiled."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder(wrapper.module)
    wrapper.visit(finder)
    return finder.mutants


def _dropped_arguments(node: cst.Call) -> Iterator[cst.Call]:
    """Leave out each named argument, and replace each other one by None; mutmut does both with each."""
    for place, argument in enumerate(node.args):
        before, after = node.args[:place], node.args[place + 1 :]
        if argument.keyword or argument.star:
            yield node.with_changes(args=[*before, *after])
        elif not (isinstance(argument.value, cst.Name) and argument.value.value == "None"):
            none = argument.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*before, none, *after])


def _dropped_call(node: cst.Expr) -> Iterator[cst.CSTNode]:
    if isinstance(node.value, cst.Call | cst.Await | cst.Yield):
        yield cst.Pass()


def _is_flag(value: cst.BaseExpression) -> bool:
    """Whether None instead of `value` would be equivalent to False."""
    return isinstance(value, cst.Name) and value.value in ("True", "False", "None")


def _nothing_assigned(node: cst.Assign | cst.AnnAssign) -> Iterator[cst.CSTNode]:
    if node.value is not None and not _is_flag(node.value):
        yield from operator_assignment(node)


def _nothing_returned(node: cst.Return) -> Iterator[cst.CSTNode]:
    if node.value is not None and not _is_flag(node.value):
        yield node.with_changes(value=cst.Name("None"))


def _negated(test: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    # Comparisons, `not` and `and` have separate mutants.
    if isinstance(test, cst.Name | cst.Attribute | cst.Call | cst.Subscript | cst.NamedExpr):
        bracketed = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield cst.UnaryOperation(cst.Not(), bracketed)


# Texts are not behaviour: a test that repeats them proves nothing.
REPLACED: Final = (
    operator_string,
    operator_arg_removal,
    operator_dict_arguments,
    operator_assignment,
)
OPERATORS: Final[tuple[Operator, ...]] = (
    *((kind, operator) for kind, operator in mutation_operators if operator not in REPLACED),
    (cst.Assign, _nothing_assigned),
    (cst.AnnAssign, _nothing_assigned),
    (cst.Call, _dropped_arguments),
    (cst.Expr, _dropped_call),
    (cst.Return, _nothing_returned),
)
UNTOUCHED: Final = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Assert)
UNTOUCHED_CALLS: Final = {"len", "isinstance", "cast", "get_logger", "TypeVar"}


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider, ParentNodeProvider)

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self.mutants: list[Mutant] = []
        self._module = module
        self._source = module.code.encode()
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def on_visit(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.Call(func=cst.Name(value=name)) if name in UNTOUCHED_CALLS:
                return False
        if isinstance(node, UNTOUCHED):
            return False
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                for changed in operator(node):
                    self._add(node, changed)
        if isinstance(node, cst.If | cst.While | cst.CompIf):
            for changed in _negated(node.test):
                self._add(node.test, changed)
        return True

    def _add(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        if isinstance(node, cst.Match):
            # Its own lines get their indentation from elsewhere.
            mutated = _replaced(self._module, node, changed).encode()
        else:
            span = self.get_metadata(ByteSpanPositionProvider, node)
            words = self._module.code_for_node(changed).encode()
            before, after = self._source[: span.start], self._source[span.start + span.length :]
            mutated = before + words + after
        try:
            compile(mutated, "mutant", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return
        old, new = _difference(self._source, mutated)
        if old == new:
            return
        function, is_run_at_import = self._place(node)
        self._seen[function, old, new] += 1
        number = self._seen[function, old, new]
        lines = frozenset() if is_run_at_import else self._span(node)
        around = frozenset() if is_run_at_import else self._around(node)
        self.mutants.append(Mutant(function, old, new, number, lines, around, mutated.decode()))

    def _parents(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        while not isinstance(node, cst.Module):
            yield node
            node = self.get_metadata(ParentNodeProvider, node)

    def _place(self, node: cst.CSTNode) -> tuple[str, bool]:
        """Return the name of the outermost function or class around `node`, and whether it runs at import."""
        names, is_run_at_import, is_default = [], True, False
        for parent in self._parents(node):
            if isinstance(parent, cst.Parameters):
                is_default = True
            elif isinstance(parent, cst.FunctionDef):
                names, is_run_at_import, is_default = [parent.name.value], is_default, False
            elif isinstance(parent, cst.ClassDef):
                names.insert(0, parent.name.value)
        return ".".join(names), is_run_at_import

    def _span(self, node: cst.CSTNode) -> frozenset[int]:
        """Return the lines of the simple statement that `node` is in, or of itself in the head of another."""
        for parent in self._parents(node):
            if isinstance(parent, cst.SimpleStatementLine):
                node = parent
                break
        if isinstance(node, cst.If | cst.While | cst.Match):
            node = node.subject if isinstance(node, cst.Match) else node.test
        return self._lines(node)

    def _around(self, node: cst.CSTNode) -> frozenset[int]:
        """Return the lines of the body of the outermost function that `node` is in."""
        functions = [it for it in self._parents(node) if isinstance(it, cst.FunctionDef)]
        return self._lines(functions[-1].body)

    def _lines(self, node: cst.CSTNode) -> frozenset[int]:
        at = self.get_metadata(PositionProvider, node)
        return frozenset(range(at.start.line, at.end.line + 1))


def _replaced(module: cst.Module, node: cst.CSTNode, changed: cst.CSTNode) -> str:
    replaced = module.deep_replace(node, changed)
    assert isinstance(replaced, cst.Module)  # noqa: S101 - `node` is not the module
    return replaced.code


def _difference(old: bytes, new: bytes) -> tuple[str, str]:
    """Return the lines that differ, as one line each."""
    befores, afters = old.decode().splitlines(), new.decode().splitlines()
    start = _common(befores, afters)
    end = _common(befores[start:][::-1], afters[start:][::-1])
    return _joined(befores[start : len(befores) - end]), _joined(afters[start : len(afters) - end])


def _common(one: list[str], other: list[str]) -> int:
    """Return how many lines at the beginning are the same."""
    differ = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
