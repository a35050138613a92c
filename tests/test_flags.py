"""The flags: what each reads, what it is without them, and how bad usage is reported."""

import re
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.flags import flag_parser
from exporter.signals import Signals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["stray"], "unrecognized arguments: stray"),
        (["--vers"], "unrecognized arguments: --vers"),
        (["--config.file"], "argument --config.file: expected one argument"),
        (
            ["--web.listen-address", "10063"],
            "argument --web.listen-address: '10063' is not HOST:PORT, such as 127.0.0.1:10063, [::1]:10063 or :10063",
        ),
        (
            ["--web.telemetry-path", "metrics"],
            "argument --web.telemetry-path: 'metrics' is not a path, such as /metrics",
        ),
        (
            ["--web.telemetry-path", "/"],
            "argument --web.telemetry-path: '/' is used by another page; choose a path such as /metrics",
        ),
        (
            ["--web.telemetry-path", "/-/healthy"],
            "argument --web.telemetry-path: '/-/healthy' is used by another page; choose a path such as /metrics",
        ),
        (
            ["--web.telemetry-path", "/vaults/metrics"],
            "argument --web.telemetry-path: '/vaults/metrics' is used by another page; choose a path such as /metrics",
        ),
        (
            ["--web.telemetry-path", "/{x}"],
            "argument --web.telemetry-path: '/{x}' is not a path, such as /metrics",
        ),
        (
            ["--web.telemetry-path", "/metrics/"],
            "argument --web.telemetry-path: '/metrics/' is not a path, such as /metrics",
        ),
        (
            ["--web.read-timeout", "10"],
            "argument --web.read-timeout: '10' has no unit: write a duration such as 500ms, 30s, 5m or 1h30m",
        ),
        (
            ["--web.max-connections", "0"],
            "argument --web.max-connections: '0' is not a whole number from 1 to 999999",
        ),
        (["--shard", "13/13"], "argument --shard: must be I/N, I from 0 to N - 1"),
        (["--log.level", "loud"], "argument --log.level: invalid choice: 'loud'"),
        (["--log.format", "xml"], "argument --log.format: invalid choice: 'xml'"),
        (
            ["--demo", "--config.file", "config.yaml"],
            "--demo and --config.file are mutually exclusive",
        ),
        (
            ["--web.allowed-host", "custody.example.org:10063"],
            "argument --web.allowed-host: 'custody.example.org:10063' is not a host name without a port",
        ),
        (
            ["--web.listen-address=:1", "--web.listen-address=:2"],
            "argument --web.listen-address: cannot be repeated",
        ),
        (["--once", "--config.check"], "--once and --config.check are mutually exclusive"),
        (["--probe", "--once"], "--once and --probe are mutually exclusive"),
        (["--config.check", "--probe"], "--config.check and --probe are mutually exclusive"),
    ],
)
def test_bad_usage_is_reported_in_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(Signals(status=0, may_reload=False), arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    *usage, last = said.err.splitlines()
    assert last.startswith(f"kraken-custody-exporter: error: {message}")
    assert usage[0].startswith("usage: kraken-custody-exporter ")


VALUES = {
    "--config.file": "config.yaml",
    "--shard": "2/13",
    "--web.listen-address": "127.0.0.1:10063",
    "--web.telemetry-path": "/metrics",
    "--web.config.file": "web.yml",
    "--web.max-connections": "512",
    "--web.max-requests": "40",
    "--web.read-timeout": "10s",
    "--web.write-timeout": "60s",
    "--log.level": "info",
    "--log.format": "json",
}


REPEATABLE = {"--web.allowed-host"}


def test_a_flag_given_twice_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """As in Prometheus; also with the same value twice, and for a flag without a value."""
    flags = {action.option_strings[0] for action in flag_parser()._actions} - {"-h"} - REPEATABLE
    assert set(VALUES) < flags
    for flag in flags:
        given = [f"{flag}={VALUES[flag]}"] if flag in VALUES else [flag]
        with pytest.raises(SystemExit) as ended:
            main(Signals(status=0, may_reload=False), [*given, *given])
        assert ended.value.code == 2
        assert f"error: argument {flag}: cannot be repeated" in capsys.readouterr().err


def test_an_image_may_have_another_default_address_and_the_flag_still_be_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEFAULT_LISTEN_ADDRESS", ":10063")
    assert str(flag_parser().parse_args([]).listen_address) == ":10063"
    given = flag_parser().parse_args(["--web.listen-address=127.0.0.1:1"])
    assert str(given.listen_address) == "127.0.0.1:1"
    monkeypatch.delenv("DEFAULT_LISTEN_ADDRESS")
    assert str(flag_parser().parse_args([]).listen_address) == "127.0.0.1:10063"


def test_further_names_of_the_host_may_be_many() -> None:
    flags = flag_parser().parse_args(["--web.allowed-host=A.example.", "--web.allowed-host=b"])
    assert flags.allowed_hosts == ["a.example", "b"]


def test_without_flags_everything_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEFAULT_LISTEN_ADDRESS", raising=False)
    read = vars(flag_parser().parse_args([]))
    assert {flag: str(value) for flag, value in read.items() if value not in (None, False)} == {
        "shard": "Shard(number=0, of=1)",
        "listen_address": "127.0.0.1:10063",
        "telemetry_path": "/metrics",
        "max_connections": "512",
        "max_requests": "40",
        "read_timeout": "10.0",
        "write_timeout": "60.0",
        "log_level": "info",
        "log_format": "logfmt",
    }
    assert {flag for flag, value in read.items() if value is False} == {
        "config_check",
        "config_example",
        "once",
        "probe",
        "demo",
        "may_reload",
        "version",
    }
    assert {flag for flag, value in read.items() if value is None} == {
        "config_file",
        "allowed_hosts",
        "web_config_file",
    }


@pytest.mark.parametrize(
    ("written", "flag", "value"),
    [
        ("--config.file=a.yaml", "config_file", Path("a.yaml")),
        ("--config.check", "config_check", True),
        ("--config.example", "config_example", True),
        ("--once", "once", True),
        ("--probe", "probe", True),
        ("--demo", "demo", True),
        ("--version", "version", True),
        ("--shard=2/13", "shard", (2, 13)),
        ("--web.telemetry-path=/a/b-c._~", "telemetry_path", "/a/b-c._~"),
        ("--web.config.file=web.yml", "web_config_file", Path("web.yml")),
        ("--web.enable-lifecycle", "may_reload", True),
        ("--web.max-connections=1", "max_connections", 1),
        ("--web.max-requests=0", "max_requests", 0),
        ("--web.read-timeout=1m", "read_timeout", 60.0),
        ("--web.write-timeout=500ms", "write_timeout", 0.5),
        ("--log.level=warn", "log_level", "warn"),
        ("--log.format=json", "log_format", "json"),
    ],
)
def test_a_flag_has_its_value(written: str, flag: str, value: object) -> None:
    assert vars(flag_parser().parse_args([written]))[flag] == value


def test_help_has_the_value_the_meaning_and_the_default_of_each_flag() -> None:
    for action in flag_parser()._actions:
        flag = action.option_strings[-1]
        assert action.help
        assert re.fullmatch(r"[A-Z].*\.", action.help)
        assert bool(action.metavar or action.choices) == (flag in VALUES or flag in REPEATABLE)
        has_default = action.default not in {None, False, "==SUPPRESS=="}
        assert ("(default: %(default)s)" in action.help) == has_default, flag
