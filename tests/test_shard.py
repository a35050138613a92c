"""Which shard a target belongs to, and what else is separate for each shard."""

from collections import Counter
from pathlib import Path

import pytest

from exporter.config import parse
from exporter.shard import WHOLE, Shard, owner
from exporter.strict_yaml.mistakes import ConfigError
from tests.polling.world import API_SECRET

IDS = tuple(f"V{number:013}" for number in range(5_000))

CONFIGURATION = """
api: {local_address: "10.0.0.{shard}"}
credentials:
  main: {api_key_file: "keys/{shard}/key", api_secret_env: "SECRET_{shard}"}
lease: {kind: kubernetes}
organizations: [{id: ABCD EFGH IJKL MNOP}]
"""


@pytest.mark.parametrize(
    ("written", "shard"), [("0/1", WHOLE), ("2/13", Shard(2, 13)), ("9998/9999", Shard(9998, 9999))]
)
def test_a_shard_is_written_as_its_number_and_how_many_there_are(
    written: str, shard: Shard
) -> None:
    assert Shard.parse(written) == shard


@pytest.mark.parametrize(
    "written", ["", "1", "1/1", "13/13", "-1/3", "a/b", "1/0", "01/3", "1/10000"]
)
def test_an_invalid_shard_is_refused_with_the_expected_form(written: str) -> None:
    with pytest.raises(ValueError, match="must be I/N, I from 0 to N - 1"):
        Shard.parse(written)


@pytest.mark.parametrize("of", [1, 2, 13])
def test_each_target_is_of_the_shard_that_owns_it_alone(of: int) -> None:
    shards = [Shard(number, of) for number in range(of)]
    for id_ in IDS[:500]:
        assert [shard.number for shard in shards if shard.has(id_)] == [owner(id_, of)]


def test_shards_have_about_as_many_targets_each() -> None:
    counts = Counter(owner(id_, 13) for id_ in IDS)
    assert min(counts.values()) > 0.8 * len(IDS) / 13
    assert max(counts.values()) < 1.2 * len(IDS) / 13


def test_one_shard_more_moves_targets_only_to_itself() -> None:
    moved = [id_ for id_ in IDS if owner(id_, 13) != owner(id_, 14)]
    assert {owner(id_, 14) for id_ in moved} == {13}
    assert len(moved) < 1.3 * len(IDS) / 14


def test_a_new_version_gives_every_shard_the_targets_that_it_had() -> None:
    known = {"VABCDEF234567A": 2, "VW44KPQC4C62K6": 6, "ABCD EFGH IJKL MNOP": 11}
    assert {id_: owner(id_, 13) for id_ in known} == known


def test_the_number_of_the_shard_is_inserted_into_paths_variables_and_the_address(
    tmp_path: Path,
) -> None:
    for number in range(2):
        folder = tmp_path / "keys" / str(number)
        folder.mkdir(parents=True)
        (folder / "key").write_text(f"key-{number}")
    environ = {f"SECRET_{number}": API_SECRET for number in range(2)}
    for number in range(2):
        shard = Shard(number, 2)
        settings = parse(CONFIGURATION, directory=tmp_path, environ=environ, shard=shard)
        assert settings.shard == shard
        assert settings.api.local_address == f"10.0.0.{number}"
        assert settings.credentials["main"].read().api_key.get_secret_value() == f"key-{number}"
        assert settings.lease
        assert settings.lease.name == f"kraken-custody-exporter-{number}"


def test_without_shards_the_lease_has_its_own_name_and_the_number_is_0(tmp_path: Path) -> None:
    (tmp_path / "keys" / "0").mkdir(parents=True)
    (tmp_path / "keys" / "0" / "key").write_text("key")
    settings = parse(CONFIGURATION, directory=tmp_path, environ={"SECRET_0": API_SECRET})
    assert settings.lease
    assert settings.lease.name == "kraken-custody-exporter"
    assert settings.api.local_address == "10.0.0.0"


def test_a_file_that_a_shard_does_not_have_is_named_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(CONFIGURATION, directory=tmp_path, environ={}, shard=Shard(7, 9))
    message = str(caught.value)
    assert "keys/7/key" in message
    assert "SECRET_7" in message


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "224.0.0.1", "api.kraken.com", "10.0.0.{other}"]
)
def test_only_the_address_of_one_machine_can_be_sent_from(address: str) -> None:
    with pytest.raises(
        ConfigError, match="is not the address of one machine: write an IPv4 or IPv6"
    ):
        parse(f"api: {{local_address: '{address}'}}", directory=Path(), environ={})
