"""Makes the client of a credential: the daemon and the probe send in the same way, with the same nonces."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from exporter.config import Secrets
from exporter.custody.auth import KeyAuth, Nonces, secret_texts
from exporter.custody.client import CustodyClient, Surroundings
from exporter.custody.connections import http_client, way_to
from exporter.custody.environment import proxy_secrets
from exporter.custody.errors import Cleaner
from exporter.custody.transport import Find, Transport


@dataclass(frozen=True, slots=True)
class Connector:
    """What the clients of all credentials share, whatever they ask.

    nonces: of every key. cleaner: learns each secret that is used. wall: Unix seconds. boottime: seconds that go on
    while the machine sleeps. transport: what carries requests, None for the real network.
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
        tls: ssl.SSLContext,
        local_address: str | None,
        surroundings: Surroundings,
        found: Callable[[Find], None],
    ) -> CustodyClient:
        """Return a client for the API at `base_url`. unit: of nonces. found: told of answers that nobody asked for.

        local_address: to send from, None for whichever the system chooses.
        Raises EnvironmentMistakeError where the environment's proxy is none.
        """
        auth = KeyAuth(secrets, self.nonces.of(secrets.api_key, unit), self.wall)
        self.cleaner.learn(*secret_texts(secrets), *proxy_secrets())
        transport = self.transport or Transport(
            way_to(base_url, tls, local_address).connect, self.boottime, found
        )
        return CustodyClient(http_client(base_url, transport), auth, self.cleaner, surroundings)
