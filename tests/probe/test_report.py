"""The report of a first contact: for people compared byte for byte, for programs validated by its schema."""

import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from rich.console import Console

from exporter import __version__
from exporter.probe.report import json_report, shape_lines, text_report
from exporter.report import console_for
from exporter.simulator import moods
from exporter.simulator.approvals import ADDRESS_OF_INITIATOR, MARKER, tasks_of, whitelist_of
from exporter.simulator.portfolio import Organization, Portfolio, Vault
from exporter.simulator.simulator import Simulator
from exporter.simulator.situations import SITUATIONS
from tests.json_schemas import strict, validator
from tests.probe.contacting import Made, configured, contact_in, made
from tests.simulator.calling import API_KEY, API_SECRET, NOON, ORGANIZATION, PORTFOLIO
from tests.test_terminal import Terminal

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "probe.schema.json").read_text())
EXPECTED = Path(__file__).parent / "expected" / "steps.txt"
PIPE = console_for(io.StringIO(), {})


def terminal(**environ: str) -> Console:
    console = console_for(Terminal(), environ)
    console.width = 80
    return console


def test_a_refused_key_is_reported_with_what_to_do() -> None:
    text = text_report(contact_in("wrong_key").contact, PIPE)
    assert text == (
        f"First contact with http://127.0.0.1:1, kraken-custody-exporter {__version__}\n"
        "\n"
        "step             result  what was seen, what it means, what to do\n"
        "name resolution  ok      127.0.0.1 is an address\n"
        "connection, TLS  ok      not used: the API is on this machine\n"
        "clock            ok      differs from the API's by less than 5 s\n"
        "\n"
        "credential treasury\n"
        "step               result   what was seen, what it means, what to do\n"
        "secrets            ok       key and secret can be read; no one-time password; nonces in nanoseconds\n"
        "key and signature  failed   HTTP 401 InvalidKey: Unauthorized\n"
        "                            The API does not know the key.\n"
        "                            To do: Check in Kraken's custody interface (Settings, Users, API users) that the "
        "key exists, was approved by the quorum and is not revoked, that it is a key for custody and not for trading, "
        "and that all of it was copied. Some APIs answer the same if the address is not on the key's list, or if a "
        "one-time password is missing or not expected.\n"
        "not asked          skipped  13 questions: the key was refused, and another try could lock it out\n"
        "\n"
        "step          result  what was seen, what it means, what to do\n"
        "polling plan  ok      targets 12: 2 organizations, 10 vaults\n"
        "                      demand 0.200 requests/s (6% of the budget)\n"
        "                      budget 3.300 requests/s (100 in any 30s)\n"
        "                      each target is polled every 1m\n"
        "\n"
        "Shape report (without any value: safe to paste into an issue)\n"
        "\n"
        f"kraken-custody-exporter {__version__}\n"
        "\n"
        "time: HTTP 200\n"
        "  .: object\n"
        "  .error: array with none\n"
        "  .result: object\n"
        "  .result.unixtime: number\n"
        "  .result.rfc1123: other text\n"
        "\n"
        "organizations: HTTP 401\n"
        "  .: object\n"
        "  .type: other text\n"
        "  .status: number\n"
        "  .title: other text\n"
        "  .detail: null\n"
        "  .instance: other text\n"
        "  .data: null\n"
        "\n"
        "Does not work: key and signature.\n"
        "First: Check in Kraken's custody interface (Settings, Users, API users) that the key exists, was approved by "
        "the quorum and is not revoked, that it is a key for custody and not for trading, "
        "and that all of it was copied. Some APIs answer the same if the address is not on the key's list, "
        "or if a one-time password is missing or not expected.\n"
    )


def steps_of(situation: str) -> str:
    """Return the steps of a contact in the form of EXPECTED; with a situation, only those that it changes."""
    usual = () if situation == "none" else contact_in("none").contact.steps
    lines = [f"[{situation}]"]
    for step in contact_in(situation).contact.steps:
        if step not in usual:
            finding = step.finding
            lines.append(f"{step.title}: {finding.verdict} {finding.cause}".rstrip())
            said = filter(None, (*finding.evidence, finding.meaning, finding.advice))
            lines += [f"  {text}" for text in said]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "expected",
    EXPECTED.read_text("utf-8").rstrip("\n").split("\n\n"),
    ids=lambda it: it.split("]")[0],
)
def test_each_step_says_what_was_seen_what_it_means_and_what_to_do(expected: str) -> None:
    assert steps_of(expected[1:].partition("]")[0]) == expected


@pytest.mark.no_cover
@pytest.mark.parametrize("situation", [*SITUATIONS, "none"])
def test_a_report_fits_a_terminal_of_80_columns_but_for_what_is_copied(situation: str) -> None:
    contact = contact_in(situation).contact
    text = text_report(contact, terminal(NO_COLOR="1"))
    table, _, rest = text.partition(
        "Suggested configuration" if contact.suggestion else "Shape report"
    )
    assert max(map(len, table.splitlines())) <= 80
    assert all(f"\n{line}\n" in rest for line in contact.suggestion.splitlines())
    assert all(f"\n{line}\n" in rest for line in shape_lines(contact))


@pytest.mark.parametrize(
    ("environ", "has_colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_only_a_terminal_gets_colours(environ: dict[str, str], has_colours: bool) -> None:  # noqa: FBT001
    contact = contact_in("wrong_key").contact
    assert ("\x1b[31mfailed" in text_report(contact, terminal(**environ))) == has_colours
    assert "\x1b" not in text_report(contact, PIPE)


@pytest.mark.no_cover
@pytest.mark.parametrize("situation", [*SITUATIONS, "none"])
def test_the_document_is_as_its_schema_says(situation: str) -> None:
    contact = contact_in(situation).contact
    document = json.loads(json_report(contact))
    validator(strict(SCHEMA)).validate(document)
    assert document["succeeded"] == contact.succeeded
    assert [step["name"] for step in document["steps"]] == [it.name for it in contact.steps]
    assert len(document["requests"]) == len(document["shape_report"])


def test_the_document_says_what_was_asked_and_what_came() -> None:
    first, second, *_ = json.loads(json_report(contact_in("wrong_key").contact))["requests"]
    assert first["name"] == "time"
    assert first["credential"] is None
    assert second == {
        "credential": "treasury",
        "name": "organizations",
        "title": "list of organizations",
        "result": "HTTP 401 InvalidKey: Unauthorized",
        "status": 401,
        "error": "InvalidKey",
        "seconds": 0.05,
    }


def everything(contact: Made) -> str:
    return json_report(contact.contact) + text_report(contact.contact, PIPE)


@pytest.mark.no_cover
@pytest.mark.parametrize("situation", [*SITUATIONS, "none"])
def test_no_report_has_a_secret_or_an_amount(situation: str) -> None:
    text = everything(contact_in(situation))
    assert API_KEY not in text
    assert API_SECRET not in text
    amounts = {
        row[field]
        for organization in PORTFOLIO.organizations
        for vault in organization.vaults
        for row in vault.rows(0.0, full_precision=True)
        for field in ("balance", "quote_balance")
        if len(str(row[field])) > 6
    }
    assert [amount for amount in amounts if str(amount) in text] == []


@pytest.mark.parametrize("situation", [*SITUATIONS, "none"])
def test_the_shape_report_has_no_id_no_name_and_no_value(situation: str) -> None:
    text = "\n".join(shape_lines(contact_in(situation).contact))
    private = {
        word
        for organization in PORTFOLIO.organizations
        for id_, name in [(it.id, it.name) for it in organization.vaults]
        + [(organization.id, organization.name)]
        for word in (id_, id_.replace(" ", ""), name)
    }
    assert [word for word in private if word in text] == []
    allowed = r'[a-z_0-9, ]+: (HTTP \d{3}|no answer)|  \.(\[\]|[a-z_0-9]+|"other key"|\.)*: [a-z ,]+(\(HTML\))?|'
    lines = text.splitlines()[1:]
    assert [line for line in lines if not re.fullmatch(allowed, line)] == []


def test_nothing_personal_of_tasks_and_whitelists_is_reported_not_even_an_unknown_key() -> None:
    # A key that looks like the API's own.
    lower = MARKER.lower()

    def personal(simulator: Simulator) -> None:
        rows = [task.row(NOON, rfc3339=False) for task in tasks_of(ORGANIZATION, NOON)]
        named = {lower: {f"{lower}_too": MARKER}, MARKER: MARKER}
        simulator.moods["tasks"] = body({"result": [row | named for row in rows], lower: MARKER})
        for vault in ORGANIZATION.vaults:
            addresses = [row | named for row in whitelist_of(vault, NOON)]
            simulator.moods[f"whitelist {vault.id}"] = body(addresses)

    collected = configured(collect=["balances", "pending_tasks", "whitelist"])
    contact = made(personal, document=collected)
    text = everything(contact)
    assert "; pending: " in text
    assert [".result[].initiator: object" in text, ".[].beneficiary: object" in text] == [True] * 2
    assert '"other key"' in text
    assert [it for it in (MARKER, lower, ADDRESS_OF_INITIATOR) if it in text] == []


def body(document: object) -> moods.Mood:
    return moods.body(json.dumps(document).encode(), "application/json")


def test_the_shape_report_names_requests_without_an_answer_and_is_empty_without_a_request() -> None:
    contact = made(app=httpx.ConnectError("Connection refused")).contact
    assert shape_lines(contact) == [
        f"kraken-custody-exporter {__version__}",
        "",
        "time: no answer",
    ]
    assert shape_lines(replace(contact, time=None)) == []


def test_a_name_of_ours_is_not_shown_even_as_a_key() -> None:
    """An answer may have a member for each vault or organization, named after it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        is_list = scope["path"].endswith("/organizations")
        document: Any = {"cold": {"balance": "1"}, "treasury": 1, "fresh": 2, "own_name": 3}
        if is_list:
            document = [{"org_id": "ABCD EFGH IJKL MNOP", "name": "own_name"}]
        elif scope["path"].endswith("/Time"):
            document = {"error": [], "result": {"unixtime": 1_795_262_400}}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    organizations = [
        {
            "name": "acme",
            "id": "ABCD EFGH IJKL MNOP",
            "vaults": [{"name": "cold", "id": "VABCDEF234567A"}],
        }
    ]
    text = "\n".join(
        shape_lines(made(app=app, document=configured(organizations=organizations)).contact)
    )
    assert ".fresh: number" in text
    assert not re.search("cold|treasury|own_name", text)


def test_control_characters_in_names_are_escaped() -> None:
    evil = "evil\x1b[31m\u202ename\x9b"
    vault = Vault("VABCDEF234567A", evil, ())
    portfolio = Portfolio((Organization("ABCD EFGH IJKL MNOP", evil, (vault,)),))
    document = configured(organizations=[{"id": "ABCD EFGH IJKL MNOP"}])
    contact = made(document=document, portfolio=portfolio)
    text = text_report(contact.contact, terminal(NO_COLOR="1", TERM="xterm"))
    assert "evil" in text
    assert not set("\x1b\u202e\x9b") & set(text)
    assert not set("\x1b\u202e\x9b") & set(json_report(contact.contact))
