"""The runbooks of the alerts: Markdown in the package, rendered as HTML."""

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter.web.package_files import package_files

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

FOLDER: Final = "/runbooks/"

_PAGE: Final = re.compile(r"(\w+)\.md")
"""Links between runbooks name the file, so that they work in the repository too."""


class Runbook(NamedTuple):
    """name: of the alert. text: Markdown, without the heading that repeats the name."""

    name: str
    text: str

    @property
    def address(self) -> str:
        """The path of its page."""
        return address_of(self.name)

    def html(self) -> str:
        """Return the text as HTML; HTML in it is escaped."""
        return _rendered(self.text)

    def meaning(self) -> str:
        """Return the first paragraph of its first section, as HTML."""
        _, _, meaning = self.text.partition("## Meaning\n")
        return _rendered(meaning.strip().partition("\n\n")[0])


def address_of(name: str) -> str:
    """Return the path of an alert's runbook."""
    return f"{FOLDER}{name}"


@functools.cache
def runbooks() -> Mapping[str, Runbook]:
    """Return every runbook by the name of its alert, sorted."""
    found = {}
    for file, content in package_files("exporter", "runbooks").items():
        if file.endswith(".md"):
            heading, _, text = content.decode().partition("\n")
            name = heading.removeprefix("# ")
            found[name] = Runbook(name, text)
    return dict(sorted(found.items()))


def _rendered(text: str) -> str:
    parser = _parser()
    tokens = parser.parse(text)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open" and (page := _PAGE.fullmatch(str(child.attrs["href"]))):
                child.attrs["href"] = address_of(page[1])
    return str(parser.renderer.render(tokens, parser.options, {}))


@functools.cache
def _parser() -> "MarkdownIt":
    # Imported at the first runbook: most daemons never show one.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    return MarkdownIt("commonmark", {"html": False})
