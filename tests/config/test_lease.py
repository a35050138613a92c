"""The settings of the lease: what is valid for each of them, and for several together."""

from pathlib import Path

import pytest

from exporter.config import LeaseSettings
from tests.config.documents import document, mistakes, read

REDIS = "redis: {url: 'redis://127.0.0.1:6379/0'}"
URL_FORM = (
    "lease.redis.url: must be redis:// or rediss://, a host, and optionally a port and a database number, "
    "such as redis://127.0.0.1:6379/0"
)


def with_lease(lease: str, *, api: str = "") -> str:
    return f"{document(api=api)}lease: {{{lease}}}\n"


def lease_of(text: str, directory: Path) -> LeaseSettings | None:
    return read(text, directory).lease


@pytest.mark.parametrize("text", [document(), f"{document()}lease: null\n"])
def test_the_default_is_no_lease(text: str, directory: Path) -> None:
    assert lease_of(text, directory) is None


def test_a_lease_needs_no_more_than_its_kind(directory: Path) -> None:
    lease = lease_of(with_lease("kind: kubernetes"), directory)
    assert lease == LeaseSettings(
        kind="kubernetes", name="kraken-custody-exporter", duration=30.0, redis=None
    )


def test_every_redis_setting_is_read(directory: Path) -> None:
    lease = lease_of(
        with_lease(
            "kind: redis, name: treasury, duration: 1m, "
            "redis: {url: 'rediss://valkey:6380/3', username: exporter, password_file: otp}"
        ),
        directory,
    )
    assert lease
    assert lease.redis
    assert (lease.name, lease.duration, lease.redis.url, lease.redis.username) == (
        "treasury",
        60.0,
        "rediss://valkey:6380/3",
        "exporter",
    )
    assert lease.redis.password_file == directory / "otp"


@pytest.mark.parametrize(
    ("lease", "problem"),
    [
        ("{}", "lease.kind: is required"),
        ("kind: etcd", "lease.kind: must be 'kubernetes' or 'redis'"),
        (
            "kind: kubernetes, name: Treasury",
            "lease.name: must be at most 58 characters of a-z, 0-9, - and ., such as kraken-custody-exporter",
        ),
        (
            "kind: kubernetes, duration: 30500ms",
            "lease.duration: must be whole seconds, such as 30s",
        ),
        (
            "kind: kubernetes, duration: 19s",
            "lease.duration: must be at least api.timeout and 10 s more, which is 20s",
        ),
        ("kind: redis", "lease.redis: is required for kind redis, with the server's url"),
        (
            f"kind: kubernetes, {REDIS}",
            "lease.redis: is for kind redis: remove it, or change the kind",
        ),
        ("kind: redis, redis: {}", "lease.redis.url: is required"),
        (
            "kind: redis, redis: {url: 'redis://valkey', username: exporter}",
            "lease.redis.username: needs password_file beside it",
        ),
        *(
            (
                f"kind: redis, redis: {{url: '{url}'}}",
                URL_FORM,
            )
            for url in (
                "http://valkey",
                "redis://",
                "redis://valkey:0",
                "redis://valkey:65536",
                "redis://valkey/name",
                "valkey:6379",
            )
        ),
        (
            "kind: redis, redis: {url: 'redis://valkey', password_file: missing}",
            "lease.redis.password_file: no such file",
        ),
    ],
)
def test_a_mistake_says_what_is_expected(lease: str, problem: str, directory: Path) -> None:
    lease = "" if lease == "{}" else lease
    (found,) = mistakes(with_lease(lease), directory)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "url", ["redis://valkey", "redis://[::1]:6379", "rediss://a.b.example/0", "redis://a/"]
)
def test_redis_urls_have_these_forms(url: str, directory: Path) -> None:
    lease = lease_of(with_lease(f"kind: redis, redis: {{url: '{url}'}}"), directory)
    assert lease
    assert lease.redis
    assert lease.redis.url == url


def test_the_default_duration_is_too_short_for_a_long_timeout(directory: Path) -> None:
    assert mistakes(with_lease("kind: kubernetes", api="timeout: 20500ms"), directory) == [
        "lease.duration: must be at least api.timeout and 10 s more, which is 31s"
    ]


def test_an_api_section_that_is_wrong_as_a_whole_says_nothing_of_the_lease(directory: Path) -> None:
    text = with_lease("kind: kubernetes").replace("api: {}", "api: slow")
    assert mistakes(text, directory) == ["api: must be a mapping (lines of 'key: value'), not text"]


def test_certificates_are_for_tls(directory: Path) -> None:
    text = with_lease("kind: redis, redis: {url: 'redis://valkey', ca_file: key}")
    assert "lease.redis.ca_file: is for TLS: write rediss:// in the url" in mistakes(
        text, directory
    )


@pytest.mark.parametrize(
    "redis",
    [
        "url: 'redis://:hunter2secret@valkey'",
        "url: 'redis://user:hunter2secret@valkey:6379/0'",
        "url: 'redis://valkey', password: hunter2secret",
        "url: 'redis://valkey', password_file: hunter2Secret/xQ9hunter2secret",
    ],
)
def test_a_password_that_is_written_inline_is_refused_and_not_repeated(
    redis: str, directory: Path
) -> None:
    (found,) = mistakes(with_lease(f"kind: redis, redis: {{{redis}}}"), directory)
    assert "hunter2" not in found.lower()
