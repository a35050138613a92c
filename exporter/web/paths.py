"""The paths of targets' pages."""

from typing import Final

from exporter.targets import Target

VAULTS: Final = "/vaults/"
ORGANIZATIONS: Final = "/organizations/"
_FOLDERS: Final = {"vault": VAULTS, "organization": ORGANIZATIONS}


def path_of(target: Target) -> str:
    """Return the path of a target's page."""
    return _FOLDERS[target.kind] + name_in_path(target.id)


def name_in_path(target_id: str) -> str:
    """Return an id as it stands in a path: those of organizations are written without their spaces there."""
    return target_id.replace(" ", "")
