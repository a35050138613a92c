"""The parts of the settings; what is in one is known to be right."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from exporter.config.mistakes import Location, ProblemError, cut
from exporter.config.values import (
    Amount,
    BaseUrl,
    CaFile,
    Duration,
    Name,
    OrganizationId,
    Share,
    VaultId,
    WholeNumber,
)


class Model(BaseModel):
    """A part of the settings; a key that has no value counts as left out."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothing(cls, raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        return {
            key: value
            for key, value in raw.items()
            if value is not None or key not in cls.model_fields
        }


class Document(Model):
    """A configuration file as a whole.

    example: the file that shows what may be in it. hidden: the sections whose values no message repeats. never_inline:
    what to say of an unknown key that looks like a secret. lists: of things with names: what a message calls each.
    """

    example: ClassVar[str]
    hidden: ClassVar[frozenset[str]]
    never_inline: ClassVar[str] = ""
    lists: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def named_around(cls, location: Location, tree: object) -> str:
        """Return the innermost named thing around a place in the document `tree`, such as `vault "hot"`, or nothing."""
        found, above = "", ""
        for step in location:
            match tree, step:
                case (dict(), str()) if step in tree:
                    tree, above = tree[step], step
                case (list(), int()):
                    tree = tree[step]
                    name = tree.get("name") if isinstance(tree, dict) else None
                    if above in cls.lists and isinstance(name, str) and name.isprintable():
                        found = f"{cls.lists[above]} {json.dumps(cut(name), ensure_ascii=False)}"
                case _:
                    break
        return found


class RateLimit(Model):
    """A limit the API sets, and the part of it that is ours.

    requests: what the API allows in one window.
    window: seconds.
    share: the part this process may use, above 0 and up to 1.
    """

    requests: WholeNumber = 200
    window: Duration = 30.0
    share: Share = Decimal("0.5")

    @property
    def budget(self) -> int:
        """The whole requests this process may send in one window, at least 1."""
        return _budget(self.requests, self.share)

    @field_validator("share")
    @classmethod
    def _leave_a_request(cls, share: Decimal, info: ValidationInfo) -> Decimal:
        requests = info.data.get("requests")
        if requests is not None and _budget(requests, share) < 1:
            raise ProblemError("requests times share must be at least 1", of_parent=True)
        return share


def _budget(requests: int, share: Decimal) -> int:
    # Decimal's own product would be rounded to 28 digits.
    numerator, denominator = share.as_integer_ratio()
    return requests * numerator // denominator


class Api(Model):
    """How the API is reached.

    base_url: without a slash at its end.
    timeout: seconds for a whole request.
    ca_file: certificates to trust besides the system's.
    rate_limit: the limit by IP address.
    organization_id_format: how organization ids are written in paths.
    """

    base_url: BaseUrl = "https://api.kraken.com"
    timeout: Duration = 10.0
    ca_file: CaFile | None = None
    rate_limit: RateLimit = RateLimit()
    organization_id_format: Literal["spaced", "compact"] = "spaced"


class Polling(Model):
    """What holds for every target.

    interval: seconds between two polls of a target that has no interval of its own.
    stale_after: seconds after which balances that were not read again are withdrawn; None: for each target the longer
    of five minutes and three of its planned refresh intervals.
    max_series: balance series above which a target's balances are withheld.
    """

    interval: Duration = 60.0
    stale_after: Duration | None = None
    max_series: WholeNumber = 500_000


class Vault(Model):
    """A vault whose balances are polled.

    name: the value of label `vault`; the id where none was given.
    interval: seconds between two polls.
    min_available: for some assets, the available balance that is expected at least.
    """

    id: VaultId
    name: Name = Field(default_factory=lambda fields: str(fields.get("id")))
    interval: Duration
    min_available: Mapping[Name, Amount] = {}


class Organization(Model):
    """An organization whose total is polled, and its vaults.

    id: in four groups of four.
    name: the value of label `org`; the id where none was given.
    credentials: the name of the credentials that its requests are signed with.
    interval: seconds between two polls of the total.
    """

    id: OrganizationId
    name: Name = Field(default_factory=lambda fields: str(fields.get("id")))
    credentials: Name
    interval: Duration
    vaults: tuple[Vault, ...] = ()
