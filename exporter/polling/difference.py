"""What a reload changes: the difference of two configurations, as one value that is applied in one place."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from exporter.config import RateLimit, Secrets, Settings
from exporter.polling.plan import Plan


class Loaded(NamedTuple):
    """A configuration as it was read. secrets: by the name of the credential."""

    settings: Settings
    plan: Plan
    secrets: Mapping[str, Secrets]


class CredentialChange(NamedTuple):
    """A credential after a reload.

    old: its previous name, None for a new one.
    is_renewed: whether failed requests are retried at once, because its secrets or its way to the API changed.
    is_another_key: whether its API key changed, so that a lockout no longer applies.
    has_another_limit: whether its own rate limit changed.
    """

    new: str
    old: str | None = None
    is_renewed: bool = False
    is_another_key: bool = False
    has_another_limit: bool = False

    def ends_pause(self, *, is_lockout: bool) -> bool:
        """Whether the cause of a pause may be gone: that of a lockout is the key, whatever its secret."""
        return self.is_another_key or (self.is_renewed and not is_lockout)


class Difference(Struct, frozen=True):
    """All that differs between a configuration and the previous one, besides what is polled.

    credentials: those in use from now on; all others are removed.
    rate_limit: the new common limit, None if unchanged.
    """

    credentials: tuple[CredentialChange, ...]
    rate_limit: RateLimit | None = None


def difference_of(old: Loaded, new: Loaded) -> Difference:
    """Return the difference between `old` and `new`."""
    limit, is_elsewhere = new.settings.api.rate_limit, _way(old.settings) != _way(new.settings)
    names = credential_names(old.secrets, new.secrets)
    return Difference(
        tuple(
            _change(name, names.get(name), old, new, is_elsewhere=is_elsewhere)
            for name in new.secrets
        ),
        None if limit == old.settings.api.rate_limit else limit,
    )


def _change(
    name: str, old_name: str | None, old: Loaded, new: Loaded, *, is_elsewhere: bool
) -> CredentialChange:
    if old_name is None:
        return CredentialChange(name, is_renewed=True)
    before, secrets = old.secrets[old_name], new.secrets[name]
    limits = (
        old.settings.credentials[old_name].rate_limit,
        new.settings.credentials[name].rate_limit,
    )
    return CredentialChange(
        name,
        old_name,
        is_renewed=is_elsewhere or before != secrets,
        is_another_key=before.api_key != secrets.api_key,
        has_another_limit=limits[0] != limits[1],
    )


def credential_names(old: Mapping[str, Secrets], new: Mapping[str, Secrets]) -> dict[str, str]:
    """Return the previous name of each credential of `new` that existed before.

    Keys are matched before names: when an old name is given to a new key, the old key may have a new name, and its
    requests in flight must stay counted there.
    """
    by_key = {secrets.api_key: name for name, secrets in old.items()}
    names = {
        name: by_key.pop(secrets.api_key)
        for name, secrets in new.items()
        if secrets.api_key in by_key
    }
    left = old.keys() - names.values()
    return {name: name for name in new if name in left} | names


def _way(settings: Settings) -> tuple[object, ...]:
    """Return the settings that may have made requests fail."""
    api = settings.api
    return (
        api.base_url,
        api.timeout,
        api.ca_file,
        api.organization_id_format,
        api.local_address,
    )
