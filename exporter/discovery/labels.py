"""The labels of discovered organizations and vaults."""

from collections.abc import Collection, Container, Iterable, Iterator

from exporter.discovery.known import AT_ONCE, Found
from exporter.turns import Steps


def labels_of(
    finds: Iterable[Found], taken: Collection[str], ids: Container[str]
) -> Steps[dict[str, str]]:
    """Return the label of each find by its id: its name, or `name (id)` if the name is taken, else its id.

    taken: labels from the configuration, which no find changes. ids: of everything; no label is the id of something
        else. Of several finds with one name, the one that has had it longest gets it as its label: taking a name does
        not take over a label.
    """
    used = set(taken)
    labels = {}
    for number, found in enumerate(sorted(finds, key=lambda it: (it.named_at, it.listed.id))):
        if number % AT_ONCE == 0:
            yield
        id_, name, _, _ = found.listed
        label = next(
            it for it in _candidates(id_, name) if it not in used and _is_own(it, id_, ids)
        )
        used.add(label)
        labels[id_] = label
    return labels


def _candidates(id_: str, name: str) -> Iterator[str]:
    if name:
        yield name
        yield f"{name} ({id_})"
    label = id_
    while True:
        yield label
        label += f" ({id_})"


def _is_own(label: str, id_: str, ids: Container[str]) -> bool:
    return label == id_ or label not in ids
