"""What the API calls an organization in a query: its revisions have different words for it."""

from collections.abc import Callable
from typing import Final

from exporter.custody.errors import CustodyError, Reaction

PARAMETERS: Final = ("org_iiban", "org_id")
"""The newest first."""


class OrganizationParameter:
    """Finds out which parameter the API takes, and remembers it.

    name: the one to ask with next.
    """

    def __init__(self) -> None:
        self.name = PARAMETERS[0]

    def reaction(self, asked_with: str, *, is_first: bool) -> Callable[[CustodyError], Reaction]:
        """Return what is to be done about the failure of a request. is_first: whether it is its poll's first page."""

        def reaction(error: CustodyError) -> Reaction:
            is_about_the_query = error.type == "BadRequest" and error.reaction is Reaction.BACK_OFF
            if is_about_the_query and is_first:
                # Whichever it is that the API takes, the other one is asked for once in each poll that fails.
                (self.name,) = set(PARAMETERS) - {asked_with}
                return Reaction.AGAIN
            return error.reaction

        return reaction
