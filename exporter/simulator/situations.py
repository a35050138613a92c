"""What may go wrong at a first contact with the API; puts a simulator into each situation by its name.

`SITUATIONS` are what `--probe` tells apart (see its documentation for what to do about each). A situation that the
caller's own configuration makes, such as half a secret, needs none: the simulator refuses what the API would.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Final

from exporter.simulator import moods
from exporter.simulator.revisions import R1, R2, R3, R4, Revision
from exporter.simulator.simulator import Simulator

Situation = Callable[[Simulator], None]

ANOTHER_SECRET: Final = b64encode(bytes(64)).decode()
OTP: Final = "271828"
ALLOWED_ADDRESS: Final = "192.0.2.1"
"""A documentation address (RFC 5737)."""
CLOCK_AHEAD_SECONDS: Final = 300.0
NANOSECONDS: Final = 10**9


def wrong_key(simulator: Simulator) -> None:
    """The API does not know the key."""
    simulator.guard.secrets = {"another-key": simulator.api_secret}


def wrong_secret(simulator: Simulator) -> None:
    """The secret is not the key's."""
    simulator.guard.secrets[simulator.api_key] = ANOTHER_SECRET


def used_with_nanoseconds(simulator: Simulator) -> None:
    """The key was used with nonces in nanoseconds a minute ago, so that those of a coarser unit are refused."""
    before = simulator.wall() - 60
    simulator.guard.use_nonce(simulator.api_key, int(before * NANOSECONDS))


def clock_behind(simulator: Simulator) -> None:
    """The key was used by a clock, in nanoseconds, that is an hour ahead of the caller's."""
    ahead = simulator.wall() + 3600
    simulator.guard.use_nonce(simulator.api_key, int(ahead * NANOSECONDS))


def another_program(simulator: Simulator) -> None:
    """Another program uses the same key just before each request."""
    simulator.front = moods.another_program(simulator.guard)


def one_time_password(simulator: Simulator) -> None:
    """The key has two-factor authentication: each request needs `OTP`."""
    simulator.guard.otp = OTP


def address_not_allowed(simulator: Simulator) -> None:
    """The key may be used from `ALLOWED_ADDRESS` only."""
    simulator.guard.addresses[simulator.api_key] = {ALLOWED_ADDRESS}


def no_organization(simulator: Simulator) -> None:
    """The key sees no organization and no vault."""
    simulator.scopes[simulator.api_key] = ()


def no_right_to_list(simulator: Simulator) -> None:
    """The key may list neither organizations nor vaults."""
    simulator.moods |= dict.fromkeys(("organizations", "vaults"), moods.permission_denied())


def no_right_to_list_vaults(simulator: Simulator) -> None:
    """The key may list organizations, but not their vaults."""
    simulator.moods["vaults"] = moods.permission_denied()


def no_right_to_view_vaults(simulator: Simulator) -> None:
    """The key may list vaults, but not read what is in them."""
    for organization in simulator.portfolio.organizations:
        for vault in organization.vaults:
            simulator.moods[vault.id] = moods.permission_denied()


def no_right_to_view_organizations(simulator: Simulator) -> None:
    """The key may list organizations and read vaults, but not the organizations' totals."""
    for organization in simulator.portfolio.organizations:
        simulator.moods[organization.id] = moods.permission_denied()


def another_organization(simulator: Simulator) -> None:
    """The key sees the first organization and its vaults, but no others."""
    own = simulator.portfolio.organizations[0]
    simulator.scopes[simulator.api_key] = {own.id, *(vault.id for vault in own.vaults)}


def spaced_ids(simulator: Simulator) -> None:
    """Ids of organizations are understood only with spaces."""
    simulator.id_form = "spaced"


def compact_ids(simulator: Simulator) -> None:
    """Ids of organizations are understood only without spaces."""
    simulator.id_form = "compact"


def challenge_page(simulator: Simulator) -> None:
    """A gateway in front of the API challenges the caller as a bot."""
    simulator.front = moods.challenge_page()


def clock_off(simulator: Simulator) -> None:
    """The API's clock is `CLOCK_AHEAD_SECONDS` ahead of the caller's, both in `Date` and in its time endpoint."""
    wall = simulator.wall
    simulator.wall = lambda: wall() + CLOCK_AHEAD_SECONDS
    simulator.headers = lambda: {"date": formatdate(simulator.wall(), usegmt=True)}


def rate_limit_headers(simulator: Simulator) -> None:
    """Answers say how much of the rate limit is left."""
    simulator.headers = lambda: {
        "x-ratelimit-limit": str(simulator.limit),
        "x-ratelimit-remaining": str(max(0, simulator.limit - simulator.guard.arrivals)),
        "x-ratelimit-reset": f"{simulator.window:g}",
    }


def _answers_as(revision: Revision) -> Situation:
    def situation(simulator: Simulator) -> None:
        simulator.revision = revision

    return situation


SITUATIONS: Final[Mapping[str, Situation]] = {
    situation.__name__: situation
    for situation in (
        wrong_key,
        wrong_secret,
        used_with_nanoseconds,
        clock_behind,
        another_program,
        one_time_password,
        address_not_allowed,
        no_organization,
        no_right_to_list,
        no_right_to_list_vaults,
        no_right_to_view_vaults,
        no_right_to_view_organizations,
        another_organization,
        spaced_ids,
        compact_ids,
        challenge_page,
        clock_off,
        rate_limit_headers,
    )
} | {
    # `quote`, bare arrays, `/balance`
    "r1": _answers_as(R1),
    # `quote_asset`, `/balances`
    "r2": _answers_as(R2),
    # with `staked`
    "r3": _answers_as(R3),
    # in an envelope
    "r4": _answers_as(R4),
    "no_quote_parameter": _answers_as(replace(R3, assets=frozenset())),
}
"""By name, for tables of tests."""
