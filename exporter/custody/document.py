"""Reads the body of an answer as JSON, within bounds, and says what an answer is that its reader cannot use."""

import json
from typing import Final

MOST_VALUES: Final = 75_000
"""In one answer, counted by commas and opening brackets: 2,700 rows of Kraken's with all their fields have fewer."""


class InvalidAnswerError(ValueError):
    """An answer whose form is not the documented one; the message says where. type: of the error that this is."""

    type = "response/invalid"


class TooManyRowsError(InvalidAnswerError):
    """An answer with more rows than any honest one; to look at them all would hold up everything else."""

    type = "response/too_large"


class TooManyValuesError(ValueError):
    """JSON that is longer in memory than any honest answer, however few its bytes."""


def parse_json(body: bytes | bytearray) -> object:
    """Return the JSON value in `body`, with every number as the bytes it is written in.

    So nothing is lost of it, and those in fields nobody reads cost next to nothing. Raises TooManyValuesError where it
    may have more than MOST_VALUES values, and another ValueError for what is not JSON or nested as no honest answer is.
    """
    # Each value that is not the first has one of these before it. An honest answer rarely has bytes enough to count.
    if len(body) > MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise TooManyValuesError(f"has more than {MOST_VALUES} values")
    try:
        return json.loads(
            body, parse_float=str.encode, parse_int=str.encode, parse_constant=str.encode
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
