"""The API's name for an organization in a query, which differs between revisions."""

from collections.abc import Callable
from typing import Final

from exporter.custody.errors import CustodyError, Reaction

PARAMETERS: Final = ("org_iiban", "org_id")
"""The newest first."""


class OrganizationParameter:
    """Finds out which parameter the API accepts, and remembers it.

    name: the parameter for the next request.
    """

    def __init__(self) -> None:
        self.name = PARAMETERS[0]

    def reaction(self, asked_with: str, *, is_first: bool) -> Callable[[CustodyError], Reaction]:
        """Return the reaction to a failed request. is_first: whether it was for the first page of its poll."""

        def reaction(error: CustodyError) -> Reaction:
            is_about_the_query = error.type == "BadRequest" and error.reaction is Reaction.BACK_OFF
            if is_about_the_query and is_first:
                # At most one request of each failing poll tries the other name.
                (self.name,) = set(PARAMETERS) - {asked_with}
                return Reaction.AGAIN
            return error.reaction

        return reaction
