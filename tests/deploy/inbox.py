"""Receives Alertmanager's messages: a webhook receiver and a mail server on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message as Mail
from typing import Any
from urllib.parse import urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MailHandler
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.simulator.server import SimulatorThread
from tests.deploy.servers import free_address


@dataclass(frozen=True)
class Notice:
    """One alert in one message. receiver: the path that the message was posted to. status: firing or resolved."""

    receiver: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True)
class Inbox:
    """What has arrived so far.

    webhook, smtp: host and port of the receivers. posts: for each message, its alerts.
    """

    webhook: str
    smtp: str
    posts: list[list[Notice]]
    mails: list[Mail]

    def notices(self, status: str, **labels: str) -> list[Notice]:
        """Return the notices of alerts in this state with these labels, oldest first."""
        return [
            notice
            for post in self.posts
            for notice in post
            if notice.status == status and notice.labels.items() >= labels.items()
        ]

    def subjects(self) -> list[str]:
        """Return the subjects of the mails."""
        return [mail["subject"] for mail in self.mails]


@dataclass(frozen=True)
class _Webhook:
    posts: list[list[Notice]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        receiver: str = request.path_params["receiver"]
        self.posts.append(
            [
                Notice(receiver, alert["status"], alert["labels"], alert["annotations"])
                for alert in body["alerts"]
            ]
        )
        return Response()


class _Mailbox(MailHandler):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Mail] = []

    def handle_message(self, message: Mail) -> None:
        self.mails.append(message)


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Receive messages while the block runs."""
    webhook, mailbox = _Webhook(), _Mailbox()
    app = Starlette(routes=[Route("/{receiver}", webhook.take, methods=["POST"])])
    smtp = free_address()
    host, port = smtp.split(":")
    post_office = Controller(mailbox, hostname=host, port=int(port))
    with SimulatorThread(app) as url:
        post_office.start()
        try:
            yield Inbox(urlsplit(url).netloc, smtp, webhook.posts, mailbox.mails)
        finally:
            post_office.stop()
