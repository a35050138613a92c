"""No secret appears anywhere: in logs, errors, tracebacks, pages or metrics, and the settings do not hold one."""

import asyncio
import base64
import copy
import gc
import io
import pickle
import re
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import httpx
import pytest
import yaml
from msgspec import to_builtins
from msgspec.structs import asdict

from exporter.assembly import Exporter, World
from exporter.config import SecretError, Settings, parse
from exporter.custody.auth import KeyAuth, Nonce
from exporter.logs import LogFormat, configure, get_logger
from exporter.probe.report import json_report, text_report
from exporter.report import console_for
from exporter.simulator.server import SimulatorThread
from exporter.web.access.control import Access
from exporter.web.access.file import WebConfigFile
from exporter.web.site import Site
from tests.custody.servers import serving
from tests.exporting import configuration, exporter_of, write
from tests.probe.contacting import Time, made, settings_of, simulated
from tests.processes import Running, run, running
from tests.secret_marks import (
    API_KEY,
    API_SECRET,
    CREDENTIALS,
    ENVIRON,
    FILES,
    OTHER_KEY,
    OTP,
    PROXY_PASSWORD,
    WEB_HASH,
    WEB_PASSWORD,
    echo,
    forms,
    shown,
    write_files,
)
from tests.simulator.calling import NOON, PORTFOLIO
from tests.waiting import until

USER = "prometheus"
WEB_CONFIG = {"basic_auth_users": {USER: WEB_HASH}}
RIGHT, WRONG = httpx.BasicAuth(USER, WEB_PASSWORD), httpx.BasicAuth("nobody", WEB_PASSWORD)


def document(base_url: str, **polling: Any) -> dict[str, Any]:
    """A configuration with a mark in every secret that it names; each credential has an organization."""
    made = configuration(base_url, **polling)
    made["credentials"] = CREDENTIALS
    for organization, name in zip(made["organizations"], CREDENTIALS, strict=True):
        organization["credentials"] = name
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_files(tmp_path)
    (tmp_path / "web.yml").write_text(yaml.safe_dump(WEB_CONFIG))
    return tmp_path


def paths() -> list[str]:
    """Every path, and some that do not exist."""
    routes = Site(exporter_of("http://127.0.0.1:1"), "/metrics").app().routes
    ids = {"vault": PORTFOLIO.organizations[0].vaults[0].id, "org": PORTFOLIO.organizations[0].id}
    known = [route.path for route in routes]  # type: ignore[attr-defined] # all of them have one
    return [path.replace("{id}", id_) for path in known for id_ in ids.values()] + ["/nowhere"]


def told(answer: httpx.Response) -> str:
    return f"{answer.headers.raw!r} {answer.text}"


@pytest.mark.parametrize("form", sorted(forms(API_KEY) | forms(API_SECRET)))
def test_a_secret_that_showed_would_be_found(form: str) -> None:
    found = shown({"somewhere": f"before {form} after"})
    assert ("somewhere", form) in found


def test_a_secret_within_something_encoded_would_be_found() -> None:
    for before in (b"", b"u", b"us", b"use"):
        encoded = base64.b64encode(before + b":" + API_SECRET + b"?").decode()
        assert shown({"somewhere": encoded})
    assert shown({"somewhere": "none"}) == []


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_polling_once_and_a_check_show_none(format_: str, directory: Path) -> None:
    flags = ("--log.level", "debug", "--log.format", format_, "--web.config.file", "web.yml")
    with SimulatorThread(echo) as base_url:
        write(directory, document(base_url))
        once = run("--once", *flags, directory=directory, environ=ENVIRON)
    check = run("--config.check", *flags, directory=directory, environ=ENVIRON)
    assert (once.returncode, check.returncode) == (1, 0)
    assert once.stderr.count("<secret>") > 50, "the API said them, again and again"
    assert shown(outputs("once", once) | outputs("check", check)) == []


def outputs(name: str, done: Any) -> dict[str, str]:
    return {f"stdout of {name}": done.stdout, f"stderr of {name}": done.stderr}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("key", f"{API_KEY} twice {API_KEY}"),
        ("secret", f"{FILES['secret']}!"),
        ("otp", f"{OTP}\n{OTP}"),
        ("seed", f"{FILES['seed']}018"),
        ("web.yml", yaml.safe_dump({"basic_auth_users": {USER: f"{WEB_HASH}x"}})),
        ("web.yml", yaml.safe_dump({"basic_auth_users": [WEB_HASH], USER: WEB_PASSWORD})),
        ("config.yaml", f"credentials: {{treasury: {{api_key: {API_KEY}, otp_file: '{OTP}'}}}}"),
        ("config.yaml", f"api_key = {API_KEY}"),
    ],
)
def test_a_mistake_in_a_secret_or_beside_it_shows_none(
    name: str, content: str, directory: Path
) -> None:
    write(directory, document("http://127.0.0.1:1"))
    (directory / name).write_text(content)
    flags = ("--config.check", "--log.level", "debug", "--web.config.file", "web.yml")
    done = run(*flags, directory=directory, environ=ENVIRON)
    assert done.returncode == 2
    assert done.stderr
    assert shown(outputs("it", done)) == []


def test_a_running_exporter_shows_none_on_any_page_whatever_happens(directory: Path) -> None:
    flags = ("--log.level", "debug", "--web.enable-lifecycle", "--web.config.file", "web.yml")
    pages: dict[str, str] = {}

    def ask(exporter: Running, when: str) -> None:
        url = httpx.URL(exporter.wait_for("started")["page"])
        with httpx.Client(trust_env=False, verify=False) as client:
            for path in paths():
                for auth in (RIGHT, WRONG, None):
                    answer = client.get(url.join(path), auth=auth)
                    pages[f"{when}: {path}, {answer.status_code}"] = told(answer)
            answer = client.post(url.join("/-/reload"), auth=RIGHT)
            pages[f"{when}: reload, {answer.status_code}"] = told(answer)

    with SimulatorThread(echo) as base_url:
        write(directory, document(base_url, interval="100ms"))
        with running(*flags, directory=directory, environ=ENVIRON) as exporter:
            until(lambda: len(exporter.events("target_failing")) > 20)
            ask(exporter, "while the API says all it is sent")
            for name in FILES:
                (directory / name).write_text(f"{FILES[name]} {OTP} twice")
            (directory / "web.yml").write_text(f"basic_auth_users: {{{USER}: {WEB_HASH}x}}")
            exporter.process.send_signal(signal.SIGHUP)
            exporter.wait_for("reload_failed")
            ask(exporter, "after a bad reload")
            assert exporter.stop(signal.SIGTERM) == 0
    statuses = {place.rpartition(", ")[2] for place in pages}
    assert statuses >= {"200", "401", "404", "500"}
    assert "<secret>" in "".join(pages.values())
    assert shown(pages | {"stdout": exporter.stdout, "stderr": exporter.stderr}) == []


def test_a_probe_shows_none_whatever_the_api_says(directory: Path) -> None:
    """In virtual time: the API repeats all it is sent, in answers of all kinds and in rate-limit headers."""

    async def api(scope: Any, receive: Any, send: Any) -> None:
        sent = " ".join(value.decode() for name, value in scope["headers"] if name[:4] == b"api-")

        async def with_header(message: Any) -> None:
            if message["type"] == "http.response.start":
                header = (b"x-ratelimit-note", sent.encode() or b"none")
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        app = simulated(time=Time()).app if scope["path"].endswith("Time") else echo
        await app(scope, receive, with_header)

    settings = settings_of(document("http://127.0.0.1:1"), directory, ENVIRON)
    for _ in range(8):
        # Each time it continues with another variant.
        contact = made(app=api, document=settings).contact
        report = json_report(contact) + text_report(contact, console_for(io.StringIO(), {}))
        assert "<secret>" in report
        assert shown({"report": report, "repr": repr(contact)}) == []
        asyncio.run(echo({"type": "http", "path": "/", "headers": []}, no_body, nowhere))


async def no_body() -> dict[str, Any]:
    return {"type": "http.request"}


async def nowhere(message: Any) -> None:
    del message


def test_a_proxy_that_says_its_own_password_is_not_repeated(directory: Path) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        _, _, sent = re.split(rb"(?i)(proxy-authorization: )", head, maxsplit=1)
        sent = sent.partition(b"\r\n")[0]
        words = sent + b" " + PROXY_PASSWORD.encode()
        writer.write(b"HTTP/1.1 407 " + words + b"\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    async def poll() -> Any:
        async with serving(proxy) as url:
            password = PROXY_PASSWORD.replace("@", "%40").replace("/", "%2F")
            environ = {
                **ENVIRON,
                "HTTPS_PROXY": url.replace("http://", f"http://user:{password}@"),
            }
            write(directory, document("https://api.kraken.test"))
            flags = ("--once", "--log.level", "debug")
            return await asyncio.to_thread(run, *flags, directory=directory, environ=environ)

    done = asyncio.run(poll())
    assert "407 Basic <secret> <secret>" in done.stderr
    assert shown(outputs("it", done)) == []


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_a_traceback_shows_no_values(format_: LogFormat, capfd: pytest.CaptureFixture[str]) -> None:
    def crash(secret: str) -> None:
        local = secret * 2
        raise RuntimeError(f"at {len(local)}")

    configure("debug", format_)
    try:
        crash(API_KEY)
    except RuntimeError:
        get_logger().exception("crashed")
    logged = capfd.readouterr().err
    assert "Traceback" in logged
    assert shown({"log": logged}) == []


@pytest.mark.parametrize("format_", ["logfmt", "json"])
def test_a_traceback_shows_no_secret_that_its_exception_names(
    format_: LogFormat, directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = yaml.safe_dump(document("http://127.0.0.1:1"))
    Exporter(parse(text, directory=directory, environ=ENVIRON), World())
    configure("debug", format_)
    defect = RuntimeError(f"illegal header value {API_KEY!r}, b{OTP!r}")
    get_logger().error("crashed", exc_info=defect)
    logged = capfd.readouterr().err
    assert "illegal header value '<secret>', b'<secret>'" in logged
    assert shown({"log": logged}) == []


@pytest.fixture
def settings(directory: Path) -> Settings:
    text = yaml.safe_dump(document("http://127.0.0.1:1"))
    return parse(text, directory=directory, environ=ENVIRON)


def texts_within(root: object, *, without: object = None) -> Iterator[str]:
    """Return all text, or what may be text, that can be reached from an object."""
    seen, ahead = {id(without)}, [root]
    while ahead:
        found = ahead.pop()
        # Code and classes are shared by all objects, and lead to everything else in the process.
        if id(found) in seen or isinstance(found, type | ModuleType | FunctionType):
            continue
        seen.add(id(found))
        if isinstance(found, str):
            yield found
        elif isinstance(found, bytes | bytearray):
            yield found.decode("latin-1")
        ahead += gc.get_referents(found)


def held(root: object, *, without: object = None) -> list[str]:
    """Return the secrets held anywhere within an object."""
    everything = "\n".join(texts_within(root, without=without))
    return [form for _, form in shown({"within": everything})]


def test_settings_hold_no_secret_even_deep_within_but_the_environment_they_were_given(
    settings: Settings,
) -> None:
    assert held(settings, without=ENVIRON) == []
    assert any(OTHER_KEY in text for text in texts_within(settings)), "it would have been found"


def test_settings_can_be_shown_but_not_written_down_with_the_environment(
    settings: Settings,
) -> None:
    copied = copy.deepcopy(settings)
    views = (repr, str, asdict, partial(to_builtins, enc_hook=str))
    texts = {f"{view}": f"{view(item)}" for item in (settings, copied) for view in views}
    assert shown(texts) == []
    with pytest.raises(TypeError, match="secrets are not serialised"):
        pickle.dumps(settings)


def test_settings_go_on_holding_none_after_the_secrets_were_read_and_after_one_was_bad(
    settings: Settings, directory: Path
) -> None:
    source = settings.credentials["files"]
    secrets = source.read()
    assert held(secrets), "it would have been found"
    assert held(source, without=ENVIRON) == []
    (directory / "key").write_text(f"{API_KEY} twice")
    with pytest.raises(SecretError) as caught:
        source.read()
    assert held(vars(caught.value)) == []
    assert held(caught.value.args) == []


def test_the_web_configuration_shows_no_hash_and_nothing_holds_a_password(directory: Path) -> None:
    file = WebConfigFile(directory / "web.yml")
    access = Access(lambda: file.configuration)

    async def ask(auth: httpx.BasicAuth) -> int:
        async def app(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
            del scope, receive
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})

        transport = httpx.ASGITransport(access.guarding(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/", auth=auth)).status_code

    assert [asyncio.run(ask(RIGHT)), asyncio.run(ask(WRONG))] == [200, 401]
    assert held(access, without=file) == []
    configuration_ = file.configuration
    views = (repr, str, asdict, partial(to_builtins, enc_hook=str))
    assert shown({f"{view}": f"{view(configuration_)}" for view in views}) == []


def test_signatures_and_timed_passwords_of_late_are_secrets_too(settings: Settings) -> None:
    secrets = settings.credentials["environment"].read()
    auth = KeyAuth(secrets, Nonce("nanoseconds", lambda: 1), lambda: NOON)
    for _ in range(3):
        request = httpx.Request("GET", "https://api.kraken.test/")
        auth.sign(request)
        sent = [request.headers["api-sign"], request.headers["api-otp"]]
        assert auth.without_sent(f"said {sent[0]}, {sent[1]}") == "said <secret>, <secret>"
