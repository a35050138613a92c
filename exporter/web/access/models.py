"""The web configuration, key by key as exporter-toolkit has it; what is in one is known to be right."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from exporter.config.models import Document, Model
from exporter.web.access.tls import TlsServerConfig
from exporter.web.access.values import (
    BcryptHash,
    Boolean,
    Burst,
    HeaderName,
    HeaderValue,
    Interval,
    User,
)


class HttpServerConfig(Model):
    """How HTTP is spoken.

    http2: accepted either way, and HTTP/1.1 is what is spoken. headers: of every answer, in the place of the exporter's
    own ones of the same name; an empty value is as good as none.
    """

    http2: Boolean = True
    headers: Mapping[HeaderName, HeaderValue] = {}


class RateLimit(Model):
    """A token bucket for requests: one more each `interval` (seconds, 0 for no limit), and `burst` of them at once."""

    interval: Interval = 0.0
    burst: Burst = 1


class WebConfiguration(Document):
    """The whole file; without any there is no TLS, no password and no limit.

    basic_auth_users: the bcrypt hash of each user's password.
    """

    example: ClassVar = "deploy/web-config.example.yml"
    hidden: ClassVar = frozenset({"tls_server_config", "basic_auth_users"})

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Mapping[User, BcryptHash] = {}
    rate_limit: RateLimit = RateLimit()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        return self.tls_server_config.files if self.tls_server_config else ()
