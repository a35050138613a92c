"""Limits as given by flags, and as the process can have them."""

import resource

import pytest

from exporter.web.limits import DEFAULT_LIMITS, SPARE_FILES, Limits, number


def test_a_number_is_at_least_what_makes_sense() -> None:
    assert number("0", least=0) == 0
    assert number("999999", least=1) == 999999
    for text in ("0", "-1", "1000000", "1.0", "", "many", "٣"):
        with pytest.raises(ValueError, match="is not a whole number from 1 to 999999"):
            number(text, least=1)


class OpenFiles:
    """The open-file limits of the process."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limits = soft, hard

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.limits

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        self.limits = limits


UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "raised_to"),
    [
        (1024, 4096, 512, 1024),
        (UNLIMITED, UNLIMITED, 512, UNLIMITED),
        (256, 4096, 512, 512 + SPARE_FILES),
        (256, UNLIMITED, 512, 512 + SPARE_FILES),
        (256, 500, 500 - SPARE_FILES, 500),
        (64, 64, 1, 64),
    ],
)
def test_connections_leave_files_for_polling(
    soft: int, hard: int, connections: int, raised_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = OpenFiles(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", files.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", files.setrlimit)
    assert Limits(connections=512).within_open_files().connections == connections
    assert files.limits == (raised_to, hard)


def test_the_default_fits_what_a_process_usually_may_open() -> None:
    assert DEFAULT_LIMITS.connections + SPARE_FILES <= 1024


def test_without_flags_clients_have_these_limits() -> None:
    assert Limits() == Limits(
        connections=512,
        requests=40,
        read_timeout=10.0,
        write_timeout=60.0,
        idle_timeout=90.0,
        body_bytes=16_384,
    )
