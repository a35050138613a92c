"""The example of a web configuration works as it stands, and shows every key."""

import asyncio
from pathlib import Path

import pytest
import yaml

from exporter.strict_yaml.validation import Model, keys_of
from exporter.web.access.configuration import HttpServerConfig, RequestRateLimit, WebConfiguration
from exporter.web.access.file import WebConfigFile
from exporter.web.access.forms import HEADERS
from exporter.web.access.passwords import Passwords
from exporter.web.access.tls import TlsServerConfig
from tests.web.certificates import Authority

EXAMPLE = Path(__file__).parents[3] / "deploy" / "web-config.example.yml"


@pytest.fixture
def configuration(tmp_path: Path) -> WebConfiguration:
    """The example, in a directory with the files that it names."""
    Authority(tmp_path, "clients-ca").sign("127.0.0.1")
    (tmp_path / "web-config.yml").write_text(EXAMPLE.read_text())
    return WebConfigFile(tmp_path / "web-config.yml").configuration


@pytest.mark.usefixtures("configuration")
def test_the_example_is_valid_and_has_every_section() -> None:
    assert set(yaml.safe_load(EXAMPLE.read_text())) == set(keys_of(WebConfiguration))


@pytest.mark.parametrize(
    "model", [WebConfiguration, TlsServerConfig, HttpServerConfig, RequestRateLimit]
)
def test_the_example_names_every_key(model: type[Model]) -> None:
    text = EXAMPLE.read_text()
    assert [key for key in keys_of(model) if key not in text] == []
    assert [header for header in HEADERS if header not in text] == []


def test_the_password_of_the_example_is_what_it_says(configuration: WebConfiguration) -> None:
    right = Passwords().is_right(configuration.basic_auth_users, "prometheus", b"change me")
    assert asyncio.run(right)
