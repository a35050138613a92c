"""The samples of a target's own state, whatever its resource."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from exporter.metrics.lines import Lines, label_set
from exporter.metrics.metric import Group, Metric
from exporter.resources import RESOURCES
from exporter.resources.target import Target
from exporter.state.state import TargetState

_LABELS: Final = ("kind", "org", "vault")


def _target(name: str, what: str, unit: str, source: str, *labels: str) -> Metric:
    return Metric(
        name=f"kraken_custody_target_{name}",
        type="gauge",
        help=what,
        labels=(*_LABELS, *labels),
        unit=unit,
        source=source,
    )


TARGET_UP: Final = _target(
    "up",
    "Whether the last poll of the target succeeded and nothing prevents the next; absent before the first.",
    "",
    "poll",
)
TARGET_PAUSED: Final = _target(
    "paused",
    "Whether the target's credential, or everything, is paused.",
    "",
    "pauses of credentials",
)
TARGET_INFO: Final = _target(
    "info",
    "Id of the target and the credential it is read with, to join with metrics by credential. Always 1.",
    "",
    "configuration",
    "id",
    "credential",
)
TARGET_STALE: Final = _target(
    "stale",
    "Whether the target's balances are withheld because they are older than polling.stale_after.",
    "",
    "age of the last good answer",
)
TARGET_LAST_SUCCESS: Final = _target(
    "last_success_timestamp_seconds",
    "When the target was last read, in Unix time.",
    "seconds",
    "clock",
)
TARGET_REFRESH_INTERVAL: Final = _target(
    "refresh_interval_seconds",
    "Measured time between the target's last two polls.",
    "seconds",
    "clock",
)
TARGET_ROWS: Final = _target(
    "rows",
    "Rows in the target's last good answer: the assets of a vault, the entries of a list.",
    "rows",
    "length of the answer",
)
TARGET_INVALID_ROWS: Final = _target(
    "invalid_rows",
    "Rows of the target's last good answer that were rejected.",
    "rows",
    "rows that failed a check",
)
TARGET_INVALID_FIELDS: Final = _target(
    "invalid_fields",
    "Optional fields of the target's last good answer that could not be read; their rows count without them.",
    "fields",
    "optional fields that failed a check",
)
TARGET_ERROR: Final = _target(
    "error",
    "Type of the target's current error; absent while the target is up. Always 1.",
    "",
    "last failed request",
    "type",
)
TARGETS: Final = Group(
    "Targets: the API resources that are polled",
    (
        TARGET_UP,
        TARGET_PAUSED,
        TARGET_INFO,
        TARGET_STALE,
        TARGET_LAST_SUCCESS,
        TARGET_REFRESH_INTERVAL,
        TARGET_ROWS,
        TARGET_INVALID_ROWS,
        TARGET_INVALID_FIELDS,
        TARGET_ERROR,
    ),
)


class OwnLines(NamedTuple):
    """What is the same of a target whatever its polls give: the text of its labels, and its line of TARGET_INFO."""

    credential: str
    labels: str
    info: bytes

    @classmethod
    def of(cls, target: Target) -> "OwnLines":
        """Return them for `target`."""
        of_info = {**target.labels, "id": target.id, "credential": target.credential}
        info = f"{TARGET_INFO.name}{{{_text(of_info)}}} 1.0\n"
        return cls(target.credential, _text(target.labels), info.encode())


def _text(labels: Mapping[str, str]) -> str:
    return label_set(tuple(labels), tuple(labels.values()))


def info_lines(targets: Iterable[OwnLines]) -> Lines:
    """Return the samples that list all targets."""
    lines = b"".join([own.info for own in targets])
    return {TARGET_INFO.name: lines} if lines else {}


def paused_lines(targets: Iterable[OwnLines], credentials: Container[str]) -> Lines:
    """Return the samples that show which targets are paused, given the paused `credentials`."""
    lines = [
        f"{TARGET_PAUSED.name}{{{own.labels}}} {float(own.credential in credentials)}\n"
        for own in targets
    ]
    return {TARGET_PAUSED.name: "".join(lines).encode()} if lines else {}


def _is_stale(state: TargetState) -> int | None:
    # A list is valid until the next one.
    return None if RESOURCES[state.target.kind].is_list else int(state.is_stale)


def _is_up(state: TargetState) -> int | None:
    return int(state.is_up) if state.polls or state.failure else None


def _has_failed(state: TargetState) -> int | None:
    return 1 if state.failure else None


_VALUES: Final[Mapping[str, Callable[[TargetState], float | None]]] = {
    TARGET_STALE.name: _is_stale,
    TARGET_UP.name: _is_up,
    TARGET_LAST_SUCCESS.name: attrgetter("last_success"),
    TARGET_REFRESH_INTERVAL.name: attrgetter("refresh_interval"),
    TARGET_ROWS.name: attrgetter("rows"),
    TARGET_INVALID_ROWS.name: attrgetter("invalid_rows"),
    TARGET_INVALID_FIELDS.name: attrgetter("invalid_fields"),
    TARGET_ERROR.name: _has_failed,
}


class StateLines(Mapping[str, bytes]):
    """The samples of the states of some targets, put together when they are read: most change before a scrape.

    states: each after the labels of its target.
    """

    __slots__ = ("states",)

    def __init__(self, states: Sequence[tuple[str, TargetState]]) -> None:
        self.states = states

    def __getitem__(self, name: str) -> bytes:
        """Return the lines of a metric; raises KeyError if it has none."""
        value_of = _VALUES[name]
        lines = [
            f"{name}{{{labels}{_more(state) if value_of is _has_failed else ''}}} {float(value)}\n"
            for labels, state in self.states
            if (value := value_of(state)) is not None
        ]
        if not lines:
            raise KeyError(name)
        return "".join(lines).encode()

    def __iter__(self) -> Iterator[str]:
        """Return the metrics that have samples."""
        return (name for name in _VALUES if name in self)

    def __len__(self) -> int:
        """The number of metrics that have samples."""
        return sum(1 for _ in self)


def _more(state: TargetState) -> str:
    """Return the label that only TARGET_ERROR has."""
    return f",{_text({'type': state.failure.type})}" if state.failure else ""
