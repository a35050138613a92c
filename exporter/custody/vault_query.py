"""Finds out with which query the API takes requests for a vault's balances, and remembers it.

The API's first documented revision has the parameters `quote` and `full_precision`; later ones renamed the one, dropped
the other, and may refuse both. Without `full_precision` the first revision rounds its amounts, so it is asked for
as long as it is not refused.
"""

from typing import Final

WITH_PARAMETERS: Final = "?quote=USD&full_precision=true"
WITHOUT: Final = ""


class VaultQuery:
    """What is known of the API, for all clients of the process."""

    def __init__(self) -> None:
        self._accepted: str | None = None
        self._refused_for: set[str] = set()

    def of(self, vault_id: str) -> str:
        """Return the query (with its `?`) for the next request for `vault_id`."""
        if self._accepted is not None:
            return self._accepted
        return WITHOUT if vault_id in self._refused_for else WITH_PARAMETERS

    def accepted(self, query: str) -> None:
        """Take note that the API answered a request that had `query`."""
        self._accepted = query
        self._refused_for.clear()

    def refused(self, vault_id: str, query: str) -> bool:
        """Take note of a `BadRequest`, and return whether another query is worth a try for this vault.

        It is where parameters were refused that are not known to be accepted, and then for the very vault that was
        refused: only if the same vault is answered without them, they are what the API did not like. A refusal of
        parameters that were accepted before puts them in doubt, so that the exporter follows an API that changes while
        it runs, without asking twice each time for a vault that the API refuses anyhow.
        """
        if query == WITHOUT:
            self._refused_for.discard(vault_id)
            return False
        if self._accepted == WITH_PARAMETERS:
            self._accepted = None
            return False
        self._refused_for.add(vault_id)
        return True
