"""Parses response bodies as JSON within bounds, and the errors of unusable answers."""

import json
from typing import Final

MOST_VALUES: Final = 75_000
"""Maximum values in one answer, counted by commas and opening brackets; 2,700 of Kraken's rows with all fields have
fewer."""


class InvalidAnswerError(ValueError):
    """An answer not in the documented form; the message says where. type: of the error."""

    type = "response/invalid"


class TooManyRowsError(InvalidAnswerError):
    """An answer with more rows than any real one; reading them all would block everything else."""

    type = "response/too_large"


class TooManyValuesError(ValueError):
    """JSON with more values than any real answer, which would take too much memory."""


def has_too_many_values(body: bytes | bytearray) -> bool:
    """Whether JSON may have more than MOST_VALUES values."""
    # One of these precedes each value but the first. Few real answers are long enough to be counted.
    return len(body) > MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES


def parse_json(body: bytes | bytearray) -> object:
    """Return the JSON value in `body`, with every number as the bytes of its text.

    So no precision is lost, and numbers in unused fields cost next to nothing. Raises TooManyValuesError if there may
    be more than MOST_VALUES values, and another ValueError for invalid or too deeply nested JSON.
    """
    if has_too_many_values(body):
        raise TooManyValuesError(f"has more than {MOST_VALUES} values")
    try:
        return json.loads(
            body, parse_float=str.encode, parse_int=str.encode, parse_constant=str.encode
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
