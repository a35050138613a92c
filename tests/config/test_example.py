"""config.example.yaml is complete and valid, and shows the real defaults."""

import re
from decimal import Decimal
from pathlib import Path

import certifi
import pytest
from msgspec.structs import replace

from exporter.cli import CONFIG_EXAMPLE
from exporter.config import (
    Api,
    CredentialSettings,
    Discovery,
    Filter,
    LeaseSettings,
    OrganizationSettings,
    Polling,
    RateLimit,
    RedisSettings,
    Settings,
    VaultSettings,
    load,
)
from exporter.secret import Secret
from exporter.strict_yaml.validation import keys_of
from tests.config.documents import ENVIRON, FILES, document, read


@pytest.fixture
def filled_in(tmp_path: Path) -> Path:
    """A copy of the example as an operator has it, with the secrets beside it."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-key").write_text(FILES["key"])
    (tmp_path / "secrets" / "api-secret").write_text(FILES["secret"])
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG_EXAMPLE.read_text())
    return file


def test_the_example_is_a_good_configuration(filled_in: Path) -> None:
    settings = load(filled_in, {})
    (organization,) = settings.organizations
    assert [organization.name, *(vault.name for vault in organization.vaults)] == ["acme", "hot"]


@pytest.mark.parametrize(
    "model",
    [
        Settings,
        Api,
        RateLimit,
        Polling,
        CredentialSettings,
        Discovery,
        Filter,
        LeaseSettings,
        RedisSettings,
        OrganizationSettings,
        VaultSettings,
    ],
)
def test_the_example_mentions_every_key(
    model: type[
        Settings
        | Api
        | RateLimit
        | Polling
        | CredentialSettings
        | Discovery
        | Filter
        | LeaseSettings
        | RedisSettings
        | OrganizationSettings
        | VaultSettings
    ],
) -> None:
    mentioned = set(re.findall(r"^[ #-]*(\w+):", CONFIG_EXAMPLE.read_text(), re.MULTILINE))
    assert set(keys_of(model)) <= mentioned


def test_what_the_example_shows_as_a_default_is_one(filled_in: Path, directory: Path) -> None:
    shown, default = load(filled_in, {}), read(document(), directory)
    assert (shown.api, shown.polling) == (default.api, default.polling)
    source = default.credentials["treasury"]
    files = {"api_key_file": source.api_key_file, "api_secret_file": source.api_secret_file}
    environment = {"_environment": Secret(ENVIRON)}
    assert replace(shown.credentials["treasury"], **files, **environment) == source


def test_the_commented_out_lease_of_the_example_is_valid(filled_in: Path) -> None:
    text = filled_in.read_text()
    commented = re.search(r"^# lease:\n(?:#   .*\n)+", text, re.MULTILINE)
    assert commented is not None
    lease = re.sub("^# ", "", commented[0], flags=re.MULTILINE)
    filled_in.write_text(text.replace("lease: null\n", lease))
    (filled_in.parent / "secrets" / "redis-password").write_text("a password")
    (filled_in.parent / "redis-ca.pem").write_text(Path(certifi.where()).read_text())
    shown = load(filled_in, {}).lease
    assert shown
    default = LeaseSettings(kind="redis", redis=shown.redis)
    assert shown == default


def test_the_commented_out_alternatives_of_the_example_are_valid(filled_in: Path) -> None:
    text = filled_in.read_text()
    for secret in ("key", "secret"):
        text = re.sub(rf"^ +api_{secret}_file: .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(rf"# (api_{secret}_env:)", r"\1", text)
    limit = re.search(r"# (\{requests: .*\})", text)
    assert limit is not None
    text = text.replace("rate_limit: null", f"rate_limit: {limit[1]}")
    filled_in.write_text(text)
    environ = {
        "KRAKEN_API_KEY": FILES["key"].strip(),
        "KRAKEN_API_SECRET": FILES["secret"].strip(),
    }
    credentials = load(filled_in, environ).credentials["treasury"]
    assert credentials.rate_limit == RateLimit(requests=60, window=30.0, share=Decimal(1))
    assert credentials.read().api_key.get_secret_value() == environ["KRAKEN_API_KEY"]


def test_the_commented_out_discovery_of_the_example_has_the_defaults(filled_in: Path) -> None:
    text = filled_in.read_text().replace("discovery: null\n", "")
    commented = text[text.index("# discovery:") : text.index("# Two processes")]
    filled_in.write_text(text.replace(commented, re.sub("^# ?", "", commented, flags=re.MULTILINE)))
    assert load(filled_in, {}).discovery == Discovery()
