"""The shape of an answer: its keys and the kinds of its values, without the values.

Safe to paste into a public issue: it shows which revision of the API answered, and no value, length, id, name or
amount. Keys may be data, as in an object with a member for each vault; so only keys that are documented or look like
the API's own are shown, and only a few undocumented ones.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from msgspec import Struct, field

_DOCUMENTED: Final = """
Problem documents and envelopes: type status title detail instance data message core_error source error errors result
errorClass errorMessage severity
List organizations, list balances: org_id org_iiban iiban iban name quote_asset quote_asset_class balance total spot
staked pledged
List vaults, get vault, get vault balance: vaults quote asset asset_class id balance_fiat balance_diff missing_rates
attributes deposit_lock_rekeying_only otc_enabled description created_at updated_at
List vault asset balances: name_full symbol decimals display_decimals rate_decimals funding_decimals min_lot reserve
virtual metadata color_code hold available launch_time quote_balance quote_spot_balance quote_available quote_price
List tasks: type_label state expires_at initiator full_name role ip_address tasks quorum_type can_review
current_user_decision reviewer_statistics_label instruction_types approval_id reviewer_statistics approved denied
undecided current_count required_quorum vault_id vault_info subquorum_config subquorum_snapshot
List whitelist addresses: addresses address_name address tag beneficiary
Server time: unixtime rfc1123
"""
KNOWN_KEYS: Final = frozenset(
    key for line in _DOCUMENTED.splitlines() for key in line.rpartition(": ")[2].split()
)
"""Every key that Kraken documents, in any revision, for the endpoints read here and for errors."""

OTHER_KEY: Final = "other key"
_API_STYLE: Final = re.compile(r"[a-z][a-z_]*")
_LONGEST_KEY: Final = 40
_MOST_UNKNOWN_KEYS: Final = 20
"""Of one object. More are taken as data, such as names or codes."""
_MOST_VALUES: Final = 5_000
"""Maximum values examined, and keys of one object, so that no answer takes long; later rows have the same shape as the
first."""
_MOST_DEPTH: Final = 12
_MOST_LINES: Final = 200
_FEW: Final = 10
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")

IsPrivate = Callable[[str], bool]


def _nothing(key: str) -> bool:
    del key
    return False


class _Node(Struct):
    """The values at one place of a document; all elements of an array share one place.

    kinds: of the values.
    objects: number of objects among them.
    members: by the key shown.
    present: number of objects that have each member.
    elements: of the arrays among them.
    unknown: undocumented keys that are shown.
    """

    kinds: set[str] = field(default_factory=set)
    objects: int = 0
    members: "dict[str, _Node]" = field(default_factory=dict)
    present: Counter[str] = field(default_factory=Counter)
    elements: "_Node | None" = None
    unknown: set[str] = field(default_factory=set)


def shape_of(document: object, is_private: IsPrivate = _nothing) -> tuple[str, ...]:
    """Return the shape of a JSON document whose numbers are bytes (`document.parse_json`), one line for each place.

    Places are written as in jq: `.result[].asset: other text`. is_private: returns whether an unknown key must be
    hidden although it looks like the API's own, such as the name of a vault.
    """
    root = _Node()
    _Reader(is_private).read(document, root, _MOST_DEPTH)
    lines = tuple(islice(_lines(root, ""), _MOST_LINES + 1))
    return lines if len(lines) <= _MOST_LINES else (*lines[:_MOST_LINES], "more than is shown")


class _Reader:
    def __init__(self, is_private: IsPrivate) -> None:
        self._is_private = is_private
        self._left = _MOST_VALUES

    def read(self, value: object, node: _Node, depth: int) -> None:
        """Add `value` to `node`, unless there were too many values."""
        if self._left <= 0:
            return
        self._left -= 1
        node.kinds.add(_kind(value))
        if not depth:
            return
        if isinstance(value, dict):
            self._read_members(value, node, depth)
        elif isinstance(value, list) and value:
            node.elements = node.elements or _Node()
            for element in value:
                if self._left <= 0:
                    break
                self.read(element, node.elements, depth - 1)

    def _read_members(self, value: dict[object, object], node: _Node, depth: int) -> None:
        node.objects += 1
        keys = [key for key in islice(value, self._left) if isinstance(key, str)]
        are_data = sum(key not in KNOWN_KEYS for key in keys) > _MOST_UNKNOWN_KEYS
        shown = {key: self._shown(key, node.unknown, are_data=are_data) for key in keys}
        node.present.update(set(shown.values()))
        for key, name in shown.items():
            self.read(value[key], node.members.setdefault(name, _Node()), depth - 1)

    def _shown(self, key: str, unknown: set[str], *, are_data: bool) -> str:
        if key in KNOWN_KEYS or key in unknown:
            return key
        if (
            are_data
            or len(unknown) >= _MOST_UNKNOWN_KEYS
            or len(key) > _LONGEST_KEY
            or not _API_STYLE.fullmatch(key)
            or self._is_private(key)
        ):
            return OTHER_KEY
        unknown.add(key)
        return key


def _kind(value: object) -> str:
    match value:
        case bool():
            return "flag"
        case str():
            return "decimal text" if _DECIMAL.fullmatch(value) else "other text"
        case list():
            return f"array with {_count(len(value))}"
        case dict():
            return "object"
    return "null" if value is None else "number"


def _count(length: int) -> str:
    if length < 2:
        return ("none", "one")[length]
    return "few" if length < _FEW else "many"


def _lines(node: _Node, place: str, note: str = "") -> Iterator[str]:
    yield f"{place or '.'}: {' or '.join(sorted(node.kinds))}{note}"
    for key, member in node.members.items():
        written = f'"{key}"' if key == OTHER_KEY else key
        is_everywhere = node.present[key] == node.objects
        # Empty if there were too many values.
        if member.kinds:
            yield from _lines(
                member, f"{place}.{written}", "" if is_everywhere else ", not everywhere"
            )
    if node.elements and node.elements.kinds:
        yield from _lines(node.elements, f"{place or '.'}[]")
