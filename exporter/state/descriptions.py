"""What answers describe, such as assets: each once, however many targets describe it."""

from collections.abc import Container, Hashable, Mapping
from types import MappingProxyType

from exporter.metrics.lines import Lines
from exporter.resources.resource import Description


class Descriptions:
    """Everything that any target describes, once, in its latest description.

    Targets may describe a thing differently for a while, so each description is kept with the number of targets that
    gave it, the latest last. A target that repeats an older description does not bring it back.
    """

    def __init__(self) -> None:
        self._holders: dict[Hashable, dict[Description, int]] = {}
        self._known: dict[Description, tuple[Description, Lines]] = {}

    @property
    def known(self) -> Container[Description]:
        """All that any target has."""
        return self._known.keys()

    def exchange(
        self,
        old: tuple[Description, ...],
        new: tuple[Description, ...],
        lines: Mapping[Description, Lines] = MappingProxyType({}),
    ) -> tuple[Description, ...]:
        """Replace a target's `old` descriptions by `new`; return `new` as objects that all targets share.

        lines: already rendered lines of new descriptions; rendering thousands takes longer than other tasks may wait.

        Most targets give equal descriptions, and each answer brings new copies: unshared, they would take half as much
        memory as the samples.
        """
        # Descriptions rarely change between polls.
        if old == new:
            return old
        held = set(old)
        for description in new:
            if description not in held:
                self._add(description, lines)
        for description in held.difference(new):
            self._remove(description)
        return tuple(self._known[description][0] for description in new)

    def pages(self) -> tuple[Lines, ...]:
        """Return the lines of everything that is described."""
        return tuple(self._known[next(reversed(holders))][1] for holders in self._holders.values())

    def _add(self, description: Description, lines: Mapping[Description, Lines]) -> None:
        holders = self._holders.setdefault(description.key, {})
        holders[description] = holders.pop(description, 0) + 1
        if description not in self._known:
            self._known[description] = description, lines.get(description) or description.lines()

    def _remove(self, description: Description) -> None:
        key = description.key
        holders = self._holders[key]
        holders[description] -= 1
        if not holders[description]:
            del holders[description], self._known[description]
        if not holders:
            del self._holders[key]
