"""Loads the settings, and finds mistakes that involve several values: duplicates, references and exclusive choices.

They are found in the document as written, ignoring values of the wrong type, so that they are reported together with
mistakes of single values.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from exporter.config.credentials import ALL_CREDENTIALS
from exporter.config.lease import SPARE_SECONDS, LeaseSettings
from exporter.config.settings import Api, Settings, organization_id
from exporter.shard import WHOLE, Shard
from exporter.strict_yaml.mistakes import Location, Mistake, ProblemError, names_text, path
from exporter.strict_yaml.reader import load_document, parse_document
from exporter.strict_yaml.scalars import Context, Fields, duration, text
from exporter.strict_yaml.secret_text import secret_text
from exporter.strict_yaml.validation import Model, default_of, keys_of

Located = tuple[Location, Fields]

REPEATED = "is already used at {first}: it must be unique"
UNLESS_FOUND = "unless `discovery: {}` finds organizations"
NOT_A_NAME = "stands for all credentials together in metrics and in the log: choose another name"
SAME_KEY = "holds the same API key as {first}: nonces of two users of one key collide"


def load(file: Path, environ: Mapping[str, str], shard: Shard = WHOLE) -> Settings:
    """Read a configuration file and the files that it names, for a shard.

    Relative paths are relative to its directory; `environ` has the variables that it may name.
    Raises ConfigError with every mistake.
    """
    settings = load_document(file, environ, Settings, _relation_mistakes, _placeholders(shard))
    return settings.for_shard(shard)


def parse(
    text: str, *, directory: Path, environ: Mapping[str, str], shard: Shard = WHOLE
) -> Settings:
    """Read a configuration from text, as `load` does from a file in that directory."""
    context = Context(directory, environ, _placeholders(shard))
    return parse_document(text, context, Settings, _relation_mistakes).for_shard(shard)


def _placeholders(shard: Shard) -> Mapping[str, str]:
    return {"shard": str(shard.number)}


def _relation_mistakes(tree: object, context: Context) -> Iterator[Mistake]:
    """Find mistakes that involve several values of a document."""
    document = tree if isinstance(tree, dict) else {}
    organizations = _entries((), document, "organizations")
    credentials = _entries((), document, "credentials")
    yield from _choices(credentials)
    yield from _repeated(_api_keys(credentials, context), SAME_KEY)
    has_discovery = _given(document, "discovery")
    if isinstance(tree, dict) and not has_discovery:
        written = document.get("organizations")
        if written is None or written == []:
            missing = "is required" if written is None else "must have at least one entry"
            yield Mistake(("organizations",), f"{missing}, {UNLESS_FOUND}")
    yield from _references(document.get("credentials"), organizations, has_discovery=has_discovery)
    yield from _repetitions(organizations)
    lease, api = document.get("lease"), document.get("api")
    if isinstance(lease, dict):
        yield from _lease(lease, api if isinstance(api, dict) else {})


def _lease(lease: Fields, api: Fields) -> Iterator[Mistake]:
    redis = lease.get("redis")
    if lease.get("kind") == "redis" and redis is None:
        yield Mistake(("lease", "redis"), "is required for kind redis, with the server's url")
    if lease.get("kind") == "kubernetes" and redis is not None:
        yield Mistake(("lease", "redis"), "is for kind redis: remove it, or change the kind")
    if isinstance(redis, dict) and _given(redis, "username") and not _given(redis, "password_file"):
        yield Mistake(("lease", "redis", "username"), "needs password_file beside it")
    if isinstance(redis, dict) and _given(redis, "ca_file"):
        url = _text(redis, "url")
        if url and not url.lower().startswith("rediss:"):
            yield Mistake(("lease", "redis", "ca_file"), "is for TLS: write rediss:// in the url")
    with contextlib.suppress(ProblemError):  # reported by the validation of the single value
        least = math.ceil(_seconds(api, "timeout", Api)) + SPARE_SECONDS
        if _seconds(lease, "duration", LeaseSettings) < least:
            problem = f"must be at least api.timeout and {SPARE_SECONDS} s more, which is {least}s"
            yield Mistake(("lease", "duration"), problem)


def _seconds(fields: Fields, key: str, model: type[Model]) -> float:
    written = fields.get(key)
    return duration(default_of(keys_of(model)[key]) if written is None else written)


def _choices(credentials: list[Located]) -> Iterator[Mistake]:
    for at, source in credentials:
        if at[-1] == ALL_CREDENTIALS:
            yield Mistake(at, NOT_A_NAME)
        for one, other in (("api_key_file", "api_key_env"), ("api_secret_file", "api_secret_env")):
            if not _given(source, one) and not _given(source, other):
                yield Mistake(at, f"{one} or {other} is required")
            if _given(source, one) and _given(source, other):
                yield Mistake(at, f"{one} and {other} are mutually exclusive: keep one")
        if _given(source, "otp_file") and _given(source, "totp_secret_file"):
            yield Mistake(at, "otp_file and totp_secret_file are mutually exclusive: keep one")


def _api_keys(credentials: list[Located], context: Context) -> Iterator[tuple[Location, str]]:
    for at, source in credentials:
        file, variable = _text(source, "api_key_file"), _text(source, "api_key_env")
        for where in (
            file and context.directory / context.filled(file),
            variable and context.filled(variable),
        ):
            # An unreadable file is reported by the validation of the single value.
            with contextlib.suppress(ProblemError):
                if where is not None:
                    yield at, secret_text(where, context.environ)


def _references(
    credentials: object, organizations: list[Located], *, has_discovery: bool
) -> Iterator[Mistake]:
    if not isinstance(credentials, dict) or not organizations:
        return
    known = names_text(credentials)
    used: set[str] = set()
    for at, organization in organizations:
        here = (*at, "credentials")
        name = organization.get("credentials")
        if isinstance(name, str):
            used.add(name)
            if credentials and name not in credentials:
                yield Mistake(here, f"no credentials have this name: use one of {known}")
        else:
            used.update(credentials)  # it may mean any of them
            if name is None and len(credentials) > 1:
                problem = f"is required if there are several credentials: write one of {known}"
                yield Mistake(here, problem)
    for name in credentials:
        # With discovery every credential is used: it lists what it sees.
        if name not in used and not has_discovery:
            yield Mistake(
                ("credentials", name), "is not used by any organization: use or remove it"
            )


def _repetitions(organizations: list[Located]) -> Iterator[Mistake]:
    vaults = [_entries(at, organization, "vaults") for at, organization in organizations]
    for siblings in (organizations, *vaults):
        yield from _repeated(map(_name, siblings), REPEATED)
    everything = [
        entry
        for organization, its_vaults in zip(organizations, vaults, strict=True)
        for entry in (organization, *its_vaults)
    ]
    yield from _repeated(map(_id, everything), REPEATED)


def _repeated(values: Iterable[tuple[Location, str | None]], problem: str) -> Iterator[Mistake]:
    first: dict[str, Location] = {}
    for at, value in values:
        if value is not None and first.setdefault(value, at) != at:
            yield Mistake(at, problem.format(first=path(first[value])))


def _name(entry: Located) -> tuple[Location, str | None]:
    at, fields = entry
    return ((*at, "name"), _text(fields, "name")) if _given(fields, "name") else _id(entry)


def _id(entry: Located) -> tuple[Location, str | None]:
    at, fields = entry
    written = _text(fields, "id")
    if written is not None:
        with contextlib.suppress(ProblemError):  # a vault's id has only one form
            written = organization_id(written)
    return (*at, "id"), written


def _entries(at: Location, parent: Fields, key: str) -> list[Located]:
    children = parent.get(key)
    named = children.items() if isinstance(children, dict) else ()
    listed = enumerate(children) if isinstance(children, list) else named
    return [((*at, key, step), child) for step, child in listed if isinstance(child, dict)]


def _given(fields: Fields, key: str) -> bool:
    return fields.get(key) is not None


def _text(fields: Fields, key: str) -> str | None:
    with contextlib.suppress(ProblemError):
        return text(fields[key]) if key in fields else None
    return None
