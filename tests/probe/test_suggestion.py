"""The suggested configuration loads, and gives what was configured and what was found."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import exporter
from exporter.config import Settings, load, parse
from exporter.discovery.known import Listed
from exporter.probe.known import Known, Listing, Reply, Subject
from exporter.probe.suggestion import MOST_VAULTS, suggested, with_found
from exporter.shard import Shard
from exporter.simulator.portfolio import invented_vault_id
from exporter.simulator.situations import SITUATIONS
from tests.exporting import ENVIRON
from tests.probe.contacting import configured, contact_in, made, settings_of
from tests.simulator.calling import API_KEY, API_SECRET, ORGANIZATION, PORTFOLIO

FULL = """\
api:
  base_url: https://custody.example
  timeout: 7.5s
  rate_limit: {requests: 60, window: 1m, share: 0.25}
  organization_id_format: compact
polling: {interval: 90s, stale_after: 10m, max_series: 1000}
credentials:
  one:
    api_key_file: secrets/key
    api_secret_file: /SECRET
    totp_secret_file: secrets/seed
    nonce: microseconds
    rate_limit: {requests: 10, window: 500ms, share: 1}
    max_in_flight: 2
  "2":
    api_key_env: OTHER_KEY
    api_secret_env: SIMULATOR_SECRET
lease: {kind: redis, duration: 30s, redis: {url: "redis://127.0.0.1:6379/0", password_file: secrets/key}}
organizations:
  - name: "yes"
    id: ABCD EFGH IJKL MNOP
    credentials: one
    interval: 2m
    vaults:
      - {id: VABCDEF234567A, name: "0x10", interval: 30s, min_available: {BTC: "0.50", "1e3": 7}}
      - {id: VW44KPQC4C62K6}
  - id: ABCD EFGH IJKL MNOQ
    credentials: "2"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files that FULL names."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("a-key")
    (secrets / "seed").write_text("JBSWY3DPEHPK3PXP")
    (tmp_path / "elsewhere").write_text(ENVIRON["SIMULATOR_SECRET"])
    return tmp_path


def full(directory: Path) -> str:
    return FULL.replace("/SECRET", str(directory / "elsewhere"))


def test_what_is_configured_is_suggested_as_it_is(directory: Path) -> None:
    settings = parse(full(directory), directory=directory, environ=ENVIRON)
    text = suggested(settings, (), directory)
    assert parse(text, directory=directory, environ=ENVIRON) == settings
    assert "api_key_file: secrets/key\n" in text


def test_the_example_is_suggested_as_it_is(tmp_path: Path) -> None:
    """With every key."""
    example = Path(exporter.__file__).parent / "config.example.yaml"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-key").write_text("a-key")
    (tmp_path / "secrets" / "api-secret").write_text(ENVIRON["SIMULATOR_SECRET"])
    file = tmp_path / "config.yaml"
    file.write_text(example.read_text())
    settings = load(file, {})
    file.write_text(suggested(settings, (), tmp_path))
    assert load(file, {}) == settings


DURATIONS = st.floats(min_value=1e-9, max_value=366 * 86_400).map(lambda it: round(it, 9))


@given(DURATIONS, DURATIONS)
def test_any_duration_is_read_as_it_was(interval: float, own: float) -> None:
    document = configured(organizations=[{"id": ORGANIZATION.id}])
    settings = settings_of(document)
    settings = replace(
        settings,
        polling=replace(settings.polling, interval=interval),
        organizations=(replace(settings.organizations[0], interval=own),),
    )
    again = parse(suggested(settings, (), Path()), directory=Path(), environ=ENVIRON)
    assert again.polling.interval == pytest.approx(interval, abs=1e-9)
    assert again.organizations[0].interval == pytest.approx(own, abs=1e-9)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_suggestion_is_a_file_that_the_loader_takes(situation: str, tmp_path: Path) -> None:
    contact = contact_in(situation)
    text = contact.contact.suggestion
    assert bool(text) == (contact.verdicts["key"] == "ok" and "rights" not in contact.verdicts)
    if text:
        (tmp_path / "config.yaml").write_text(text)
        assert load(tmp_path / "config.yaml", ENVIRON).credentials
    assert API_KEY not in text
    assert API_SECRET not in text


def test_a_form_of_ids_that_the_api_understands_is_suggested() -> None:
    contact = contact_in("compact_ids")
    text = contact.contact.suggestion
    assert yaml.safe_load(text)["api"]["organization_id_format"] == "compact"
    again = made(SITUATIONS["compact_ids"], document=yaml.safe_load(text))
    assert again.contact.succeeded
    assert again.contact.suggestion == text


def test_what_the_key_lists_is_suggested_besides_what_is_configured() -> None:
    mine = ORGANIZATION.vaults[1]
    document = configured(
        organizations=[
            {
                "name": "ours",
                "id": ORGANIZATION.id,
                "vaults": [{"name": "warm", "id": mine.id, "interval": "30s"}],
            }
        ]
    )
    text = made(document=document).contact.suggestion
    first, second = yaml.safe_load(text)["organizations"]
    assert (first["name"], first["vaults"][0]) == (
        "ours",
        {"name": "warm", "id": mine.id, "interval": "30s"},
    )
    others = [it for it in ORGANIZATION.vaults if it is not mine]
    assert first["vaults"][1:] == [
        {"name": it.name, "id": it.id} for it in sorted(others, key=lambda it: it.id)
    ]
    assert second["name"] == PORTFOLIO.organizations[1].name
    assert len(second["vaults"]) == len(PORTFOLIO.organizations[1].vaults)


def lists(*vaults: Listed, organization: Listed | None = None) -> Known:
    known = Known(Subject("treasury"))
    organizations = Listing((organization or Listed(ORGANIZATION.id, "acme"),), 1)
    known = known.having("organizations", Reply(status=200, result=organizations))
    return known.having("vaults", Reply(status=200, result=Listing(vaults, len(vaults))))


def bare() -> Settings:
    return settings_of(configured(organizations=[{"id": ORGANIZATION.id}]))


IDS = [invented_vault_id(number) for number in range(MOST_VAULTS + 5)]


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 129, "a\x00b", "a\u202eb"], ids=ascii
)  # fmt: skip
def test_a_name_that_cannot_be_a_label_is_replaced_by_the_id(name: str) -> None:
    known = lists(Listed(IDS[0], "one"), Listed(IDS[1], name))
    text = suggested(bare(), [known], Path())
    vaults = yaml.safe_load(text)["organizations"][0]["vaults"]
    assert vaults == [{"name": "one", "id": IDS[0]}, {"id": IDS[1]}]


def test_a_name_that_is_taken_has_the_id_beside_it_as_discovery_has_it() -> None:
    text = suggested(bare(), [lists(Listed(IDS[0], "one"), Listed(IDS[1], "one"))], Path())
    vaults = yaml.safe_load(text)["organizations"][0]["vaults"]
    assert [vault["name"] for vault in vaults] == ["one", f"one ({IDS[1]})"]


def test_more_vaults_than_anybody_would_write_down_are_for_discovery() -> None:
    known = lists(*map(Listed, IDS))
    settings = with_found(bare(), [known])
    (organization,) = settings.organizations
    assert len(organization.vaults) == MOST_VAULTS
    assert settings.discovery
    assert yaml.safe_load(suggested(bare(), [known], Path()))["discovery"] == {}


def test_vaults_of_pages_that_were_not_read_are_for_discovery() -> None:
    known = lists(Listed(IDS[0]))
    assert with_found(bare(), [known]).discovery is None
    for some in (Listing((Listed(IDS[0]),), 101), Listing(tuple(map(Listed, IDS[:100])), None)):
        partly = known.having("vaults", Reply(status=200, result=some))
        assert with_found(bare(), [partly]).discovery


def test_vaults_of_organizations_that_were_not_requested_are_left_to_discovery() -> None:
    many = tuple(Listed(f"AAAA BBBB CCCC {number:04}") for number in range(4))
    known = lists(Listed(IDS[0]))
    some = known.having("organizations", Reply(status=200, result=Listing(many, 4, (), "org_id")))
    assert with_found(bare(), [some]).discovery


def test_a_vault_that_only_another_key_sees_is_for_discovery() -> None:
    """An entry's vaults are polled with its own credential, which could not read this one."""
    document = configured(
        organizations=[
            {"id": ORGANIZATION.id, "credentials": "treasury"},
            {"id": "HELX FUND CUST 0002", "credentials": "other"},
        ]
    )
    other = {"api_key_env": "OTHER_KEY", "api_secret_env": "SIMULATOR_SECRET"}
    document["credentials"]["other"] = other
    mine = lists(Listed(IDS[0]))
    others = replace(lists(Listed(IDS[0]), Listed(IDS[1])), subject=Subject("other"))
    suggestion = yaml.safe_load(suggested(settings_of(document), [mine, others], Path()))
    assert suggestion["organizations"][0]["vaults"] == [{"id": IDS[0]}]
    assert suggestion["discovery"] == {}


def test_nothing_is_suggested_for_one_shard_as_the_file_is_for_all_of_them(directory: Path) -> None:
    settings = parse(full(directory), directory=directory, environ=ENVIRON, shard=Shard(1, 3))
    assert suggested(settings, [lists(Listed(IDS[0]))], directory) == ""


TEXTS = st.text() | st.sampled_from(["yes", "1e3", "0x10", "- a", "{b: c}", "#", "a: b", "null"])


@given(st.lists(st.tuples(st.sampled_from(IDS[:6]), TEXTS), max_size=6), TEXTS)
def test_whatever_the_api_calls_things_the_loader_takes_the_suggestion(
    vaults: list[tuple[str, str]], organization: str
) -> None:
    known = lists(
        *(Listed(*vault) for vault in vaults),
        organization=Listed("HELX FUND CUST 0002", organization),
    )
    text = suggested(bare(), [known], Path())
    settings = parse(text, directory=Path(), environ=ENVIRON)
    assert {it.id for it in settings.organizations[1].vaults} == {id_ for id_, _ in vaults}


def test_a_second_key_has_its_own_organizations() -> None:
    document: dict[str, Any] = configured(
        organizations=[
            {"id": ORGANIZATION.id, "credentials": "treasury"},
            {"id": "HELX FUND CUST 0002", "credentials": "other"},
        ]
    )
    document["credentials"]["other"] = {
        "api_key_env": "OTHER_KEY",
        "api_secret_env": "SIMULATOR_SECRET",
    }
    known = lists(Listed(IDS[0]), organization=Listed("AAAA BBBB CCCC DDDD", "new"))
    other = replace(known, subject=Subject("other"))
    text = suggested(settings_of(document), [other], Path())
    assert yaml.safe_load(text)["organizations"][2] == {
        "name": "new",
        "id": "AAAA BBBB CCCC DDDD",
        "credentials": "other",
        "vaults": [{"id": IDS[0]}],
    }
