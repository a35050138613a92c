"""Builds the client of a credential: the daemon and the probe send the same way, with the same nonces."""

import ssl
from collections.abc import Callable

import httpx
from msgspec import Struct

from exporter.config import Secrets
from exporter.custody.auth import KeyAuth, Nonces, secret_texts
from exporter.custody.client import CustodyClient, Surroundings
from exporter.custody.connections import HttpApi, way_to
from exporter.custody.environment import proxy_secrets
from exporter.custody.errors import Cleaner
from exporter.custody.transport import Find, Transport


class Connector(Struct, frozen=True):
    """Builds clients, with what those of all credentials share.

    nonces: of every key.
    cleaner: learns each secret that is used.
    wall: returns Unix seconds.
    boottime: returns seconds that continue while the machine sleeps.
    transport: carries the requests, None for the real network.
    """

    nonces: Nonces
    cleaner: Cleaner
    wall: Callable[[], float]
    boottime: Callable[[], float]
    transport: httpx.AsyncBaseTransport | None = None

    def client(  # noqa: PLR0913 - each is named where it is called
        self,
        secrets: Secrets,
        *,
        unit: str,
        base_url: str,
        tls: ssl.SSLContext | None,
        local_address: str | None,
        surroundings: Surroundings,
        found: Callable[[Find], None],
    ) -> CustodyClient:
        """Return a client for the API at `base_url`.

        unit: of nonces.
        found: called with each unrequested answer.
        local_address: to send from, None for the system's choice.
        Raises EnvironmentMistakeError if the environment's proxy is not usable.
        """
        auth = KeyAuth(secrets, self.nonces.of(secrets.api_key, unit), self.wall)
        self.cleaner.learn(*secret_texts(secrets), *proxy_secrets())
        transport = self.transport or Transport(
            way_to(base_url, tls, local_address).connect, self.boottime, found
        )
        return CustodyClient(HttpApi(base_url, transport), auth, self.cleaner, surroundings)
