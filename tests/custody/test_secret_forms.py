"""Secrets with any characters, in every form in which a library may write them into a message."""

import html
import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.custody.errors import Cleaner
from exporter.custody.secret_forms import HIDDEN, hide

Form = Callable[[str], str]

HOSTILE: Final = st.text(
    st.sampled_from("aZ09'\"\\/%&+=<>#;:@?x -_.~{}[]()$^*|`!,nu\u00e4\u00df\u20ac\U0001f600"),
    min_size=4,
    max_size=30,
)
FORMS: Final[Mapping[str, Form]] = {
    "as it is": str,
    "repr": lambda secret: repr(secret)[1:-1],
    "repr beside an apostrophe": lambda secret: repr(f"'{secret}")[1:-1].removeprefix("\\")[1:],
    "repr of a repr": lambda secret: repr(repr(secret)[1:-1])[1:-1],
    "repr of bytes": lambda secret: repr(secret.encode())[2:-1],
    "ascii": lambda secret: ascii(secret)[1:-1],
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON with escaped slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)[1:-1])[1:-1],
    "a repr in JSON": lambda secret: json.dumps(repr(secret)[1:-1])[1:-1],
    "a part of a URL": lambda secret: quote(secret, safe=""),
    "a path": quote,
    "a form": quote_plus,
    "a URL in a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "lower-case percent-encoding": lambda secret: quote(secret, safe="").replace("%C3", "%c3"),
    "HTML": html.escape,
    "HTML in HTML": lambda secret: html.escape(html.escape(secret)),
    "HTML without quotes": lambda secret: html.escape(secret, quote=False),
    "character references": lambda secret: secret.encode("ascii", "xmlcharrefreplace").decode(),
    "hexadecimal references": lambda secret: "".join(
        c if c.isascii() and c.isalnum() else f"&#x{ord(c):X};" for c in secret
    ),
    "backslashes for what is not ASCII": lambda secret: secret.encode(
        "ascii", "backslashreplace"
    ).decode(),
    "UTF-8 read as Latin-1": lambda secret: secret.encode().decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
# A single search finds them all; that each form is distinct needs no further test.
@settings(max_examples=settings().max_examples // 5)
@given(secret=HOSTILE)
@example(secret="aZ09\x80\u00e4\u20ac\U0001f600\U00010000\U0010ffff\n\t\\'\"/%&+=<> ;\\\\\\z")
def test_nothing_of_a_secret_is_left_in_whatever_form_it_is_written(
    form: Form, secret: str
) -> None:
    # Brackets, which no secret here contains, delimit the message's own words.
    assert hide(f"\u3010{form(secret)}\u3011", [secret]) == f"\u3010{HIDDEN}\u3011"


@given(secret=HOSTILE, said=st.text(st.sampled_from("bcdefghijk \\\n'\u00e9"), max_size=50))
def test_a_text_without_the_secret_stays_as_it_is(secret: str, said: str) -> None:
    assert hide(said, [f"Q{secret}Q"]) == said


@pytest.mark.parametrize(
    "secret",
    [
        "it's",
        'say "it"',
        "back\\slash",
        "both'\"",
        "per%cent",
        "a&b;c",
        "plus+/==",
        "\u20ac \U0001f600\n",
    ],
)
def test_a_message_of_python_itself_is_cleaned(secret: str) -> None:
    clean = Cleaner(secret)
    for error in (
        ValueError(f"invalid literal: {secret!r}"),
        ValueError(b"illegal header value " + secret.encode()),
        KeyError(secret),
        OSError(2, "No such file or directory", secret),
    ):
        assert secret not in (shown := clean(str(error), 200))
        assert HIDDEN in shown


@pytest.mark.parametrize(
    "text", ["\\" * 10_000, "%25" * 3_333, "&amp;" * 2_000, "\\x" * 5_000, "'" * 10_000]
)
def test_no_text_takes_longer_than_its_length(text: str) -> None:
    """A pattern with backtracking would never finish on these."""
    secrets = ["\\" * 20 + "y", "\\'" * 20 + "y", "%" * 20 + "y", "&" * 20 + "y", "'" * 40 + "y"]
    assert hide(text, secrets) == text
