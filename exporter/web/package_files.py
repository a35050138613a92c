"""The files of the package that answers are made of, read once, at the start.

So an upgrade that replaces them under a running process changes no page until the restart.
"""

import functools
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType


@functools.cache
def package_files(package: str, folder: str) -> Mapping[str, bytes]:
    """Return the content of each file in a folder of a package, by name."""
    found = files(package).joinpath(folder).iterdir()
    return MappingProxyType({file.name: file.read_bytes() for file in found if file.is_file()})
