"""What web/on_uvicorn.py needs of uvicorn's internals: a sentence says what an upgrade has changed."""

import asyncio
import inspect
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tests.web.clients import hello

PYPROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"
METHODS: Final = {
    uvicorn.Server: {
        "serve": "(self, sockets)",
        "startup": "(self, sockets)",
        "shutdown": "(self, sockets)",
        "main_loop": "(self)",
        "on_tick": "(self, counter)",
        "capture_signals": "(self)",
    },
    H11Protocol: {
        "__init__": "(self, config, server_state, app_state, _loop)",
        "connection_made": "(self, transport)",
        "connection_lost": "(self, exc)",
        "data_received": "(self, data)",
        "eof_received": "(self)",
        "pause_writing": "(self)",
        "resume_writing": "(self)",
        "on_response_complete": "(self)",
        "send_400_response": "(self, msg)",
        "shutdown": "(self)",
    },
}
"""Methods that are called or overridden, with the names of their parameters."""
ATTRIBUTES: Final = {
    "server": ("config", "server_state", "should_exit", "started"),
    "server_state": ("connections", "tasks", "default_headers"),
    "connection": (
        *("app", "connections", "conn", "cycle", "flow", "logger", "loop", "scheme", "transport"),
    ),
    "connection.flow": ("write_paused",),
    "connection.conn": ("our_state", "their_state", "trailing_data"),
    "connection.cycle": ("keep_alive", "more_body", "response_complete"),
}
"""Attributes that are read or set, by the path to their object."""


def changed(part: type, methods: dict[str, str]) -> list[str]:
    """Return a sentence for each method that is not as expected."""
    found = {name: _parameters(getattr(part, name, None)) for name in methods}
    return [
        f"uvicorn {uvicorn.__version__} has {part.__name__}.{name}{found[name]}, and web/on_uvicorn.py needs {needed}"
        for name, needed in methods.items()
        if found[name] != needed
    ]


def lost(way: str, thing: object, names: Iterable[str]) -> list[str]:
    """Return a sentence for each attribute that does not exist."""
    return [
        f"uvicorn {uvicorn.__version__} has no {way}.{name}, and web/on_uvicorn.py needs it"
        for name in names
        if not hasattr(thing, name)
    ]


def _parameters(method: Any) -> str:
    if method is None:
        return " no more"
    return f"({', '.join(inspect.signature(method).parameters)})"


class Plug(asyncio.Transport):
    """A transport that leads nowhere."""

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False


async def asked() -> dict[str, object]:
    """Return a server and a connection that has received a request."""
    server = uvicorn.Server(uvicorn.Config(hello, http="h11", log_config=None))
    state = server.server_state
    connection = H11Protocol(server.config, state, {}, asyncio.get_running_loop())
    connection.connection_made(Plug())
    connection.data_received(b"GET / HTTP/1.1\r\nhost: exporter\r\n\r\n")
    await asyncio.gather(*state.tasks)
    return {"server": server, "server_state": state, "connection": connection}


@pytest.mark.parametrize("part", METHODS)
def test_overridden_methods_of_uvicorn_have_the_expected_parameters(part: type) -> None:
    assert changed(part, METHODS[part]) == []


def test_attributes_of_uvicorn_that_are_used_exist() -> None:
    objects = asyncio.run(asked())
    problems: list[str] = []
    for way, names in ATTRIBUTES.items():
        first, _, rest = way.partition(".")
        thing = getattr(objects[first], rest) if rest else objects[first]
        problems += lost(way, thing, names)
    assert problems == []


def test_the_set_of_connections_of_a_server_can_be_replaced() -> None:
    async def main() -> None:
        state = ServerState()
        state.connections = mine = set[Any]()
        connection = H11Protocol(uvicorn.Config(hello, log_config=None), state, {})
        connection.connection_made(Plug())
        assert mine == {connection}

    asyncio.run(main())


def test_what_an_upgrade_removes_is_reported_in_a_sentence() -> None:
    class Other:
        def shutdown(self, when: float) -> None:
            """A method with other parameters."""

    told = f"uvicorn {uvicorn.__version__} has"
    assert changed(Other, {"shutdown": "(self)", "startup": "(self)"}) == [
        f"{told} Other.shutdown(self, when), and web/on_uvicorn.py needs (self)",
        f"{told} Other.startup no more, and web/on_uvicorn.py needs (self)",
    ]
    assert lost("connection", Other(), ("flow",)) == [
        f"{told} no connection.flow, and web/on_uvicorn.py needs it"
    ]


def test_no_newer_uvicorn_is_installed_than_one_that_was_tried() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    needed = next(
        it for it in map(Requirement, project["dependencies"]) if it.name == "uvicorn"
    ).specifier
    assert any(part.operator == "<" for part in needed), "uvicorn has no upper bound"
    assert version("uvicorn") in needed
