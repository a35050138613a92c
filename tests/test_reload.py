"""Changes on disk that the exporter applies by itself."""

import asyncio
import gc
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from exporter import reload
from exporter.assembly import Exporter, World
from exporter.config import ConfigError, Mistake, Settings, parse
from exporter.threads import Loop
from exporter.web.access.file import WebConfigFile
from tests.custody.asking import NO_TRUST
from tests.exporting import ENVIRON, configuration, exporter_of, reloaded, reloader_of
from tests.web.access.files import HASH, OTHER_HASH, write

ALICE = {"basic_auth_users": {"alice": HASH}}
BOB = {"basic_auth_users": {"bob": OTHER_HASH}}


@pytest.fixture
def exporter() -> Exporter:
    return exporter_of("http://127.0.0.1:1")


async def watched(
    exporter: Exporter, file: WebConfigFile, until: Callable[[], object], does: Callable[[], object]
) -> None:
    """Do something while the files are watched, until it has taken effect."""

    def never() -> Settings:
        raise AssertionError

    watching = asyncio.create_task(reloader_of(exporter, never, file).run())
    does()
    async with asyncio.timeout(10):
        while not until():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.01)
    watching.cancel()


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK_SECONDS", 0.0)


def test_a_changed_web_configuration_holds_soon(exporter: Exporter, tmp_path: Path) -> None:
    file = WebConfigFile(write(tmp_path, ALICE))
    changed = watched(
        exporter,
        file,
        lambda: "bob" in file.configuration.basic_auth_users,
        lambda: write(tmp_path, BOB),
    )
    asyncio.run(changed)


def test_an_invalid_web_configuration_shows_as_a_failed_reload_until_it_is_fixed(
    exporter: Exporter, tmp_path: Path
) -> None:
    """So that an alert fires before a certificate that could not be renewed expires."""
    file = WebConfigFile(write(tmp_path, ALICE))
    loading = exporter.loading
    bad = watched(exporter, file, lambda: loading.problem, lambda: write(tmp_path, "users: {}"))
    asyncio.run(bad)
    assert loading.error is None
    assert loading.web_error is not None
    assert "users (line 1, column 1): unknown key" in loading.web_error
    good = watched(exporter, file, lambda: loading.problem is None, lambda: write(tmp_path, BOB))
    asyncio.run(good)
    assert loading.web_error is None


def test_a_defect_does_not_end_the_watch(
    exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = WebConfigFile(write(tmp_path, ALICE))
    looks: list[None] = []

    async def fail() -> None:
        looks.append(None)
        raise RuntimeError

    with capture_logs() as events:
        asyncio.run(
            watched(
                exporter,
                file,
                lambda: len(looks) > 2,
                lambda: monkeypatch.setattr(file, "look", fail),
            )
        )
    assert {event["event"] for event in events} == {"web_config_crashed"}


def test_the_mistakes_of_both_files_are_reported_at_once_and_each_once(
    exporter: Exporter, tmp_path: Path
) -> None:
    file = WebConfigFile(write(tmp_path, ALICE))
    web_config = write(tmp_path, "users: {}")

    def bad() -> Settings:
        raise ConfigError("config.yaml", [Mistake(("polling",), "required")])

    with capture_logs() as events:
        problem = asyncio.run(reloaded(reloader_of(exporter, bad, file)))
    assert [event["event"] for event in events] == ["reload_failed"]
    assert problem is not None
    main, *web = problem.splitlines()
    assert main == "config.yaml: polling: required"
    assert [
        line.startswith(f"{web_config}: users (line 1, column 1): unknown key") for line in web
    ] == [True]
    assert exporter.loading.problem == problem


def test_a_defect_of_a_reload_is_reported_without_its_text(exporter: Exporter) -> None:
    """Which nobody has checked for secrets."""

    def crash() -> Settings:
        raise RuntimeError("MARKER")

    with capture_logs() as events:
        assert asyncio.run(reloaded(reloader_of(exporter, crash))) == "defect: RuntimeError"
    assert [event["event"] for event in events] == ["reload_crashed"]
    assert exporter.loading.problem == "defect: RuntimeError"


@pytest.mark.parametrize(
    ("base_url", "is_read"), [("https://127.0.0.1:1", True), ("http://127.0.0.1:1", False)]
)
def test_certificates_are_read_only_for_tls(base_url: str, *, is_read: bool) -> None:
    asked: list[Path | None] = []

    def trust(ca_file: Path | None) -> ssl.SSLContext:
        asked.append(ca_file)
        return NO_TRUST

    exporter_of(base_url, World(trust=trust))
    assert asked == [None] * is_read


def test_a_failed_reload_and_a_bad_web_configuration_show_both(exporter: Exporter) -> None:
    exporter.loading.error, exporter.loading.web_error = "config.yaml: a", "web.yaml: b"
    assert exporter.loading.problem == "config.yaml: a\nweb.yaml: b"


def test_a_reload_shows_that_the_budget_has_become_too_small(exporter: Exporter) -> None:
    document = configuration("http://127.0.0.1:1")
    document["api"]["rate_limit"] = {"requests": 2, "window": "60s", "share": 1}
    small = parse(yaml.safe_dump(document), directory=Path(), environ=ENVIRON)
    reloader = reloader_of(exporter, lambda: small)
    with capture_logs() as events:
        assert asyncio.run(reloaded(reloader)) is None
    assert [event["event"] for event in events] == ["reloaded", "budget_too_small"]


def test_a_file_is_read_without_full_collections_of_garbage(exporter: Exporter) -> None:
    usual, thresholds = gc.get_threshold(), []

    def load() -> Settings:
        thresholds.append(gc.get_threshold())
        raise ConfigError("config.yaml", [Mistake(("polling",), "required")])

    assert asyncio.run(reloaded(reloader_of(exporter, load))) == "config.yaml: polling: required"
    assert thresholds == [(*usual[:2], reload.NEVER)]
    assert gc.get_threshold() == usual


class Loads:
    """Loads the settings once it is released; counts how often, and who waits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.begun = 0
        self.release = threading.Event()

    def __call__(self) -> Settings:
        self.begun += 1
        self.release.wait()
        return self._settings


@pytest.fixture
def loads() -> Iterator[Loads]:
    text = yaml.safe_dump(configuration("http://127.0.0.1:1"))
    loads = Loads(parse(text, directory=Path(), environ=ENVIRON))
    yield loads
    loads.release.set()


async def under_way(loads: Loads) -> None:
    """Wait until a reload has begun."""
    async with asyncio.timeout(30):
        while not loads.begun:  # noqa: ASYNC110 - a thread begins it
            await asyncio.sleep(0)


def test_reloads_requested_meanwhile_are_combined_into_one(
    exporter: Exporter, loads: Loads
) -> None:
    hung_up = asyncio.Event()
    reloader = reloader_of(exporter, loads, asked=hung_up)

    async def main() -> list[str | None]:
        running = asyncio.create_task(reloader.run())
        first = asyncio.create_task(reloader.reload())
        await under_way(loads)
        others = [asyncio.create_task(reloader.reload()) for _ in range(1000)]
        impatient = asyncio.create_task(reloader.reload())
        await asyncio.sleep(0)
        for _ in range(1000):
            hung_up.set()
        impatient.cancel()
        loads.release.set()
        problems = await asyncio.gather(first, *others)
        running.cancel()
        return problems

    with capture_logs() as events:
        assert asyncio.run(main()) == [None] * 1001
    assert loads.begun == 2
    assert [event["event"] for event in events] == ["reloaded", "reloaded"]


def test_a_sighup_reloads_without_a_waiting_caller(exporter: Exporter, loads: Loads) -> None:
    hung_up = asyncio.Event()
    loads.release.set()

    async def main() -> None:
        reloader = reloader_of(exporter, loads, asked=hung_up)
        running = asyncio.create_task(reloader.run())
        hung_up.set()
        await under_way(loads)
        # Nothing remains that would make the next request reload twice.
        assert await reloader.reload() is None
        running.cancel()

    asyncio.run(main())
    assert loads.begun == 2


def test_a_caller_that_waits_for_a_reload_when_the_exporter_stops_gets_an_answer(
    exporter: Exporter, loads: Loads
) -> None:
    reloader = reloader_of(exporter, loads)

    async def main() -> list[str | None]:
        running = asyncio.create_task(reloader.run())
        first = asyncio.create_task(reloader.reload())
        await under_way(loads)
        second = asyncio.create_task(reloader.reload())
        await asyncio.sleep(0)
        running.cancel()
        problems = await asyncio.gather(first, second)
        return [*problems, await reloader.reload()]

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == ["the exporter is stopping"] * 3
