"""The samples of a target's own state, whatever its resource."""

from collections.abc import Container, Iterable
from typing import Final, NamedTuple

from exporter.metrics.lines import Lines, Page, label_set
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


class _TargetPage(Page):
    """The samples of `target`."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._labels = target.labels

    def add(self, metric: Metric, value: float | None, **more: str) -> None:
        """Add a sample, if there is a value; `more` are labels in addition to those of every target."""
        labels = {**self._labels, **more}
        self.labelled(metric, tuple(labels), tuple(labels.values()), value)


class OwnLines(NamedTuple):
    """The lines of a target that do not depend on its polls. paused: the sample without its value."""

    credential: str
    info: bytes
    paused: bytes

    @classmethod
    def of(cls, target: Target) -> "OwnLines":
        """Return them for `target`."""
        page = _TargetPage(target)
        page.add(TARGET_INFO, 1, id=target.id, credential=target.credential)
        labels = label_set(tuple(target.labels), tuple(target.labels.values()))
        paused = f"{TARGET_PAUSED.name}{{{labels}}} "
        return cls(target.credential, page.done()[TARGET_INFO.name], paused.encode())


def info_lines(targets: Iterable[OwnLines]) -> Lines:
    """Return the samples that list all targets."""
    lines = b"".join([own.info for own in targets])
    return {TARGET_INFO.name: lines} if lines else {}


def paused_lines(targets: Iterable[OwnLines], credentials: Container[str]) -> Lines:
    """Return the samples that show which targets are paused, given the paused `credentials`."""
    values = [
        (own.paused, b"1.0\n" if own.credential in credentials else b"0.0\n") for own in targets
    ]
    lines = b"".join([part for line in values for part in line])
    return {TARGET_PAUSED.name: lines} if lines else {}


def target_lines(state: TargetState) -> Lines:
    """Return the samples of a target's state."""
    page = _TargetPage(state.target)
    if not RESOURCES[state.target.kind].is_list:
        page.add(TARGET_STALE, int(state.is_stale))
    if state.polls or state.failure:
        page.add(TARGET_UP, int(state.is_up))
    page.add(TARGET_LAST_SUCCESS, state.last_success)
    page.add(TARGET_REFRESH_INTERVAL, state.refresh_interval)
    page.add(TARGET_ROWS, state.rows)
    page.add(TARGET_INVALID_ROWS, state.invalid_rows)
    page.add(TARGET_INVALID_FIELDS, state.invalid_fields)
    if state.failure is not None:
        page.add(TARGET_ERROR, 1, type=state.failure.type)
    return page.done()
