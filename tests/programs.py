"""Programs that some tests need and that pip does not install."""

import os
import shutil

import pytest


def program(name: str, *, package: str) -> str:
    """Return the path of a program; without it the test is skipped, or fails if CI=true is set."""
    if found := shutil.which(name):
        return found
    how = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(how, pytrace=False)
    pytest.skip(how)


def optional_program(name: str, *, how: str) -> str:
    """Return the path of a program that is not in Debian, so that without it the test is skipped in CI too."""
    if found := shutil.which(name):
        return found
    pytest.skip(f"{name} is not installed: {how}")
