"""How a mistake is told: its place, the names in it, and the file or variable that it is about."""

from pathlib import Path

import pytest

from exporter.strict_yaml.mistakes import (
    ConfigError,
    ConfigFilesError,
    MissingFileError,
    Mistake,
    NamedProblemError,
    Place,
    UnansweredError,
    names_text,
    path,
)
from exporter.strict_yaml.reader import read_both


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ((), ""),
        (("api", "timeout"), "api.timeout"),
        (("organizations", 0, "vaults", 2, "id"), "organizations[0].vaults[2].id"),
        (("api", "a b", "x"), 'api["a b"].x'),
        (("k" * 40,), "k" * 40),
        (("k" * 41,), '["kkkkkkkk..."]'),
        (tuple("abcdefgh"), "a.b.c.d.e.f.g.h"),
        (tuple("abcdefghi"), "a.b.c.d....f.g.h.i"),
    ],
)
def test_a_location_is_written_as_a_path_from_the_top(
    location: tuple[str | int, ...], text: str
) -> None:
    assert path(location) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["one", "a b"], 'one, "a b"'),
        (list("abcdefghij"), "a, b, c, d, e, f, g, h, i, j"),
        (list("abcdefghijkl"), "a, b, c, d, e, f, g, h, i, j and 2 more"),
    ],
)
def test_ten_names_are_listed_and_the_others_counted(names: list[str], text: str) -> None:
    assert names_text(names) == text


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (Mistake((), "is empty"), "is empty"),
        (Mistake(("api",), "is empty"), "api: is empty"),
        (Mistake((), "is empty", Place(2, 5)), "(line 2, column 5): is empty"),
        (
            Mistake(("api",), "is empty", Place(2, 5, 'vault "hot"')),
            'api (line 2, column 5, vault "hot"): is empty',
        ),
    ],
)
def test_a_mistake_is_reported_with_its_place_if_that_is_known(mistake: Mistake, text: str) -> None:
    assert str(mistake) == text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (NamedProblemError("is not set", "API_KEY"), "is not set (API_KEY)"),
        (MissingFileError(Path("/keys/api")), "no such file: check the path (/keys/api)"),
        (NamedProblemError("is empty", Path(f"/{'x' * 255}")), f"is empty (/{'x' * 255})"),
        (NamedProblemError("is empty", Path(f"/{'x' * 256}")), f"is empty (...{'x' * 256})"),
    ],
)
def test_a_problem_names_its_file_or_variable(problem: NamedProblemError, text: str) -> None:
    assert problem.in_full == text


def test_a_relative_file_is_named_with_the_directory_it_was_looked_for_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = MissingFileError(Path("api-key"))
    assert problem.in_full == f"no such file: check the path ({tmp_path}/api-key)"


def test_a_file_that_does_not_answer_is_a_mistake_of_its_own() -> None:
    assert str(UnansweredError(Path("keys/api"), 2.5)) == (
        "keys/api: did not answer within 2.5 s: check its file system"
    )


def test_the_mistakes_of_two_files_are_reported_at_once() -> None:
    mistakes = Mistake(("api",), "is empty"), Mistake(("users",), "is required")

    def first() -> None:
        raise ConfigError("config.yaml", mistakes[:1], 2)

    def second() -> None:
        raise ConfigError(Path("web.yaml"), mistakes[1:], 1)

    with pytest.raises(ConfigFilesError) as caught:
        read_both(first, second)
    assert str(caught.value).splitlines() == [
        "config.yaml: api: is empty",
        "config.yaml: and 2 more mistakes",
        "web.yaml: users: is required",
        "web.yaml: and 1 more mistake",
    ]
    assert (caught.value.file, caught.value.mistakes, caught.value.more) == (
        "config.yaml, web.yaml",
        mistakes,
        3,
    )
