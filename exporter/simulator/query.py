"""What the parameters of a request may be; anything else is a bad request (Kraken: List balances, 400)."""

from collections.abc import Container
from typing import Final, NamedTuple

from starlette.datastructures import QueryParams

from exporter.simulator.holdings import QUOTE_ASSET

DEFAULT_LIMIT: Final = 100
MOST_LIMIT: Final = 1000
"""The limit of the older custody API; that of the new one is not documented."""
MOST_OFFSET: Final = 2**31 - 1

_ALLOWED: Final = {
    "quote": (QUOTE_ASSET,),
    "quote_asset": (QUOTE_ASSET,),
    "quote_asset_class": ("currency",),
    "full_precision": ("true", "false"),
}


class BadRequestError(Exception):
    """The query failed validation; the message says why."""


class PageRange(NamedTuple):
    """Which rows of a list are asked for."""

    limit: int
    offset: int


def check(query: QueryParams, known: Container[str]) -> None:
    """Raise BadRequestError for a parameter that is not known, is repeated, or has a value that is not allowed."""
    names = [name for name, _ in query.multi_items()]
    for name in names:
        if name not in known:
            raise BadRequestError(f"Unknown parameter {name}.")
        if names.count(name) > 1:
            raise BadRequestError(f"Repeated {name} parameter.")
        if name in _ALLOWED and query[name] not in _ALLOWED[name]:
            raise BadRequestError(f"Invalid {name} parameter.")


def page_range(query: QueryParams) -> PageRange:
    """Return what `limit` and `offset` ask for. Raises BadRequestError."""
    return PageRange(
        _whole(query, "limit", DEFAULT_LIMIT, range(1, MOST_LIMIT + 1)),
        _whole(query, "offset", 0, range(MOST_OFFSET + 1)),
    )


def _whole(query: QueryParams, name: str, default: int, allowed: range) -> int:
    text = query.get(name, str(default))
    # JSON has only ASCII digits; int() would also accept other scripts' digits, spaces, signs and underscores.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_OFFSET))):
        raise BadRequestError(f"Invalid {name} parameter.")
    if int(text) not in allowed:
        raise BadRequestError(f"Invalid {name} parameter.")
    return int(text)
