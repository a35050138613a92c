"""What was released still exists, as docs/stability.md promises."""

from pathlib import Path

import pytest
import yaml

from exporter.config import load
from exporter.web.access.file import WebConfigFile
from tests.config.documents import FILES
from tests.web.certificates import Authority
from tools.stable import STABLE, Promises, broken, promises, write

RELEASES = sorted(STABLE.iterdir())
NOT_KEPT = {
    # In the text format it was a gauge before, and its name is the same in each.
    "metrics: kraken_custody_asset_info: type was info, is gauge",
}
"""Promises of 0.1.0 that were broken before docs/stability.md existed. Nothing may be added here."""


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_what_a_release_promised_is_kept(release: Path) -> None:
    before = yaml.safe_load((release / "promises.yaml").read_text("utf-8"))
    assert set(broken(before, promises())) <= NOT_KEPT


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_configuration_of_a_release_is_still_accepted(release: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-key").write_text(FILES["key"])
    (tmp_path / "secrets" / "api-secret").write_text(FILES["secret"])
    file = tmp_path / "config.yaml"
    file.write_text((release / "config.example.yaml").read_text("utf-8"))
    assert [it.name for it in load(file, {}).organizations] == ["acme"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_web_configuration_of_a_release_is_still_accepted(release: Path, tmp_path: Path) -> None:
    Authority(tmp_path, "clients-ca").sign("127.0.0.1")
    file = tmp_path / "web-config.yml"
    file.write_text((release / "web-config.example.yml").read_text("utf-8"))
    assert WebConfigFile(file).configuration.basic_auth_users


METRIC = {"type": "gauge", "labels": ["org", "vault"]}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"flags": {"--once": {}}}, {"flags": {"--once": {}, "--more": {}}}, []),
        ({"flags": {"--once": {}}}, {"flags": {"--more": {}}}, ["flags: --once is gone"]),
        ({"metrics": {"a": METRIC}}, {"metrics": {"a": METRIC, "b": METRIC}}, []),
        (
            {"metrics": {"a": METRIC}},
            {"metrics": {"a": METRIC | {"type": "counter"}}},
            ["metrics: a: type was gauge, is counter"],
        ),
        (
            {"metrics": {"a": METRIC}},
            {"metrics": {"a": METRIC | {"labels": ["org", "vault", "asset"]}}},
            ["metrics: a: labels was ['org', 'vault'], is ['org', 'vault', 'asset']"],
        ),
        (
            {"metrics": {"a_info": METRIC}},
            {"metrics": {"a_info": METRIC | {"labels": ["more", "vault", "org"]}}},
            [],
        ),
        (
            {"metrics": {"a_info": METRIC}},
            {"metrics": {"a_info": METRIC | {"labels": ["org"]}}},
            ["metrics: a_info: labels was ['org', 'vault'], is ['org']"],
        ),
    ],
)
def test_removed_and_changed_promises_are_reported(
    before: Promises, now: Promises, told: list[str]
) -> None:
    assert list(broken(before, now)) == told


def test_a_release_writes_what_the_next_one_is_compared_with(tmp_path: Path) -> None:
    write(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in RELEASES[0].iterdir()}
    assert yaml.safe_load((tmp_path / "promises.yaml").read_text("utf-8")) == promises()
