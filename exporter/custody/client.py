"""The client of the custody API: sends one signed request, returns its answer or raises `CustodyError`.

Retries, pauses and the rate limit are up to the caller: each call is exactly one request.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx
from msgspec import Struct
from msgspec.structs import replace

from exporter.custody.auth import KeyAuth
from exporter.custody.body import (
    BodyEncodingError,
    BodyTooLargeError,
    NoRoomError,
    Room,
    read_body,
    stream_of,
)
from exporter.custody.classify import (
    MESSAGE_LENGTH,
    PAGE_LENGTH,
    Answer,
    Classifier,
    Unreadable,
    unix_time,
)
from exporter.custody.connections import HttpApi
from exporter.custody.document import InvalidAnswerError, TooManyValuesError, parse_json
from exporter.custody.errors import (
    LONGEST_FORM,
    LONGEST_TEXT,
    CustodyError,
    Delivery,
    MayNotSendError,
    Reaction,
)
from exporter.custody.shape import IsPrivate, shape_of
from exporter.custody.transport import ON_SEND, REQUEST_TAG, UnsolicitedAnswerError
from exporter.custody.wire import UnreachableError
from exporter.threads import unresolved
from exporter.turns import Steps, in_turns

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_BODIES_BYTES: Final = 8 * 1024 * 1024
"""Maximum size of all bodies in flight together."""
LONG_BODY_BYTES: Final = 64 * 1024
LONGEST_TEXT_CLEANED: Final = 2 * LONGEST_TEXT
LONGEST_FORM_SENT: Final = 100 * LONGEST_FORM
"""A signature has 88 characters, each of which may be escaped."""

BASE_PATH: Final = "/v0/insto/custody/"

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Then = Callable[[Result], Awaitable[None]]


def _as_it_says(error: CustodyError) -> Reaction:
    return error.reaction


def _nothing(error: CustodyError) -> None:
    del error


def _by_read(body: bytearray) -> Steps[None]:
    yield from ()
    del body


def _always() -> bool:
    return True


class Request(Struct, Generic[Result_co], frozen=True):
    """A request.

    endpoint: the value of label `endpoint`.
    tag: what it is for, passed to observers of requests and of unrequested answers.
    path: relative to the API's, or absolute if it begins with a slash; `{id}` is replaced by `id` in the API's format.
    query: with its `?`; `{id}` is replaced likewise.
    read: returns the content of the answer's JSON, or raises InvalidAnswerError.
    read_usual: returns the same of the body of a successful answer, or None if only `read` can judge it.
    reaction: returns the reaction to a failure, if the resource knows better than the table of errors.
    excuse: returns an answer if a failure means one.
    is_signed: whether it needs the key and takes a nonce.
    is_personal: whether the answer has personal data, so that only documented keys of it are shown.
    """

    endpoint: str
    tag: Hashable
    path: str
    read: Callable[[object], Steps[Result_co]]
    id: str = ""
    query: str = ""
    read_usual: Callable[[bytearray], Steps[Result_co | None]] = _by_read
    reaction: Callable[[CustodyError], Reaction] = _as_it_says
    excuse: Callable[[CustodyError], Result_co | None] = _nothing
    is_signed: bool = True
    is_personal: bool = False


async def nothing_more(result: object) -> None:
    """Ignore an answer."""
    del result


class Exchange(Struct, frozen=True):
    """The record of one request, whatever its outcome.

    tag: what it was for.
    status: None if there was no response, or its connection broke.
    seconds: from send to last byte, None likewise.
    clock_skew: seconds by which this machine's clock is ahead of the API's, None without a date.
    """

    endpoint: str
    tag: Hashable
    status: int | None = None
    seconds: float | None = None
    clock_skew: float | None = None


def no_one(answer: Answer) -> None:
    """Ignore an answer."""
    del answer


class Reading:
    """Bounds the memory of all answers that are being read, whatever they contain.

    room: for their bodies.
    alone: held while one of them is decoded, checked and rendered, which may take ten times as much.
    """

    def __init__(self) -> None:
        self.room = Room(MAX_BODIES_BYTES)
        self.alone = asyncio.Lock()


class Surroundings(Struct, frozen=True):
    """What all clients of a process share.

    timeout: seconds for a whole request.
    id_format: how ids of organizations are written in paths.
    observe: called with every request when it ends.
    reading: bounds the memory of all answers that are being read.
    on_answer: called with every answer once it is decoded.
    may_send: returns whether a request may be sent now; called before a nonce is taken, and again once connected.
    """

    timeout: float
    id_format: Literal["spaced", "compact"]
    classifier: Classifier
    observe: Callable[[Exchange], None]
    reading: Reading
    monotonic: Callable[[], float]
    wall: Callable[[], float]
    on_answer: Callable[[Answer], None] = no_one
    may_send: Callable[[], bool] = _always


class _Departure:
    """Whether and when a request was sent to the API, from when it counts against a rate limit.

    at: monotonic seconds.
    """

    def __init__(self, monotonic: Callable[[], float], may_send: Callable[[], bool]) -> None:
        self._monotonic = monotonic
        self._may_send = may_send
        self.at = monotonic()
        self._has_left = False

    def leave(self) -> None:
        """Record that the request is about to be sent on an open connection. Raises MayNotSendError."""
        if not self._may_send():
            raise MayNotSendError
        self.at = self._monotonic()
        self._has_left = True

    def delivery(self) -> Delivery:
        """Return the delivery of a request that was not answered."""
        return Delivery.UNANSWERED if self._has_left else Delivery.NEVER_SENT


class CustodyClient:
    """A client with one credential.

    clean: removes secrets and control characters from the API's text (see `errors.Cleaner`).
    """

    def __init__(
        self,
        api: HttpApi,
        auth: KeyAuth,
        clean: Callable[[str, int], str],
        surroundings: Surroundings,
    ) -> None:
        self._api = api
        self._auth = auth
        self._without_secrets = clean
        self._shared = surroundings

    @property
    def timeout(self) -> float:
        """Seconds after which any request has ended."""
        return self._shared.timeout

    async def close(self) -> None:
        """Close the connections, each as soon as it has no request in flight."""
        await self._api.close()

    async def ask(self, request: Request[Result], then: Then[Result] = nothing_more) -> Result:
        """Send one request and return its answer as read. Raises CustodyError and MayNotSendError.

        then: called with it before another answer is decoded.
        """
        try:
            return await self._ask(request, then)
        except CustodyError as error:
            error.reaction = request.reaction(error)
            raise

    def clean(self, text: str, length: int) -> str:
        """Return text from outside, made safe to show: without secrets, in at most `length` characters."""
        # Searching all of a long answer would block the event loop.
        cleaned = self._auth.without_sent(text[:LONGEST_TEXT_CLEANED])
        if len(text) > LONGEST_TEXT_CLEANED:
            # It may end within something that was sent.
            cleaned = cleaned[:-LONGEST_FORM_SENT]
        return self._without_secrets(cleaned, length)

    def _path(self, request: Request[object]) -> str:
        is_compact = self._shared.id_format == "compact"
        written = request.id.replace(" ", "") if is_compact else request.id
        base = "" if request.path.startswith("/") else BASE_PATH
        id_ = written if written.isascii() and written.isalnum() else quote(written)
        return f"{base}{request.path}{request.query}".format(id=id_)

    async def _ask(self, request: Request[Result], then: Then[Result]) -> Result:
        with self._shared.reading.room.place() as take:
            try:
                answer, seconds = await self._exchange(request, take)
            except MayNotSendError:
                # Nothing was sent.
                raise
            except BaseException:
                self._shared.observe(Exchange(request.endpoint, request.tag))
                raise
            self._shared.observe(
                Exchange(request.endpoint, request.tag, answer.status, seconds, _clock_skew(answer))
            )
            async with self._shared.reading.alone:
                result = await self._usual(answer, request)
                if result is None:
                    answer = await in_turns(_decoded(answer))
                    self._shared.on_answer(answer)
                    result = await self._result(answer, request)
                # Its use takes memory too, as much as ten thousand rows need.
                await then(result)
                return result

    async def _usual(self, answer: Answer, request: Request[Result]) -> Result | None:
        """Return the content of `answer` if it succeeded and is regular (`Request.read_usual`), else None."""
        body = answer.document
        if not isinstance(body, bytearray) or answer.status != 200 or answer.is_blocked:
            return None
        # Observers of answers get decoded documents.
        if self._shared.on_answer is not no_one:
            return None
        return await in_turns(request.read_usual(body))

    async def _result(self, answer: Answer, request: Request[Result]) -> Result:
        """Return the content of `answer`. Raises CustodyError if it is a failure."""
        if failure := self._shared.classifier.failure(answer, self.clean):
            raise failure
        if isinstance(answer.document, Unreadable):
            # A captive portal or proxy identifies itself in its page's title. Other text may be part of balances.
            title = answer.text if answer.is_html else ""
            raise self._useless(answer, answer.document, request, title)
        try:
            return await in_turns(request.read(answer.document))
        except InvalidAnswerError as error:
            problem = Unreadable(error.type, str(error))
            raise self._useless(answer, problem, request) from None

    def _useless(
        self, answer: Answer, why: Unreadable, request: Request[object], title: str = ""
    ) -> CustodyError:
        def is_private(key: str) -> bool:
            return request.is_personal or self.clean(key, MESSAGE_LENGTH) != key

        words = f"the answer {why.problem}: {title}" if title else f"the answer {why.problem}"
        return CustodyError(
            why.type,
            status=answer.status,
            message=self.clean(words, MESSAGE_LENGTH),
            shape=(
                shape_of_answer(answer, is_private) if why.type == InvalidAnswerError.type else ()
            ),
        )

    async def _exchange(
        self, request: Request[object], take: Callable[[int], None]
    ) -> tuple[Answer, float]:
        """Send one request; return the answer, not yet decoded, and the seconds from send to last byte.

        take: takes room for bytes of the answer.
        """
        if not self._shared.may_send():
            raise MayNotSendError
        departure = _Departure(self._shared.monotonic, self._shared.may_send)
        extensions = {ON_SEND: departure.leave, REQUEST_TAG: request.tag}
        sent = self._api.request(self._path(request), extensions)
        if request.is_signed:
            self._auth.sign(sent)
        try:
            async with asyncio.timeout(self._shared.timeout):
                response = await self._api.send(sent)
                try:
                    received_at = self._shared.wall()
                    body = await _read(response, take)
                finally:
                    await stream_of(response).aclose()
        except TimeoutError:
            delivery = departure.delivery()
            names = unresolved() if delivery is Delivery.NEVER_SENT else ()
            answer = (
                f"answer from the name server about {', '.join(names)}"
                if names
                else "complete answer"
            )
            raise CustodyError(
                "transport/timeout",
                reaction=Reaction.RETRY,
                message=f"no {answer} within {self._shared.timeout:g} s",
                delivery=delivery,
            ) from None
        except (httpx.HTTPError, OSError) as error:
            raise self._broken(error, departure) from None
        seconds = self._shared.monotonic() - departure.at
        return Answer(response.status_code, response.headers, body, received_at), seconds

    def _broken(self, error: httpx.HTTPError | OSError, departure: _Departure) -> CustodyError:
        """Translate exceptions of the transport: no response, or none that can be relied on."""
        type_, reaction = "transport/protocol", Reaction.RETRY
        delivery = departure.delivery()
        if _is_tls_failure(error):
            # A bad certificate does not change within seconds.
            type_, reaction = "transport/tls", Reaction.WAIT
        elif isinstance(error, UnsolicitedAnswerError):
            reaction, delivery = Reaction.AGAIN, Delivery.ANSWERED
        elif isinstance(error, httpx.TimeoutException):
            type_ = "transport/timeout"
        elif isinstance(error, httpx.ConnectError | httpx.ProxyError):
            type_ = "transport/connect"
        why = refusal_of(error) if isinstance(error, httpx.ConnectError) else ""
        message = self.clean(why or str(error) or type(error).__name__, MESSAGE_LENGTH)
        return CustodyError(type_, reaction=reaction, message=message, delivery=delivery)


def shape_of_answer(answer: Answer, is_private: IsPrivate) -> tuple[str, ...]:
    """Return the shape of an answer, whatever its body. is_private: see `shape.shape_of`."""
    if isinstance(answer.document, Unreadable):
        return (".: a page (HTML)" if answer.is_html else ".: not JSON",)
    return shape_of(answer.document, is_private)


async def _read(response: httpx.Response, take: Callable[[int], None]) -> bytearray | Unreadable:
    try:
        return await read_body(response, MAX_BODY_BYTES, take)
    except BodyTooLargeError:
        return Unreadable("response/too_large", f"has more than {MAX_BODY_BYTES} bytes")
    except NoRoomError:
        return Unreadable(
            "response/too_large",
            f"and others at the same time have more than {MAX_BODIES_BYTES} bytes",
        )
    except BodyEncodingError as error:
        return Unreadable("response/invalid", f"cannot be decoded: {error}")


def _decoded(answer: Answer) -> Steps[Answer]:
    """Return `answer` with its body decoded."""
    body = answer.document
    if not isinstance(body, bytearray):
        return answer
    # Decompressing, decoding and checking a long body each takes as long as other tasks may wait.
    is_long = len(body) > LONG_BODY_BYTES
    if is_long:
        yield
    document = _document(body)
    if is_long:
        yield
    return replace(answer, document=document)


def _document(body: bytearray) -> object:
    try:
        return parse_json(body)
    except TooManyValuesError as error:
        return Unreadable("response/too_large", str(error))
    except ValueError:
        return Unreadable("response/invalid", "is not JSON", bytes(body[:PAGE_LENGTH]))


def _is_tls_failure(error: BaseException | None) -> bool:
    while error is not None:
        # Its other subclasses only mean that a connection ended or has to wait.
        if type(error) in (ssl.SSLError, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def refusal_of(error: BaseException | None) -> str:
    """Return why a connection failed: the operating system's error, with the host if none could be made; else ""."""
    while error is not None:
        if isinstance(error, UnreachableError):
            return str(error)
        # An ssl.SSLError has different numbers.
        if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
            return os.strerror(error.errno)
        error = error.__cause__ or error.__context__
    return ""


def _clock_skew(answer: Answer) -> float | None:
    """Return the seconds by which the local clock is ahead of the answer's `Date`, to about half a second."""
    sent = unix_time(answer.headers.get("date", ""))
    # The header omits fractions, half a second on average.
    return None if sent is None else answer.received_at - (sent + 0.5)
