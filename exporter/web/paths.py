"""The paths of targets' pages."""

from urllib.parse import quote

from exporter.resources import RESOURCES
from exporter.resources.target import Target


def path_of(target: Target) -> str:
    """Return the path of a target's page."""
    return RESOURCES[target.kind].folder + quote(name_in_path(target), safe="")


def name_in_path(target: Target) -> str:
    """Return what a target is called in a path, where ids of organizations are written without their spaces."""
    _, name = target.key
    return name.replace(" ", "")
