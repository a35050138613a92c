"""Build hooks of hatchling: the revision, the project's URLs, and a README with absolute links.

Source: hatchling's reference of custom build hooks and custom metadata hooks.
"""

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

# Build frontends run this file by its path, in an environment without the package.
sys.path.append(str(Path(__file__).parent.parent))

from exporter.version import revision

RELATIVE_LINK: Final = re.compile(
    r"(?P<picture>!?)(?P<text>\[[^][]*\]\()(?![a-z]+:|#)(?P<path>[^)\s]+)"
)
"""A link or picture of a Markdown page that leads to a file beside it, up to its closing bracket."""


def absolute_links(page: str, repository: str, version: str) -> str:
    """Return a Markdown page of the top directory with its relative links leading to `repository` at `version`."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}{link['text']}{repository}/{kind}/v{version}/{link['path']}"

    return RELATIVE_LINK.sub(absolute, page)


class Addresses(MetadataHookInterface):
    """Derives the project's URLs and the long description from the address of the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `urls` and `readme` in `metadata`, which has the version."""
        repository = self.config["repository"]
        metadata["urls"] = {
            "Changelog": f"{repository}/blob/main/CHANGELOG.md",
            "Documentation": f"{repository}/tree/main/docs",
            "Issues": f"{repository}/issues",
            "Repository": repository,
        }
        page = Path(self.root, "README.md").read_text("utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute_links(page, repository, metadata["version"]),
        }


class Revision(BuildHookInterface[Any]):
    """Records the revision in the built package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the revision into the package; an editable install (`version`) keeps reading it from the checkout."""
        if version == "editable":
            return
        self._directory = TemporaryDirectory()
        written = Path(self._directory.name, "REVISION")
        written.write_text(f"{revision()}\n", "ascii")
        build_data["force_include"][str(written)] = "exporter/REVISION"

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Remove what `initialize` has written."""
        if version != "editable":
            self._directory.cleanup()
