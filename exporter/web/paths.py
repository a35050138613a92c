"""The paths of targets' pages."""

from exporter.resources import RESOURCES
from exporter.resources.target import Target


def path_of(target: Target) -> str:
    """Return the path of a target's page."""
    return RESOURCES[target.kind].folder + name_in_path(target.id)


def name_in_path(target_id: str) -> str:
    """Return an id as it stands in a path: those of organizations are written without their spaces there."""
    return target_id.replace(" ", "")
