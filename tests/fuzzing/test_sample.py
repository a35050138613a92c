"""A sample of the inputs of `make bench ARGS=fuzz`, and checks that it would notice defects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

import pytest

from exporter.custody.client import CustodyClient
from exporter.web.access.passwords import Passwords
from exporter.web.on_uvicorn import Connection
from tests.fuzzing.surface import Feed, Surface, fuzz
from tests.fuzzing.surfaces import SURFACES
from tests.fuzzing.web import AUTHORIZATION, REQUEST_LINE

SAMPLE = 200


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_no_input_brings_anything_but_an_answer_or_a_refusal(surface: Surface) -> None:
    report = asyncio.run(fuzz(surface, SAMPLE))
    assert report.defects == []
    assert report.inputs == SAMPLE * surface.share
    assert len(report.outcomes) > 1, "it gets past the first check, and not always"


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_the_same_seed_makes_the_same_inputs(surface: Surface) -> None:
    assert surface.make(Random("7")) == surface.make(Random("7"))
    assert surface.make(Random("7")) != surface.make(Random("8"))


def test_what_is_raised_and_what_is_slow_are_defects() -> None:
    @contextlib.asynccontextmanager
    async def faulty() -> AsyncIterator[Feed]:
        async def feed(sample: bytes) -> str:
            if sample == b"bad":
                raise ZeroDivisionError("at once")
            return "fine"

        yield feed

    surface = Surface("faulty", lambda chance: chance.choice((b"good", b"bad")), faulty)
    report = asyncio.run(fuzz(surface, 200))
    assert set(report.defects) == {(b"bad", "ZeroDivisionError: at once")}
    assert report.inputs < 200, "one that is bad again and again is given up"
    report = asyncio.run(fuzz(surface, 1, slow_seconds=-1.0))
    assert [sample for sample, _ in report.defects]


def defects(surface: Surface) -> set[str]:
    return {why for _, why in asyncio.run(fuzz(surface, SAMPLE)).defects}


def test_a_guard_that_lets_everyone_in_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_right(*_of_anybody: object) -> bool:
        return True

    monkeypatch.setattr(Passwords, "is_right", is_right)
    assert any(why.startswith("DefectError: answered 200 to b'") for why in defects(AUTHORIZATION))


def test_a_crash_that_no_client_sees_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_of_anything: object) -> None:
        raise RuntimeError("made up")

    monkeypatch.setattr(Connection, "connection_lost", crash)
    assert defects(REQUEST_LINE)


def test_an_error_that_the_client_lets_through_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(*_of_anything: object) -> None:
        raise RuntimeError("made up")

    monkeypatch.setattr(CustodyClient, "_exchange", crash)
    assert defects(SURFACES[-1]) == {"RuntimeError: made up"}
