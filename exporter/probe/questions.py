"""The questions of the probe, in their order: what each requests, and why it may be omitted.

They are data: `driver` sends them one by one, `judges` interprets the answers. All of them only read.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import Struct
from msgspec.structs import replace

from exporter.custody.client import Request
from exporter.discovery.known import Listed
from exporter.probe.known import VAULT_LISTS, Known
from exporter.probe.reading import (
    read_organization,
    read_organizations,
    read_tasks,
    read_time,
    read_vault,
    read_vault_total,
    read_vaults,
    read_whitelist,
)
from exporter.resources import organization_balances, pending_tasks, vault_balances, whitelist
from exporter.resources.organization_parameter import PARAMETERS
from exporter.turns import Steps

MOST_REQUESTS: Final = 15
"""For each credential, including the unsigned one."""
MOST_ARE_SENT: Final = f"a probe sends at most {MOST_REQUESTS} requests for each credential"


class Omitted(str):
    """Why a question is not asked."""

    __slots__ = ()


class Question(Struct, frozen=True):
    """At most one request.

    name: stable.
    title: for people.
    ask: returns the request, or why it is omitted, from what is known so far.
    collected: what `collect` must name for it to be asked, empty if it always is.
    """

    name: str
    title: str
    ask: Callable[[Known], "Request[object] | Omitted"]
    collected: str = ""


TIME: Final = Request("time", "time", "/0/public/Time", read_time, is_signed=False)
"""Precedes all questions and needs no key: shows whether the API can be reached, and whether the clock is right."""


def _request(
    name: str, path: str, read: Callable[[object], Steps[object]], **query: str
) -> Request[object]:
    return Request(
        endpoint=name,
        tag=name,
        path=path,
        read=read,
        query=f"?{urlencode(query, quote_via=quote)}" if query else "",
    )


def _organizations(_: Known) -> Request[object]:
    return _request("organizations", "organizations", read_organizations)


def _organization(
    form: str, *, with_quote: bool = True
) -> Callable[[Known], Request[object] | Omitted]:
    """Return a question for the total of an organization, with its id in this form."""

    def ask(known: Known) -> Request[object] | Omitted:
        if not known.organizations:
            return Omitted("no organization is known")
        id_ = _written(known.organizations[0].id, form)
        query = {"quote_asset": "USD"} if with_quote else {}
        path = f"organizations/{quote(id_, safe='')}/balances"
        return _request(organization_balances.ENDPOINT, path, read_organization, **query)

    return ask


def _written(id_: str, form: str) -> str:
    return id_.replace(" ", "") if form == "compact" else id_


def _organization_plain(known: Known) -> Request[object] | Omitted:
    forms = ("organization_spaced", "organization_compact")
    if not any(form in known.replies and known.replies[form].is_bad_request for form in forms):
        return Omitted("not needed: quote_asset was not refused")
    return _organization(known.subject.id_format, with_quote=False)(known)


def _vaults(place: int) -> Callable[[Known], Request[object] | Omitted]:
    """Return a question for the first page of an organization's vaults."""

    def ask(known: Known) -> Request[object] | Omitted:
        if place >= max(1, len(known.organizations)):
            return Omitted("not needed: there is no further organization")
        query = {"limit": "100"}
        if parameter := known.organization_parameter:
            query[parameter] = _written(known.organizations[place].id, known.id_format)
        elif place:
            return Omitted("what the API calls an organization in a query is not known")
        return _request(VAULT_LISTS[place], "vaults", read_vaults, **query)

    return ask


def candidates(known: Known) -> tuple[Listed, ...]:
    """Return the vaults that may be requested: listed ones, the configured of them first."""
    listed = {vault.id: vault for vault in known.listed_vaults}
    configured = [vault for vault in known.configured_vaults if vault.id in listed]
    found = {vault.id: vault for vault in (*configured, *listed.values())}
    # Without a list, only configured vaults are known.
    return tuple(found.values()) or known.configured_vaults


def chosen_vault(known: Known) -> Listed | None:
    """Return the vault for further questions: the first that was not refused, None if there is none."""
    found = candidates(known)
    if not known.is_denied("vault"):
        return found[0] if found else None
    is_second_seen = "vault_again" in known.replies and not known.is_denied("vault_again")
    return found[1] if is_second_seen else None


NO_VAULT: Final = Omitted("no vault is known that this key may see")


def _vault(known: Known) -> Request[object] | Omitted:
    vault = chosen_vault(known)
    return _assets(vault, vault_balances.WITH_PARAMETERS) if vault else NO_VAULT


def _vault_again(known: Known) -> Request[object] | Omitted:
    found = candidates(known)
    if not known.is_denied("vault"):
        return Omitted("not needed: the first vault was not refused")
    return _assets(found[1], vault_balances.WITH_PARAMETERS) if len(found) > 1 else NO_VAULT


def _assets(vault: Listed, query: str) -> Request[object]:
    return Request(
        endpoint=vault_balances.ENDPOINT,
        tag=vault.id,
        path="vaults/{id}/assets/balances",
        id=vault.id,
        query=query,
        read=read_vault,
    )


def _of_vault(query: str) -> Callable[[Known], Request[object] | Omitted]:
    def ask(known: Known) -> Request[object] | Omitted:
        vault = chosen_vault(known)
        return _assets(vault, query) if vault else NO_VAULT

    return ask


def _vault_total(last: str) -> Callable[[Known], Request[object] | Omitted]:
    def ask(known: Known) -> Request[object] | Omitted:
        vault = chosen_vault(known)
        if vault is None:
            return NO_VAULT
        path = f"vaults/{quote(vault.id, safe='')}/{last}"
        return _request(f"vault_{last}", path, read_vault_total, quote_asset="USD")

    return ask


def task_parameters(known: Known) -> tuple[str, ...]:
    """Return what the API may call an organization when it is asked for tasks, the likeliest first."""
    listing = known.listing("organizations")
    likely = listing.parameter if listing else ""
    return tuple(sorted(PARAMETERS, key=lambda it: it != likely))


def _tasks(known: Known) -> Request[object] | Omitted:
    return _tasks_asked_with(known, task_parameters(known)[0])


def _tasks_again(known: Known) -> Request[object] | Omitted:
    if "tasks" not in known.replies or not known.replies["tasks"].is_bad_request:
        return Omitted("not needed: the query for tasks was not refused")
    return _tasks_asked_with(known, task_parameters(known)[1])


def _tasks_asked_with(known: Known, parameter: str) -> Request[object] | Omitted:
    own = [it.id for it in known.subject.organizations if "pending_tasks" in it.collect]
    ids = [*own, *(it.id for it in known.organizations)]
    if not ids:
        return Omitted("no organization is known")
    query = {parameter: _written(ids[0], known.id_format), "limit": f"{pending_tasks.PAGE_ROWS}"}
    request = _request(pending_tasks.ENDPOINT, "tasks", read_tasks, **query)
    return replace(request, is_personal=True)


def _whitelist(known: Known) -> Request[object] | Omitted:
    vault = chosen_vault(known)
    if vault is None:
        return NO_VAULT
    path = f"vaults/{quote(vault.id, safe='')}/whitelist/addresses"
    return replace(_request(whitelist.ENDPOINT, path, read_whitelist), is_personal=True)


def missing_vaults(known: Known) -> tuple[Listed, ...]:
    """Return configured vaults that are not on the pages read."""
    if not known.succeeded("vaults"):
        return ()
    listed = {vault.id for vault in known.listed_vaults}
    return tuple(vault for vault in known.configured_vaults if vault.id not in listed)


def _missing_vault(known: Known) -> Request[object] | Omitted:
    missing = missing_vaults(known)
    return (
        _assets(missing[0], vault_balances.WITHOUT)
        if missing
        else Omitted("not needed: no configured vault is missing from the list")
    )


QUESTIONS: Final = (
    Question("organizations", "list of organizations", _organizations),
    Question("organization_spaced", "total of an organization, id with spaces", _organization("spaced")),
    Question("organization_compact", "total of an organization, id without spaces", _organization("compact")),
    Question("organization_plain", "total of an organization without quote_asset", _organization_plain),
    Question("vaults", "list of vaults", _vaults(0)),
    Question("vaults_2", "list of vaults of the second organization", _vaults(1)),
    Question("vaults_3", "list of vaults of the third organization", _vaults(2)),
    Question("vault", "balances of a vault with quote, full_precision", _vault),
    Question("vault_again", "balances of another vault", _vault_again),
    Question("vault_quote_asset", "balances of a vault with quote_asset", _of_vault("?quote_asset=USD")),
    Question("vault_plain", "balances of a vault without parameters", _of_vault(vault_balances.WITHOUT)),
    Question("missing_vault", "balances of a configured vault that is not listed", _missing_vault),
    Question("tasks", "tasks of an organization", _tasks, "pending_tasks"),
    Question("tasks_again", "tasks of an organization with another parameter", _tasks_again, "pending_tasks"),
    Question("whitelist", "whitelist of a vault", _whitelist, "whitelist"),
    Question("vault_balances", "total of a vault at /balances", _vault_total("balances")),
    Question("vault_balance", "total of a vault at /balance", _vault_total("balance")),
)  # fmt: skip
"""Signed. Those needed least come last: with TIME, at most MOST_REQUESTS are sent."""
