"""Every alert fires when it must, and only then."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.rules import PROMETHEUS, RULE_FILES, alerts, run
from tests.deploy.stories import STORIES
from tests.programs import program


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool = program("promtool", package="prometheus")
    for command in (
        ["check", "config", str(PROMETHEUS / "prometheus.yml")],
        ["check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES)],
    ):
        result = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_no_rule_file_is_forgotten() -> None:
    assert set((PROMETHEUS / "rules").iterdir()) == set(RULE_FILES)


def test_every_alert_has_stories() -> None:
    assert set(STORIES) == set(alerts())
    for stories in STORIES.values():
        assert any(story.message for story in stories)
        assert any(not any(story.firing.values()) for story in stories)


@pytest.mark.parametrize("name", STORIES)
def test_an_alert_fires_when_it_must_and_only_then(name: str, tmp_path: Path) -> None:
    run([(name, story) for story in STORIES[name]], tmp_path)
