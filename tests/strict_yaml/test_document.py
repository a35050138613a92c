"""Files that cannot be read, broken YAML, and the pitfalls of valid YAML."""

import re
from pathlib import Path

import pytest

from exporter.config import ConfigError, load
from tests.config.documents import ENVIRON, document, mistakes, read


def load_mistake(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, ENVIRON)
    return str(caught.value)


def test_load_reads_relative_to_the_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "config.yaml").write_text(document())
    (directory / "elsewhere").mkdir()
    monkeypatch.chdir(directory / "elsewhere")
    settings = load(Path("../config.yaml"), ENVIRON)
    key = settings.credentials["treasury"].api_key_file
    assert key is not None
    assert key.samefile(directory / "key")


def test_load_and_parse_agree(directory: Path) -> None:
    (directory / "config.yaml").write_text(document())
    assert load(directory / "config.yaml", ENVIRON) == read(document(), directory)


def test_a_byte_order_mark_is_accepted(directory: Path) -> None:
    (directory / "config.yaml").write_text(document(), encoding="utf-8-sig")
    assert load(directory / "config.yaml", ENVIRON) == read(document(), directory)


def test_an_error_names_the_file_on_each_line(directory: Path) -> None:
    file = directory / "config.yaml"
    file.write_text(document(api="timeout: 30", vault="nam: hot"))
    assert load_mistake(file).splitlines() == [
        f"{file}: api.timeout (line 1, column 7): 30 has no unit: write a duration such as 500ms, 30s, 5m or 1h30m",
        f"{file}: organizations[0].vaults[0].nam (line 6, column 59): unknown key; did you mean 'name'?",
    ]


def test_a_missing_file_is_named_with_what_belongs_in_it(directory: Path) -> None:
    problem = (
        "no such file: check the path, or create it: "
        "kraken-custody-exporter --config.example shows what belongs here"
    )
    file = directory / "missing.yaml"
    assert load_mistake(file) == f"{file}: {problem}"
    below_a_file = directory / "key" / "config.yaml"
    assert load_mistake(below_a_file) == f"{below_a_file}: {problem}"


def test_a_directory_is_not_a_configuration(directory: Path) -> None:
    assert load_mistake(directory) == f"{directory}: is a directory: name a file"


def test_other_encodings_are_refused(directory: Path) -> None:
    file = directory / "config.yaml"
    file.write_bytes(document(organization="name: größe").encode("latin-1"))
    assert load_mistake(file) == f"{file}: is not UTF-8 text: save it in that encoding"


def test_a_document_has_at_most_1_mib(directory: Path) -> None:
    room = 1024 * 1024 - len(document()) - 1
    assert not mistakes(f"{document()}#{'x' * room}", directory)
    assert mistakes(f"{document()}#{'x' * (room + 1)}", directory) == [
        "is larger than 1 MiB: is it the right file?"
    ]
    file = directory / "config.yaml"
    file.write_text("x" * (1024 * 1024 + 1))
    assert load_mistake(file) == f"{file}: is larger than 1024 KiB: is it the right file?"


@pytest.mark.parametrize("text", ["", "# comment\n", "---\n...\n", "null", "~"])
def test_an_empty_document_says_so(text: str, directory: Path) -> None:
    problem = "is empty: kraken-custody-exporter --config.example shows what belongs here"
    assert mistakes(text, directory) == [problem]


@pytest.mark.parametrize(
    ("text", "found"),
    [("[]", "a list"), ("hello", "text"), ("5", "a number"), ("yes", "a boolean")],
)
def test_a_document_is_a_mapping(text: str, found: str, directory: Path) -> None:
    assert mistakes(text, directory) == [f"must be a mapping (lines of 'key: value'), not {found}"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("api:\n\ttimeout: 1s", "line 2, column 1: a tab: use spaces"),
        (
            "api: {timeout: @1}",
            "line 1, column 16: text that begins with this character: put it in quotes",
        ),
        (
            "api: timeout: 1s",
            (
                "line 1, column 13: an unexpected ':': check the indentation and the ':' of the line "
                "above, or put text with a ':' in quotes"
            ),
        ),
        ("api: 1\ntimeout\n", "line 2, column 1: a key without ': ' after it"),
        ("api: 1\ntimeout:10s\npolling: {}\n", "line 2, column 1: a key without ': ' after it"),
        ("api: 'x", "line 1, column 6: a quote that is never closed"),
        ('api: "x\npolling: {}\n', "line 1, column 6: a quote that is never closed"),
        (
            'api: "\\q"',
            "line 1, column 8: an unknown escape after a backslash: use single quotes",
        ),
        (
            "api: *MARKER",
            "line 1, column 6: an alias without its anchor: put text that begins with '*' in quotes",
        ),
        ("a: &x 1\nb: &x 2", "line 2, column 4: an anchor that is defined a second time"),
        (
            "- a\nb: 1",
            "line 2, column 1: a line that does not fit those above it: check the indentation",
        ),
        (
            "api: [1",
            "line 1, column 6: a bracket that is not closed, or lacks a comma, before line 1, column 8",
        ),
        (
            "api: {timeout: 1s\npolling: {}\n",
            "line 1, column 6: a bracket that is not closed, or lacks a comma, before line 2, column 8",
        ),
        ("api: }", "line 1, column 6: a missing value, or one bracket too many"),
        ("api: {", "line 1, column 7: a missing value, or one bracket too many"),
        (
            "api: - 1",
            "line 1, column 6: an unexpected '- ': begin a new line with it, indented like its neighbours",
        ),
        (
            "api: 1\n---\napi: 2",
            "line 2, column 1: a second document: only one is allowed",
        ),
        (
            "api: !<x",
            (
                "line 1, column 9: broken YAML: check the quotes, brackets and indentation here and "
                "above"
            ),
        ),
        ("a: 1\nb: 2\nc: \x01", "line 3, column 4: a control character: remove it"),
        ("\x00", "line 1, column 1: a control character: remove it"),
        ("a: \ud800", "line 1, column 4: a control character: remove it"),
        (
            'a: "\\UFFFFFFFF"',
            "line 1, column 7: an escape that is not a character",
        ),
    ],
)
def test_broken_yaml_is_reported_with_its_place(text: str, mistake: str, directory: Path) -> None:
    assert mistakes(text, directory) == [mistake]


def test_every_duplicate_key_is_reported_with_its_lines(directory: Path) -> None:
    text = document() + "polling:\n  interval: 1s\n  interval: 2s\n"
    assert mistakes(text, directory) == [
        "polling: is written twice, on line 2 and on line 7: keep one",
        "polling.interval: is written twice, on line 8 and on line 9: keep one",
    ]


def test_a_duplicate_empty_key_is_reported_too(directory: Path) -> None:
    text = "api:\n" + document().replace("api: {}", "api:")
    assert mistakes(text, directory) == ["api: is written twice, on line 1 and on line 2: keep one"]


@pytest.mark.parametrize("key", ["? [a, b]\n", "? {a: b}\n", '"a\\nb"', '"\\ud800"', "? !tag a\n"])
def test_a_key_is_plain_text(key: str, directory: Path) -> None:
    assert mistakes(f"{document()}{key}: 1\n", directory) == [
        "the key on line 7 is not plain text: write a name there"
    ]


def test_anchors_and_merge_keys_are_read(directory: Path) -> None:
    text = document(
        organization="credentials: &c treasury",
        vault="<<: [{name: first, interval: 1s}, {interval: 2s}], name: own",
    )
    (vault,) = read(text, directory).organizations[0].vaults
    assert (vault.name, vault.interval) == ("own", 1.0)


def test_a_merge_key_merges_mappings_only(directory: Path) -> None:
    text = document(vault="<<: [[], hot]")
    assert mistakes(text, directory) == [
        "organizations[0].vaults[0]: '<<' merges mappings, not a list",
        "organizations[0].vaults[0]: '<<' merges mappings, not text",
    ]


@pytest.mark.parametrize("value", ["!MARKER x", "!!binary aGk=", "!!set {a}", "!!python/tuple []"])
def test_tags_are_refused_and_not_shown(value: str, directory: Path) -> None:
    text = document(api=f"ca_file: {value}")
    assert mistakes(text, directory) == [
        "api.ca_file: has a YAML tag: put text that begins with '!' in quotes"
    ]


@pytest.mark.parametrize("text", ["[\n" * 20_000, "{a: " * 5000, "a: &a [*a]", "a: &a {<<: *a}"])
def test_endless_nesting_is_refused(text: str, directory: Path) -> None:
    assert mistakes(text, directory) == ["is nested too deeply, or an alias contains itself"]


def test_aliases_that_multiply_are_refused(directory: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    text = "\n".join(["a0: &a0 [x]", *levels])
    assert mistakes(text, directory) == ["expands to more than 1000000 values: are aliases nested?"]


def test_a_key_without_a_value_counts_as_left_out(directory: Path) -> None:
    empty = re.sub(r"\{\}", "", document(organization="name: , interval: , credentials: "))
    assert read(empty, directory) == read(document(), directory)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("a b", '["a b"]'),
        ("ключ", r'["\u043a\u043b\u044e\u0447"]'),
        ("k" * 40, "k" * 40),
        ("k" * 41, '["kkkkkkkk..."]'),
        ("''", '[""]'),
        ("no", "no"),
        ("'[key]'", '["[key]"]'),
    ],
)
def test_odd_keys_are_shown_safely(key: str, shown: str, directory: Path) -> None:
    (mistake,) = mistakes(f"{document()}{key}: 1\n", directory)
    known = "known here: api, polling, credentials, discovery, collect, lease, organizations"
    assert mistake.startswith(f"{shown}: unknown key")
    assert mistake.endswith(known)


@pytest.mark.parametrize(
    ("added", "mistake"),
    [
        ({"vault": "name: hot, nam: x"}, '(line 6, column 70, vault "hot")'),
        ({"vault": "interval: 5, name: 'a\u00e4 b'"}, '(line 6, column 59, vault "a\u00e4 b")'),
        ({"organization": "name: acme, nam: x"}, '(line 6, column 41, organization "acme")'),
        ({"organization": "name: acme", "vault": "nam: x"}, 'organization "acme")'),
        ({"organization": "name: acme, credentials: [x]"}, 'organization "acme")'),
        ({"organization": f"nam: x, name: {'x' * 99}"}, 'organization "xxxxxxxx...")'),
        ({"vault_id": ""}, "(line 6, column 38)"),
        ({"api": "timeout: 5"}, "(line 1, column 7)"),
        ({"treasury": "<<: {nonce: x}"}, "(line 4, column 3)"),
        ({"treasury": "nonce: x, nonce: y"}, ""),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_the_thing_around_it(
    added: dict[str, str], mistake: str, directory: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(document(**added), directory)
    assert mistake in str(caught.value)


MOST_MISTAKES = 25
MANY = 1_000


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: x\n" for number in range(MANY)),
        "organizations: [" + "{}, " * MANY + "]",
        "organizations: [" + "x, " * MANY + "]",
        "credentials: {" + "".join(f"c{number}: x, " for number in range(MANY // 2)) + "}",
        "credentials: {a: {" + "".join(f"k{number}: , " for number in range(MANY // 2)) + "}}",
        "organizations: [" + "!x y, " * MANY + "]",
        "x" * 100_000 + ": x",
        "api: {ca_file: " + "x" * 100_000 + "}",
        "credentials: {a: {api_key_file: " + "x/" * 50_000 + "}}",
        "credentials: {a: {api_key_env: " + "X" * 100_000 + "}}",
        "polling: {interval: " + "9" * 100_000 + "}",
        "api: " + "[" * 200 + "!x y" + "]" * 200,
        "organizations: [" + "{credentials: x}, " * 300 + "]\ncredentials:\n"
        + "".join(f"  c{number}: {{}}\n" for number in range(300)),
    ],
    ids=[
        "unknown keys", "empty entries", "entries", "credentials", "keys of one credential", "tags",
        "a long key", "a long path", "a long path of a secret", "a long variable", "a long number",
        "a deep tag", "references",
    ],
)  # fmt: skip
def test_the_report_of_a_document_is_bounded_however_much_is_wrong(
    text: str, directory: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, directory)
    told = str(caught.value)
    assert len(told) < 16_384
    assert len(told.splitlines()) <= MOST_MISTAKES + 1
    assert (f"and {caught.value.more} more mistakes" in told) == (caught.value.more > 0)


def test_exactly_the_maximum_of_mistakes_is_reported_without_more(directory: Path) -> None:
    for count, more in ((MOST_MISTAKES, 0), (MOST_MISTAKES + 1, 1)):
        with pytest.raises(ConfigError) as caught:
            read(document(api=", ".join(f"k{n}: x" for n in range(count))), directory)
        assert (len(caught.value.mistakes), caught.value.more) == (MOST_MISTAKES, more)
    assert str(caught.value).endswith("configuration: and 1 more mistake")
