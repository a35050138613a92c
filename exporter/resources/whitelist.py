"""The addresses to which a vault may send: how many there are of each asset, and how many were added.

Addresses, their names and those of beneficiaries are personal data. Two readings are compared by digests with a random
key of this process, so that what is kept cannot be matched with an address, not even by guessing.

Source: Kraken, "List whitelist addresses", in all revisions seen in 2026.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from exporter.custody.client import Request
from exporter.custody.document import InvalidAnswerError
from exporter.discovery.inventory import Inventory
from exporter.metrics.lines import Lines, Page, count_series
from exporter.metrics.metric import Metric
from exporter.resources.fields import (
    ROWS_AT_ONCE,
    Code,
    InvalidRow,
    Text,
    UselessError,
    check_number,
    read_fields,
)
from exporter.resources.resource import (
    CACHED,
    Answer,
    Column,
    Counts,
    Description,
    Exposed,
    MakeRequest,
    Resource,
)
from exporter.resources.target import Key, Target
from exporter.turns import Steps

ENDPOINT: Final = "whitelist_addresses"
INTERVAL_SECONDS: Final = 3600.0

_VAULT_LABELS: Final = ("org", "vault", "vault_id")

ADDRESSES: Final = Metric(
    name="kraken_custody_vault_whitelisted_addresses",
    type="gauge",
    help="Addresses to which the vault may send, by asset; an asset that was seen once stays at 0 "
    f"(API fields asset, asset_class). {CACHED}",
    labels=(*_VAULT_LABELS, "asset", "asset_class"),
    unit="addresses",
    source="asset, asset_class",
    is_field=True,
)
ADDITIONS: Final = Metric(
    name="kraken_custody_vault_whitelist_additions_total",
    type="counter",
    help="Addresses that were not on the vault's whitelist at the reading before, since the start "
    f"(API fields asset, address, tag). {CACHED}",
    labels=_VAULT_LABELS,
    unit="addresses",
    source="asset, address, tag",
    is_field=True,
)


class _Row(msgspec.Struct, frozen=True):
    """The fields that are read of an address; they do not leave `read`."""

    asset: Code
    asset_class: Code
    address: Text
    tag: Text | None = None


class Asset(NamedTuple):
    """The asset of an address."""

    asset: str
    asset_class: str


class Addresses(msgspec.Struct, frozen=True):
    """The contents of a whitelist.

    counts: number of addresses, by asset.
    digests: of the addresses.
    rows: number of rows, including unreadable ones.
    """

    counts: Mapping[Asset, int]
    digests: frozenset[bytes]
    rows: int
    rejected: tuple[InvalidRow, ...] = ()


def read(document: object, digest: Callable[[bytes], bytes]) -> Steps[Addresses]:
    """Read a whitelist; yields after every ROWS_AT_ONCE rows. Raises InvalidAnswerError."""
    match document:
        case list(elements) | {"result": list(elements)} | {"addresses": list(elements)}:
            pass
        case _:
            raise InvalidAnswerError("is neither an array of addresses nor an object with one")
    check_number(elements)
    counts: Counter[Asset] = Counter()
    digests: set[bytes] = set()
    rejected: list[InvalidRow] = []
    for position, element in enumerate(elements):
        if position % ROWS_AT_ONCE == 0:
            yield
        try:
            row = _row(element)
        except UselessError as error:
            rejected.append(InvalidRow(position, *error.mistake))
            continue
        counts[Asset(row.asset, row.asset_class)] += 1
        digests.add(digest(repr((row.asset, row.asset_class, row.address, row.tag)).encode()))
    if rejected and len(rejected) == len(elements):
        first = rejected[0]
        raise InvalidAnswerError(f"has no address that can be read: {first.field} {first.problem}")
    return Addresses(counts, frozenset(digests), len(elements), tuple(rejected))


def _row(element: object) -> _Row:
    row, mistakes = read_fields(_Row, element)
    # Addresses may differ only in the tag, so a row with an unreadable tag is rejected.
    for mistake in mistakes:
        raise UselessError(mistake)
    return row


class Whitelist(msgspec.Struct, frozen=True):
    """What is kept of a whitelist. counts: including assets that no longer have an address."""

    counts: Mapping[Asset, int]
    additions: int
    rows: int
    rejected: tuple[InvalidRow, ...] = ()

    def expose(self, target: Target, known: Container[Description]) -> Steps[Exposed]:
        """Return it as exposed for `target`."""
        del known
        lines = yield from self.lines(target)
        return Exposed(lines, count_series(lines), self, rows=self.rows, rejected=self.rejected)

    def lines(self, target: Target, described: Sequence[object] = ()) -> Steps[Lines]:
        """Return the count of each asset, and the additions."""
        del described
        page, labels = Page(), (target.organization, target.vault, target.id)
        for number, (asset, count) in enumerate(sorted(self.counts.items())):
            if number % ROWS_AT_ONCE == 0:
                yield
            page.sample(ADDRESSES, (*labels, *asset), count)
        page.sample(ADDITIONS, labels, self.additions)
        return page.done()

    def table(self, target: Target, described: Sequence[object], *, is_whole: bool) -> Counts:
        """Return a row for each asset."""
        del target, described, is_whole
        return Counts(
            [(*asset, count) for asset, count in sorted(self.counts.items())],
            empty="There is no address.",
            note=f"addresses added since the exporter started: {self.additions}",
            facts={"additions": self.additions},
        )

    def worth(self, target: Target, described: Sequence[object], *, is_whole: bool) -> None:
        """Return no worth."""
        del target, described, is_whole


class _Seen(msgspec.Struct):
    """What was seen of a vault's whitelist since the start. digests: None before the first reading."""

    assets: dict[Asset, None]
    digests: frozenset[bytes] | None = None
    additions: int = 0


class Requester:
    """Requests the whitelists of vaults, and remembers what it needs to detect additions."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._seen: dict[Key, _Seen] = {}

    def __call__(self, target: Target) -> Request[Answer]:
        """Return the request for the whitelist of a vault."""

        def read_and_compare(document: object) -> Steps[Whitelist]:
            addresses = yield from read(document, self._digest)
            return self._compared(target, addresses)

        return Request(
            endpoint=ENDPOINT,
            tag=target.key,
            path="vaults/{id}/whitelist/addresses",
            id=target.id,
            read=read_and_compare,
            is_personal=True,
        )

    def _digest(self, text: bytes) -> bytes:
        return blake2b(text, key=self._key, digest_size=16).digest()

    def _compared(self, target: Target, addresses: Addresses) -> Whitelist:
        seen = self._seen.setdefault(target.key, _Seen({}))
        seen.assets |= dict.fromkeys(addresses.counts)
        if seen.digests is not None:
            seen.additions += len(addresses.digests - seen.digests)
        # An unreadable row may be an address that was there before; it must not count as an addition later.
        before = seen.digests or frozenset()
        seen.digests = addresses.digests | before if addresses.rejected else addresses.digests
        counts = {asset: addresses.counts.get(asset, 0) for asset in seen.assets}
        return Whitelist(counts, seen.additions, addresses.rows, addresses.rejected)


def _requester() -> MakeRequest:
    return Requester()


def _targets(inventory: Inventory) -> Iterable[Target]:
    for organization in inventory.organizations:
        if WHITELIST.kind not in organization.collect:
            continue
        for vault in organization.vaults:
            yield Target(
                kind=WHITELIST.kind,
                id=vault.id,
                organization=organization.label,
                vault=vault.label,
                interval=INTERVAL_SECONDS,
                credential=vault.credential,
                is_found=not vault.is_configured,
            )


WHITELIST: Final = Resource(
    kind="whitelist",
    endpoint=ENDPOINT,
    singular="whitelist",
    plural="whitelists",
    folder="/whitelists/",
    metrics=(ADDRESSES, ADDITIONS),
    targets=_targets,
    name=lambda target: f"{target.vault} (whitelist)",
    requester=_requester,
    has_own_interval=True,
    heading="Addresses to which the vault may send",
    columns=(
        Column("asset", "Asset", "text"),
        Column("assetClass", "Class", "text"),
        Column("addresses", "Addresses"),
    ),
)
