"""Found things, in the short form that tests need."""

from exporter.discovery.known import Found, Listed


def found(
    id_: str, name: str = "", *, since: float = 0.0, named_at: float | None = None, missed: int = 0
) -> Found:
    return Found(Listed(id_, name), since, since if named_at is None else named_at, missed)


def finds(*rows: Found) -> dict[str, Found]:
    return {row.listed.id: row for row in rows}
