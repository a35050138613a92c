"""The rules of deploy/prometheus as a PrometheusRule: `make kubernetes-rules` writes the file.

Kustomize can put whole files into a ConfigMap, but not what is in them into another resource.
"""

import textwrap
from pathlib import Path
from typing import Final

from tests.deploy.rules import DEPLOY, RULE_FILES

KUBERNETES: Final = DEPLOY / "kubernetes"
RULES: Final = KUBERNETES / "base" / "prometheusrule.yaml"

_HEAD: Final = """\
# The rules of deploy/prometheus/rules: edit them there, then run `make kubernetes-rules`. Needs the Prometheus
# operator.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: kraken-custody-exporter
spec:
  groups:
"""


def prometheus_rule() -> str:
    """Return the resource with the groups of all rule files, comments included."""
    return _HEAD + "".join(_groups(path) for path in RULE_FILES)


def _groups(path: Path) -> str:
    """Return the lines of a rule file's groups, two columns further in."""
    _, _, groups = path.read_text("utf-8").partition("\ngroups:\n")
    return textwrap.indent(groups, "  ")


if __name__ == "__main__":
    RULES.write_text(prometheus_rule(), "utf-8")
