"""Judges the answers to one credential: each step of the report is a function of what is known."""

from collections.abc import Callable, Iterable
from typing import Final, cast

from msgspec.structs import replace

from exporter.discovery.known import Listed
from exporter.probe.findings import (
    Finding,
    Step,
    diagnosed,
    failed,
    not_asked,
    notice,
    ok,
    skipped,
    words,
)
from exporter.probe.known import TIME_IS_OVER, VAULT_LISTS, Known, Listing, Reply
from exporter.probe.questions import QUESTIONS, chosen_vault, missing_vaults, task_parameters
from exporter.probe.reading import (
    OrganizationFacts,
    TaskFacts,
    VaultFacts,
    VaultTotalFacts,
    WhitelistFacts,
)
from exporter.resources.fields import InvalidRow
from exporter.resources.target import listed

REPORT: Final = "Paste the shape report into an issue."
NOT_NEEDED: Final = "Not needed here: what the configuration lists is polled anyway."
SEES_NOTHING: Final = (
    "In Kraken's custody interface, make the API user a member of the vaults that it should see."
)
_PASSWORDS: Final = {
    "none": "no one-time password",
    "static": "a static one-time password",
    "timed": "one-time passwords from a seed",
}


def secrets(known: Known) -> Finding:
    """Judge the form of the secrets."""
    subject = known.subject
    if subject.secret_problem is None and not subject.open_files:
        return ok(
            f"key and secret can be read; {_PASSWORDS[subject.otp]}; nonces in {subject.nonce}"
        )
    if subject.secret_problem is None:
        return notice(
            f"every user of this machine can read {listed(subject.open_files)}",
            meaning="Only the exporter should be able to read them.",
            advice="chmod 600, or 640 with the exporter's group.",
            cause="secret_file_readable",
        )
    problem, _, advice = subject.secret_problem.partition(": ")
    return notice(
        f"the API secret {problem}",
        meaning="Kraken's secrets have 64 bytes, written as 88 characters of base64; keys are shorter.",
        advice=f"{advice[:1].upper()}{advice[1:]}.",
        cause="secret_unusual",
    )


def key(known: Known) -> Finding:
    """Judge whether the API accepts the key."""
    if refusal := known.refusal:
        return diagnosed(refusal, known)
    if known.is_accepted:
        return ok("the API did not refuse signed requests")
    failures = [reply for reply in known.replies.values() if not reply.succeeded]
    if failures:
        return diagnosed(failures[0], known)
    return not_asked(known, *(question.name for question in QUESTIONS))


def rights(known: Known) -> Finding | None:
    """Judge a key without any rights; None for any other."""
    replies = known.replies.values()
    if not any(it.is_denied for it in replies) or not all(
        it.is_denied or it.is_unknown for it in replies
    ):
        return None
    return failed(
        *dict.fromkeys(map(words, replies)),
        meaning="The API accepts the key, but shows it nothing. Either the API user has no right to view anything, or "
        "this address is not on the key's address list: the answers look the same.",
        advice="Compare the key's address list with the address from which requests reach the API, which may be that "
        "of a NAT gateway or proxy. Then give the API user the right to view organizations and vaults, and make it a "
        "member of the vaults.",
        cause="nothing_allowed",
    )


def organizations(known: Known) -> Finding:
    """Judge the list of organizations."""
    reply = known.replies.get("organizations")
    if reply is None or reply.refuses_key:
        return not_asked(known, "organizations")
    listing = known.listing("organizations")
    if listing is None:
        return _unlisted(reply, known, is_needed=known.needs_organizations)
    if listing.rejected:
        return _rejected(named(listing.found), listings=[listing])
    if listing.found:
        return ok(f"{len(listing.found)}: {named(listing.found)}")
    return _seen_nothing(
        "the list is empty",
        meaning="The key sees no organization.",
        advice="Check the API user's organization and rights in Kraken's custody interface.",
        is_needed=known.needs_organizations,
    )


def _rejected(*evidence: str, listings: Iterable[Listing]) -> Finding:
    rows = [row for listing in listings for row in listing.rejected]
    return notice(
        *evidence,
        f"unreadable rows: {len(rows)}; the first: {rows[0].field} {rows[0].problem}",
        meaning="The entries in these rows are not found.",
        advice=REPORT,
        cause="invalid_rows",
    )


def _unlisted(reply: Reply, known: Known, *, is_needed: bool) -> Finding:
    """Judge a list that was refused: it is needed only if nothing else says what to poll."""
    finding = diagnosed(reply, known, "failed" if is_needed else "notice")
    if is_needed or not (reply.is_denied or reply.is_unknown):
        return finding
    return replace(finding, advice=NOT_NEEDED)


def _seen_nothing(*evidence: str, meaning: str, advice: str, is_needed: bool) -> Finding:
    if is_needed:
        return failed(*evidence, meaning=meaning, advice=advice, cause="sees_nothing")
    return notice(*evidence, meaning=meaning, advice=advice, cause="sees_nothing")


def named(found: Iterable[Listed]) -> str:
    """Return the names of organizations or vaults for a sentence."""
    return listed(
        [f"{it.name} ({it.id})" if it.name and it.name != it.id else it.id for it in found]
    )


def id_format(known: Known) -> Finding:
    """Judge which form of organization ids the API understands."""
    asked = {form: known.replies.get(f"organization_{form}") for form in ("spaced", "compact")}
    replies = {form: reply for form, reply in asked.items() if reply and not reply.refuses_key}
    if not replies:
        return not_asked(known, "organization_spaced", "organization_compact")
    evidence = tuple(f"{form}: {words(reply)}" for form, reply in replies.items())
    if (listing := known.listing("organizations")) and listing.form:
        evidence += (f"the list uses {listing.form}",)
    works = [form for form, reply in replies.items() if reply.succeeded]
    configured = known.subject.id_format
    if configured in works:
        facts = cast("OrganizationFacts", replies[configured].result)
        if not facts.unread:
            return ok(*evidence)
        return notice(
            *evidence,
            f"unreadable fields: {', '.join(facts.unread)}",
            meaning="The total can be read, but not all of its parts.",
            advice=REPORT,
            cause="fields_unread",
        )
    if works:
        return failed(
            *evidence,
            meaning=f"The API understands ids written {works[0]}, not {configured}.",
            advice=f"Set `api.organization_id_format: {works[0]}`.",
            cause=f"{works[0]}_ids",
        )
    return _no_total(known, evidence, next(iter(replies.values())))


def _no_total(known: Known, evidence: tuple[str, ...], first: Reply) -> Finding:
    if known.succeeded("organization_plain"):
        return failed(
            *evidence,
            "without quote_asset: HTTP 200",
            meaning="The API answers only without the parameter quote_asset, which the exporter sends.",
            advice=REPORT,
            cause="quote_asset_refused",
        )
    finding = replace(diagnosed(first, known), evidence=evidence)
    if not first.is_denied:
        return finding
    return replace(
        finding,
        advice="Give the API user the right to view the organization's balances, and check the id. Without it the "
        "organization's total cannot be polled; its vaults can.",
    )


def vaults(known: Known) -> Finding:
    """Judge the lists of vaults."""
    replies = {it: known.replies[it] for it in VAULT_LISTS if it in known.replies}
    if not replies or any(reply.refuses_key for reply in replies.values()):
        return not_asked(known, *VAULT_LISTS)
    evidence = [
        f"{_whose(known, place, len(replies))}{_listed(known, question)}"
        for place, question in enumerate(replies)
    ]
    if known.organization_parameter and len(known.organizations) > len(VAULT_LISTS):
        others = known.organizations[len(VAULT_LISTS) :]
        evidence.append(f"not asked, because there are many organizations: {named(others)}")
    unlisted = [reply for reply in replies.values() if not reply.succeeded]
    if unlisted:
        finding = _unlisted(unlisted[0], known, is_needed=known.needs_vaults)
        return replace(finding, evidence=tuple(evidence))
    listings = [listing for it in replies if (listing := known.listing(it)) and listing.rejected]
    if listings:
        return _rejected(*evidence, listings=listings)
    if not known.listed_vaults:
        return _seen_nothing(
            *evidence,
            meaning="The key sees no vault. An API user may see only vaults that it is a member of.",
            advice=SEES_NOTHING,
            is_needed=known.needs_vaults,
        )
    return ok(
        *evidence,
        meaning="An API user may see only vaults that it is a member of: compare with Kraken's own screen.",
    )


def _whose(known: Known, place: int, lists: int) -> str:
    return f"{named(known.organizations[place : place + 1])}: " if lists > 1 else ""


def _listed(known: Known, question: str) -> str:
    listing = known.listing(question)
    if listing is None:
        return words(known.replies[question])
    total = len(listing.found) if listing.total is None else listing.total
    return f"{total}: {named(listing.found)}" if listing.found else f"{total}"


_PARAMETERS: Final = {
    "vault": "quote, full_precision",
    "vault_again": "quote, full_precision",
    "vault_quote_asset": "quote_asset",
    "vault_plain": "no parameters",
}


def _vault_replies(known: Known) -> dict[str, Reply]:
    """Return the outcomes of the requests about the chosen vault, by question."""
    other = "vault" if "vault_again" in known.replies else ""
    return {
        it: known.replies[it]
        for it in _PARAMETERS
        if it in known.replies and it != other and not known.replies[it].refuses_key
    }


def vault(known: Known) -> Finding:
    """Judge the balances of one vault: which revision of the API answers, and what is in it."""
    replies = _vault_replies(known)
    if not replies:
        return not_asked(known, "vault")
    usable = [it for it in replies if it != "vault_quote_asset" and replies[it].succeeded]
    if not usable:
        return _unread_vault(known, replies)
    facts = cast("VaultFacts", replies[usable[0]].result)
    form = "in an envelope (result)" if facts.is_envelope else "in a bare array"
    staked = {True: ", with staked", False: ", without staked", None: ""}[facts.has_staked]
    seen = chosen_vault(known)
    which = f"{named([seen])}: " if seen else ""
    evidence = [f"{which}{facts.rows} rows {form}{staked}"]
    if facts.rows:
        evidence.append(f"assets without a price: {facts.unpriced} of {facts.rows}")
    if facts.invalid:
        return notice(
            *evidence,
            f"invalid rows: {facts.invalid}; the first: {facts.problem}",
            meaning="Invalid rows are left out of the metrics.",
            advice=REPORT,
            cause="invalid_rows",
        )
    if not facts.rows:
        return ok(*evidence, meaning="The vault is empty, so its answer tells little.")
    return ok(
        *evidence,
        meaning="Assets without a price have no value in USD in the metrics."
        if facts.unpriced
        else "",
    )


def _unread_vault(known: Known, replies: dict[str, Reply]) -> Finding:
    evidence = tuple(f"{_PARAMETERS[it]}: {words(reply)}" for it, reply in replies.items())
    if known.succeeded("vault_quote_asset"):
        return failed(
            *evidence,
            meaning="The API answers only with the parameter quote_asset, which the exporter does not send.",
            advice=REPORT,
            cause="quote_asset_required",
        )
    # A refused parameter says less than what came without it.
    first = next(
        (it for it in replies.values() if not it.is_bad_request), next(iter(replies.values()))
    )
    finding = replace(diagnosed(first, known), evidence=evidence)
    if not first.is_denied:
        return finding
    return replace(
        finding,
        advice="Give the API user the right to view vaults, and make it a member of this one.",
    )


def parameters(known: Known) -> Finding:
    """Judge which parameters the API accepts for the balances of a vault, and how precise they are."""
    replies = _vault_replies(known)
    facts = {
        it: reply.result for it, reply in replies.items() if isinstance(reply.result, VaultFacts)
    }
    if not facts:
        return not_asked(known, "vault_quote_asset", "vault_plain")
    evidence = (
        f"{_PARAMETERS[it]}: {'accepted' if reply.succeeded else words(reply)}"
        for it, reply in replies.items()
    )
    return ok(
        *evidence,
        _precision(
            facts.get("vault") or facts.get("vault_again"), facts.get("vault_plain"), facts.values()
        ),
        meaning="The exporter chooses the parameters automatically.",
    )


def _precision(
    with_parameter: VaultFacts | None, without: VaultFacts | None, all_: Iterable[VaultFacts]
) -> str:
    is_beyond = any(it.is_beyond for it in all_)
    if with_parameter and without and with_parameter.places > without.places:
        return "amounts are rounded without full_precision"
    if is_beyond:
        return "amounts have full precision"
    return "no amount has more digits than funding_decimals, so rounding cannot be detected"


def vault_total(known: Known) -> Finding:
    """Judge which path the total of a vault has: not needed, but it differs between revisions."""
    paths = {"vault_balances": "/balances", "vault_balance": "/balance"}
    replies = {
        it: reply for it in paths if (reply := known.replies.get(it)) and not reply.refuses_key
    }
    if not replies:
        return not_asked(known, *paths)
    rates = [
        f"assets without a rate: {reply.result.missing_rates}"
        for reply in replies.values()
        if isinstance(reply.result, VaultTotalFacts) and reply.result.missing_rates is not None
    ]
    return ok(
        *(f"{paths[it]}: {words(reply)}" for it, reply in replies.items()),
        *rates[:1],
        meaning="Not used by the exporter; it shows which revision of the API answers.",
    )


def tasks(known: Known) -> Finding | None:
    """Judge the tasks of an organization; None if they are not collected."""
    if "pending_tasks" not in known.subject.collect:
        return None
    asked = [known.replies[it] for it in ("tasks", "tasks_again") if it in known.replies]
    replies = [it for it in asked if not it.refuses_key]
    if not replies:
        return not_asked(known, "tasks")
    parameters = zip(task_parameters(known), replies, strict=False)
    evidence = [f"{parameter}: {words(reply)}" for parameter, reply in parameters]
    facts = replies[-1].result
    if not isinstance(facts, TaskFacts):
        return _uncollected(known, evidence, replies[-1], "tasks", "pending_tasks")
    total = "" if facts.total is None else f", of {facts.total} in all"
    evidence.append(f"the newest {facts.rows} tasks{total}; pending: {facts.waiting}")
    return _collected(evidence, facts.rejected)


def whitelist(known: Known) -> Finding | None:
    """Judge the whitelist of a vault; None if none is collected."""
    if "whitelist" not in known.subject.collect:
        return None
    reply = known.replies.get("whitelist")
    if reply is None or reply.refuses_key:
        return not_asked(known, "whitelist")
    facts = reply.result
    if not isinstance(facts, WhitelistFacts):
        return _uncollected(known, [words(reply)], reply, "whitelists", "whitelist")
    seen = chosen_vault(known)
    which = f"{named([seen])}: " if seen else ""
    return _collected([f"{which}{facts.rows} addresses for {facts.assets} assets"], facts.rejected)


def _collected(evidence: list[str], rejected: tuple[InvalidRow, ...]) -> Finding:
    if not rejected:
        return ok(
            *evidence, meaning="Only counts of them are kept, and nothing that names anybody."
        )
    return notice(
        *evidence,
        f"rows that cannot be read: {len(rejected)}; the first: {rejected[0].field} "
        f"{rejected[0].problem}",
        meaning="These rows are not counted.",
        advice=REPORT,
        cause="invalid_rows",
    )


def _uncollected(known: Known, evidence: list[str], reply: Reply, what: str, name: str) -> Finding:
    finding = replace(diagnosed(reply, known), evidence=tuple(evidence))
    if not reply.is_denied:
        return finding
    advice = f"Give the API user the right to view {what}, or remove {name} from `collect`."
    return replace(finding, advice=advice)


def configured(known: Known) -> Finding | None:
    """Judge whether the key sees what is configured; None if that is unknown."""
    if known.refusal or not known.subject.organizations:
        return None
    hidden, missing = _hidden_organizations(known), missing_vaults(known)
    reply = known.replies.get("missing_vault")
    is_refused = reply is not None and (reply.is_denied or reply.is_unknown)
    evidence = []
    if hidden:
        evidence.append(f"organizations that the key does not list: {named(hidden)}")
    if missing:
        evidence.append(f"vaults that the key does not list: {named(missing)}")
    if reply is not None:
        evidence.append(f"the first of these vaults: {words(reply)}")
    if hidden or is_refused:
        return failed(
            *evidence,
            meaning="They belong to another organization, do not exist, or the API user may not see them: the answers "
            "look the same.",
            advice="Compare each id with Kraken's custody interface. If it is right, give this API user access, or use "
            "the credential of the organization that it belongs to.",
            cause="foreign_id",
        )
    if missing:
        told = (
            "The first of them can be read nevertheless."
            if known.succeeded("missing_vault")
            else ""
        )
        return notice(*evidence, meaning=told or "Only the first page of the list was read.")
    if known.succeeded("vaults"):
        return ok("the key lists all organizations and vaults of the configuration")
    return None


def _hidden_organizations(known: Known) -> list[Listed]:
    listing = known.listing("organizations")
    if listing is None or not listing.found:
        return []
    seen = {it.id.replace(" ", "") for it in listing.found}
    own = (Listed(it.id, it.name) for it in known.subject.organizations)
    return [it for it in own if it.id.replace(" ", "") not in seen]


def rate_limit(known: Known) -> Finding | None:
    """Judge what the answers say about the rate limit; None if no request succeeded."""
    seen: dict[str, str] = {}
    for reply in known.replies.values():
        seen |= reply.limits
    documented = "Kraken documents 200 requests in 30 s for each address, and no headers."
    if not seen:
        if not any(reply.succeeded for reply in known.replies.values()):
            return None
        return ok("no rate-limit headers in the answers", meaning=documented)
    return notice(
        *(f"{header}: {value}" for header, value in seen.items()),
        meaning=f"{documented} Of these headers the exporter uses only Retry-After.",
        advice="Compare with `api.rate_limit`.",
        cause="rate_limit_headers",
    )


def _latencies(known: Known) -> list[float]:
    replies = known.replies.values()
    return sorted(it.seconds for it in replies if it.succeeded and it.seconds is not None)


def answers_a_second(known: Known) -> float | None:
    """Return how many requests of the key can be answered in a second, None if that is unknown."""
    times = _latencies(known)
    # A nonce has to arrive before the next one is sent, so each request waits for the answer before it.
    return known.subject.max_in_flight / max(times[len(times) // 2], 0.001) if times else None


def latency(known: Known) -> Finding:
    """Judge how long answers take, and how many a key can get."""
    times, rate = _latencies(known), answers_a_second(known)
    if rate is None:
        return not_asked(known, "organizations")
    in_flight = known.subject.max_in_flight
    return ok(
        f"median {times[len(times) // 2] * 1000:.0f} ms, longest {times[-1] * 1000:.0f} ms",
        meaning=f"With {in_flight} request{'s' * (in_flight > 1)} in flight, this key can poll about {rate:.3g} "
        "targets a second.",
    )


def interrupted(known: Known) -> Finding | None:
    """Judge why the questions ended early for a reason other than the key; None if they did not."""
    replies = tuple(known.replies.values())
    stopping = next((it for it in replies if it.stops == "everything"), None)
    if stopping or known.is_silent:
        return diagnosed(stopping or replies[-1], known)
    late = [question for question, reason in known.omitted.items() if reason == TIME_IS_OVER]
    if not late:
        return None
    finding = notice(
        f"{len(replies)} answers came in time",
        meaning="Answers took too long, or the budget is too small, to ask all questions.",
        advice="Run the probe again, with a larger `api.rate_limit.share` if nothing else sends from this address.",
        cause="too_slow",
    )
    # Whether balances can be read is then unknown.
    return replace(finding, verdict="failed") if "vault" in late else finding


def left_out(known: Known) -> Finding | None:
    """Report what was not asked, and why; None if everything possible was asked."""
    titles = {question.name: question.title for question in QUESTIONS}
    reasons: dict[str, list[str]] = {}
    for question, reason in known.omitted.items():
        if not reason.startswith("not needed"):
            reasons.setdefault(reason, []).append(titles[question])
    if not reasons:
        return None
    return skipped(*(f"{_briefly(names)}: {reason}" for reason, names in reasons.items()))


def _briefly(titles: list[str]) -> str:
    return "; ".join(titles) if len(titles) <= 3 else f"{len(titles)} questions"


JUDGES: Final[tuple[tuple[str, str, Callable[[Known], Finding | None]], ...]] = (
    ("secrets", "secrets", secrets),
    ("key", "key and signature", key),
    ("rights", "rights", rights),
    ("organizations", "organizations", organizations),
    ("organization_id_format", "organization totals", id_format),
    ("vaults", "vaults", vaults),
    ("vault_balances", "balances of a vault", vault),
    ("parameters", "parameters", parameters),
    ("vault_total", "total of a vault", vault_total),
    ("pending_tasks", "pending tasks", tasks),
    ("whitelist", "whitelist of a vault", whitelist),
    ("configured", "configured ids", configured),
    ("rate_limit", "rate limit", rate_limit),
    ("latency", "latency", latency),
    ("interrupted", "interrupted", interrupted),
    ("left_out", "not asked", left_out),
)
"""Name, title and judge of each step of a credential, in the order of the report."""


_WITHOUT_RIGHTS: Final = frozenset(
    ("secrets", "key", "rights", "rate_limit", "interrupted", "left_out")
)


def steps_of(known: Known) -> tuple[Step, ...]:
    """Return the steps of one credential."""
    # Without any rights, most steps would repeat the same.
    told = _WITHOUT_RIGHTS if rights(known) else {name for name, _, _ in JUDGES}
    return tuple(
        Step(name, title, finding, known.subject.credential)
        for name, title, judge in JUDGES
        if name in told and (finding := judge(known)) is not None
    )
