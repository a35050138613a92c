"""What organizations and vaults that were found are called."""

from collections.abc import Collection, Container, Iterable, Iterator

from exporter.discovery.known import AT_ONCE, Found
from exporter.turns import Steps


def labels_of(
    finds: Iterable[Found], taken: Collection[str], ids: Container[str]
) -> Steps[dict[str, str]]:
    """Return the label of each find by its id: its name, or `name (id)` where that is taken, else its id.

    taken: the labels that the configuration gives, which no find changes. ids: of all that a label may be mistaken for;
    nothing is called by the id of another. Of several with one name, the one that has had it for longest goes by it
    alone: whoever takes another's name does not take its label.
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
