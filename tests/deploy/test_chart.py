"""The Helm chart: its output, compared with the schemas of Kubernetes, the shipped rules, dashboards and the image."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from exporter.config import parse
from exporter.shard import Shard
from tests.deploy import rules, schemas
from tests.exporting import ENVIRON
from tests.json_schemas import validator
from tests.processes import run
from tests.programs import optional_program
from tools import chart
from tools.chart import CHART, DIGESTS, VALUES
from tools.kubernetes_rules import RULES

Values = dict[str, Any]
Resource = dict[str, Any]

NAME = "kraken-custody-exporter"
CREDENTIALS = {"treasury": {"existingSecret": "kraken-treasury"}}
CONFIG = {"organizations": [{"id": "ABCD EFGH IJKL MNOP", "vaults": [{"id": "VABCDEF234567A"}]}]}
MINIMAL: Values = {"credentials": CREDENTIALS, "config": CONFIG}
FOUND: Values = {**MINIMAL, "config": {"discovery": {}}}
MONITORED: Values = {
    **MINIMAL,
    "serviceMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Custody"}},
}
TLS: Values = {
    **MINIMAL,
    "webConfig": {"existingSecret": "custody-web"},
    "serviceMonitor": {
        "enabled": True,
        "tlsConfig": {"ca": {"secret": {"name": "custody-web", "key": "ca.crt"}}},
        "basicAuth": {
            "username": {"name": "custody-scrape", "key": "username"},
            "password": {"name": "custody-scrape", "key": "password"},
        },
    },
}
EVERYTHING: Values = {
    **MONITORED,
    "image": {"repository": "registry.example/exporter", "digest": f"sha256:{'a' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "credentials": {
        **CREDENTIALS,
        "trading": {
            "existingSecret": "kraken-trading",
            "keys": {"apiKey": "key", "apiSecret": "secret", "totpSecret": "totp"},
            "settings": {"nonce": "milliseconds"},
        },
    },
    "config": {
        "api": {"ca_file": "ca.crt", "rate_limit": {"share": 0.25}},
        "polling": {"max_series": 1000000},
        "organizations": [
            {**CONFIG["organizations"][0], "credentials": "trading", "name": "acme"},
            {"id": "ZBCD EFGH IJKL MNOP", "credentials": "treasury", "name": "beta"},
        ],
    },
    "extraFiles": [{"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}],
    "log": {"level": "debug", "format": "logfmt"},
    "extraArgs": ["--web.enable-lifecycle"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"}],
    "podAnnotations": {"example/a": "b"},
    "podLabels": {"example/c": "d"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "custody", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "important",
    "serviceAccount": {"annotations": {"example/e": "f"}},
    "service": {"port": 80, "annotations": {"prometheus.io/scrape": "true"}},
    "networkPolicy": {
        "extraEgress": [
            {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 3128}]},
        ]
    },
    "probeHandler": "exec",
}
VARIANTS = {
    "minimal": MINIMAL,
    "monitored": MONITORED,
    "tls": TLS,
    "everything": EVERYTHING,
    "tcp": {**TLS, "probeHandler": "tcp"},
    "existing": {"existingConfigMap": "mine", "serviceAccount": {"create": False}},
    "bare": {**MINIMAL, "networkPolicy": {"enabled": False}},
}
LEASE: Values = {"lease": {"kind": "kubernetes"}}
EACH_ITS_KEY: Values = {
    "credentials": {"treasury": {"existingSecret": "kraken-{shard}"}},
    "shards": 3,
}
SEVERAL: dict[str, Values] = {
    "pair": {**MONITORED, **LEASE, "affinity": {"nodeAffinity": {}}},
    "redis": {
        **MINIMAL,
        "lease": {
            "kind": "redis",
            "name": "treasury",
            "duration": "40s",
            "redis": {"url": "redis://redis.example.internal", "password_file": "redis/password"},
        },
        "extraFiles": [
            {
                "secret": {
                    "name": "redis",
                    "items": [{"key": "password", "path": "redis/password"}],
                }
            }
        ],
    },
    "shards": {**FOUND, **MONITORED, **EACH_ITS_KEY, "extraEnv": [{"name": "A", "value": "b"}]},
    "pairs of shards": {**FOUND, **MONITORED, **EACH_ITS_KEY, **LEASE},
}
VARIANTS |= SEVERAL
SINGLE = {name: values for name, values in VARIANTS.items() if name not in SEVERAL}
OPERATOR = ("ServiceMonitor", "PrometheusRule")


def helm(*arguments: str, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with values on its standard input."""
    how = "go install helm.sh/helm/v3/cmd/helm@v3.22.0"
    return subprocess.run(
        [optional_program("helm", how=how), *arguments],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(text: str) -> list[Resource]:
    """Read resources with libyaml, as whole dashboards would take most of the time."""
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


@cache
def _rendered(values: str, release: str) -> dict[tuple[str, str], Resource]:
    made = helm("template", release, str(CHART), "--values", "-", values=json.loads(values))
    assert made.returncode == 0, made.stderr
    resources = loaded(made.stdout)
    found = {(it["kind"], it["metadata"]["name"]): it for it in resources}
    assert len(found) == len(resources)
    return found


def rendered(values: Values, release: str = "custody") -> dict[tuple[str, str], Resource]:
    """Return the resources by kind and name."""
    return _rendered(json.dumps(values), release)


def one(kind: str, values: Values, release: str = "custody") -> Resource:
    """Return the only resource of a kind."""
    (found,) = [it for (of, _), it in rendered(values, release).items() if of == kind]
    return found


def workloads(values: Values) -> list[Resource]:
    """Return the resources that create pods."""
    resources = rendered(values).items()
    return [it for (kind, _), it in resources if kind in ("Deployment", "StatefulSet")]


def pod(values: Values) -> Resource:
    """Return the pod template of the first of them."""
    spec: Resource = workloads(values)[0]["spec"]["template"]["spec"]
    return spec


def container(values: Values) -> Resource:
    (only,) = pod(values)["containers"]
    return dict(only)


def refusal(values: Values) -> str:
    """Return helm's message for values that it refuses."""
    made = helm("template", "custody", str(CHART), "--values", "-", values=values)
    assert made.returncode == 1
    return made.stderr


# Without helm.


def schema() -> Values:
    read: Values = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    return read


@pytest.mark.parametrize("name", VARIANTS)
def test_the_schema_takes_what_the_chart_takes(name: str) -> None:
    validator(schema()).validate(VARIANTS[name])


def test_the_schema_takes_the_defaults() -> None:
    validator(schema()).validate(yaml.safe_load(VALUES.read_text("utf-8")))


@pytest.mark.parametrize(
    "values",
    [
        {"credential": {}},
        {"image": {"repository": "x", "digest": "sha256:short"}},
        {"shards": 0},
        {"lease": {"name": "custody"}},
        {"lease": {"kind": "etcd"}},
        {"credentials": {"treasury": {"existingSecret": "kraken-{pod}"}}},
        {"credentials": {"treasury": {}}},
        {"credentials": {"treasury": {"existingSecret": ""}}},
        {"credentials": {"../x": {"existingSecret": "x"}}},
        {"credentials": {"x": {"existingSecret": "x", "keys": {"apiKey": "a/b"}}}},
        {"credentials": {"x": {"existingSecret": "x", "apiSecret": "inline"}}},
        {"config": []},
        {"log": {"level": "trace"}},
        {"extraArgs": ["web.enable-lifecycle"]},
        {"probeHandler": "grpc"},
        {"networkPolicy": {"ingressFrom": []}},
        {"serviceMonitor": {"interval": "30"}},
        {"prometheusRule": {"runbookUrl": "https://grafana.example/d"}},
        {"prometheusRule": {"thresholds": {"outflow_ratio": "0.1"}}},
        {
            "prometheusRule": {
                "extraThresholds": [{"name": "outflow_ratio", "value": 1, "labels": {}}]
            }
        },
        {"dashboards": {"labels": {"grafana_dashboard": 1}}},
    ],
)
def test_the_schema_of_the_values_refuses_mistakes(values: Values) -> None:
    assert not validator(schema()).is_valid(values)


def test_every_value_is_in_the_schema_and_documented() -> None:
    def known(defaults: Values, properties: Values) -> None:
        for name, default in defaults.items():
            inner = properties[name].get("properties")
            if inner and isinstance(default, dict):
                known(default, inner)

    known(yaml.safe_load(VALUES.read_text("utf-8")), schema()["properties"])
    assert [path for path, _, comment in chart.values() if not comment] == []


def test_the_versions_are_those_of_the_exporter() -> None:
    told = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (told["version"], told["appVersion"]) == (__version__, __version__)


def test_the_kustomize_base_was_made_from_this_chart() -> None:
    """If this fails, run `make chart`, which needs helm."""
    assert DIGESTS.read_text("utf-8") == chart.digests()


# With helm.


def test_the_kustomize_base_is_what_the_chart_renders() -> None:
    """If this fails, run `make chart`."""
    helm("version")
    for path, text in chart.base().items():
        assert path.read_text("utf-8") == text


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_helm_lint_accepts_the_chart(values: Values) -> None:
    said = helm("lint", "--strict", str(CHART), "--values", "-", values=values)
    assert said.returncode == 0, said.stdout
    assert re.findall(r"\[\w+\].*", said.stdout) == ["[INFO] Chart.yaml: icon is recommended"]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_schemas_of_kubernetes_and_of_the_operator_know_every_key_and_value(
    values: Values,
) -> None:
    for (kind, _), resource in rendered(values).items():
        if kind in OPERATOR:
            assert schemas.as_the_operator_reads(resource) == resource
        else:
            schemas.check(resource)


@pytest.mark.parametrize("values", SINGLE.values(), ids=SINGLE)
def test_there_is_one_pod_if_nothing_else_is_requested(values: Values) -> None:
    spec = one("Deployment", values)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert "StatefulSet" not in {kind for kind, _ in rendered(values)}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_no_variant_makes_a_secret_or_a_pod_with_rights(values: Values) -> None:
    assert "Secret" not in {kind for kind, _ in rendered(values)}
    context = pod(values)["securityContext"] | container(values)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    leased = values.get("lease", {}).get("kind") == "kubernetes"
    assert pod(values)["automountServiceAccountToken"] is leased


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        (MINIMAL, ["ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"]),
        (VARIANTS["bare"], ["ConfigMap", "Deployment", "Service", "ServiceAccount"]),
        (VARIANTS["existing"], ["Deployment", "NetworkPolicy", "Service"]),
        (
            MONITORED,
            [
                *("ConfigMap", "ConfigMap", "ConfigMap", "Deployment", "NetworkPolicy"),
                *("PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor"),
            ],
        ),
    ],
)
def test_a_switch_brings_its_resource(values: Values, kinds: list[str]) -> None:
    assert sorted(kind for kind, _ in rendered(values)) == kinds


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "credentials: name at least one key pair and its Secret"),
        ({"credentials": CREDENTIALS}, "config: set discovery: {} to find all vaults, or list"),
        ({**MINIMAL, "config": {"discovery": None}}, "config: set discovery: {}"),
        ({**MINIMAL, "existingConfigMap": "mine"}, "mutually exclusive"),
        (
            {**MINIMAL, "config": {**CONFIG, "credentials": {}}},
            "config.credentials is made from credentials",
        ),
        (
            {**MINIMAL, "prometheusRule": {"enabled": True, "thresholds": {"outflow": 1}}},
            "outflow_floor_quote, outflow_ratio, ",
        ),
        (
            {**MINIMAL, "config": {**CONFIG, "lease": {"kind": "kubernetes"}}},
            "config.lease is made from lease",
        ),
        (
            {**MINIMAL, "shards": 2},
            "put {shard} into existingSecret, such as kraken-treasury-{shard}",
        ),
        (
            {**MINIMAL, **LEASE, "fullnameOverride": "x" * 48},
            "fullnameOverride: set a name of at most 47 characters",
        ),
        ({**MINIMAL, "creds": {}}, "additional properties 'creds' not allowed"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(values: Values, told: str) -> None:
    assert told in refusal(values)


def test_discovery_alone_is_a_configuration() -> None:
    assert yaml.safe_load(one("ConfigMap", FOUND)["data"]["config.yaml"]) == {
        "credentials": {
            "treasury": {
                "api_key_file": "secrets/treasury/api-key",
                "api_secret_file": "secrets/treasury/api-secret",
            }
        },
        "discovery": {},
    }


@pytest.mark.parametrize(
    "values", [MINIMAL, FOUND, EVERYTHING], ids=["minimal", "discovery", "everything"]
)
def test_the_exporter_finds_its_configuration_and_every_secret(
    values: Values, tmp_path: Path
) -> None:
    """With files where Kubernetes would put them."""
    (volume,) = pod(values)["volumes"]
    (mount,) = container(values)["volumeMounts"]
    assert mount["name"] == volume["name"]
    for source in volume["projected"]["sources"]:
        ((kind, of),) = source.items()
        for item in of["items"]:
            path = tmp_path / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "secret":
                # Each is different, and valid as any of them: a key, a secret in base64, a seed in base32.
                digest = hashlib.sha512(item["path"].encode()).digest()
                path.write_text(base64.b32encode(digest).decode()[:96], "utf-8")
            elif resource := rendered(values).get(("ConfigMap", of["name"])):
                path.write_text(resource["data"][item["key"]], "utf-8")
            else:
                path.write_text("", "utf-8")
    checked = run("--config.check", *container(values)["args"], directory=tmp_path)
    # An empty file is not a certificate; the message shows that it looked there.
    assert set(re.findall(r"^\S+\.yaml: (\S+)", checked.stderr, re.MULTILINE)) == (
        {"api.ca_file"} if values is EVERYTHING else set()
    ), checked.stderr


@pytest.mark.parametrize("name", SEVERAL)
def test_each_of_several_pods_finds_its_configuration_and_its_key(
    name: str, tmp_path: Path
) -> None:
    values = SEVERAL[name]
    config = yaml.safe_load(rendered(values)["ConfigMap", f"custody-{NAME}"]["data"]["config.yaml"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    used = set()
    for workload in workloads(values):
        spec = workload["spec"]["template"]["spec"]
        (volume,) = spec["volumes"]
        sources = [it["secret"] for it in volume["projected"]["sources"] if "secret" in it]
        files = {tmp_path / item["path"]: it["name"] for it in sources for item in it["items"]}
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("dGhlLWFwaS1zZWNyZXQ=", "utf-8")
        (own,) = spec["containers"]
        own_shard = any(it["name"] == "SHARD" for it in own.get("env", ()))
        for number in range(workload["spec"]["replicas"] if own_shard else 1):
            flags = [it.replace("$(SHARD)", str(number)) for it in own["args"]]
            checked = run("--config.check", *flags, directory=tmp_path)
            assert checked.returncode == 0, checked.stderr
            used.add(tuple(it for it in flags if it.startswith("--shard")))
        for path in files:
            path.unlink()
    shards = values.get("shards", 1)
    assert used == {(f"--shard={it}/{shards}",) for it in range(shards) if shards > 1} or {()}


@pytest.mark.parametrize("name", SEVERAL)
def test_each_of_several_pods_has_a_name_and_an_instance_that_outlive_it(name: str) -> None:
    values = SEVERAL[name]
    service = one("Service", values)
    assert service["spec"]["clusterIP"] == "None"
    selectors = []
    for workload in workloads(values):
        assert workload["spec"]["serviceName"] == service["metadata"]["name"]
        labels = workload["spec"]["selector"]["matchLabels"]
        assert workload["spec"]["template"]["metadata"]["labels"].items() >= labels.items()
        selectors.append(labels)
    # No StatefulSet selects the pods of another.
    assert len({json.dumps(it, sort_keys=True) for it in selectors}) == len(selectors)
    if "serviceMonitor" in values:
        (endpoint,) = one("ServiceMonitor", values)["spec"]["endpoints"]
        (instance,) = (it for it in endpoint["relabelings"] if it.get("targetLabel") == "instance")
        assert instance["sourceLabels"][-1] == "__meta_kubernetes_pod_name"


def test_a_lease_makes_pairs_that_are_on_two_nodes_and_not_drained_together() -> None:
    for name, pairs in (("pair", 1), ("redis", 1), ("pairs of shards", 3)):
        found = workloads(SEVERAL[name])
        assert [it["spec"]["replicas"] for it in found] == [2] * pairs
        for workload in found:
            labels = workload["spec"]["selector"]["matchLabels"]
            affinity = workload["spec"]["template"]["spec"]["affinity"]
            (term,) = affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert term["labelSelector"] == {"matchLabels": labels}
            budget = rendered(SEVERAL[name])["PodDisruptionBudget", workload["metadata"]["name"]]
            assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    assert "nodeAffinity" in pod(SEVERAL["pair"])["affinity"]
    own: Values = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    assert pod({**SEVERAL["redis"], "affinity": own})["affinity"] == own


@pytest.mark.parametrize(
    ("name", "leases"),
    [
        ("pair", [f"custody-{NAME}"]),
        ("pairs of shards", [f"custody-{NAME}-{it}" for it in range(3)]),
        ("redis", []),
        ("shards", []),
    ],
)
def test_the_service_account_may_use_the_leases_that_the_exporters_ask_for(
    name: str, leases: list[str]
) -> None:
    values = SEVERAL[name]
    resources = rendered(values)
    made = [it["metadata"]["name"] for (kind, _), it in resources.items() if kind == "Lease"]
    assert made == leases
    ports = [it["ports"] for it in one("NetworkPolicy", values)["spec"]["egress"]]
    assert ({"protocol": "TCP", "port": 6443} in ports[-1]) is bool(leases)
    if not leases:
        assert not {"Role", "RoleBinding"} & {kind for kind, _ in resources}
        return
    (rule,) = one("Role", values)["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == (leases, ["get", "update"])
    (subject,) = one("RoleBinding", values)["subjects"]
    assert subject["name"] == pod(values)["serviceAccountName"]
    config = yaml.safe_load(resources["ConfigMap", f"custody-{NAME}"]["data"]["config.yaml"])
    keys = {"api_key_env": "SIMULATOR_KEY", "api_secret_env": "SIMULATOR_SECRET"}
    text = yaml.safe_dump({**config, "credentials": {"treasury": keys}})
    shards = values.get("shards", 1)
    asked = [
        parse(text, directory=Path(), environ=ENVIRON, shard=Shard(it, shards)).lease
        for it in range(shards)
    ]
    assert [it.name for it in asked if it] == leases


def test_amounts_and_numbers_reach_the_configuration_as_they_are() -> None:
    shown = rendered(EVERYTHING)["ConfigMap", f"custody-{NAME}"]["data"]["config.yaml"]
    config = yaml.safe_load(shown)
    assert config["polling"] == {"max_series": 1000000}
    assert isinstance(config["polling"]["max_series"], int)
    assert config["api"]["rate_limit"] == {"share": 0.25}
    none = one("ConfigMap", {**MINIMAL, "config": {**CONFIG, "lease": None}})
    assert yaml.safe_load(none["data"]["config.yaml"]).get("lease") is None
    minimum = {"organizations": [{"vaults": [{"min_available": {"BTC": "0.50", "NO": "1e3"}}]}]}
    shown = one("ConfigMap", {**MINIMAL, "config": minimum})["data"]["config.yaml"]
    assert yaml.safe_load(shown)["organizations"] == minimum["organizations"]


def test_another_configuration_starts_another_pod_and_nothing_else_does() -> None:
    def checksum(values: Values) -> str:
        template = one("Deployment", values)["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum(MINIMAL) == checksum(TLS)
    assert checksum(MINIMAL) != checksum(EVERYTHING)


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, f"kraken-custody-exporter:{__version__}"),
        ({"repository": "a/b", "tag": "1"}, "a/b:1"),
        (
            {"repository": "a/b", "tag": "1", "digest": f"sha256:{'a' * 64}"},
            f"a/b@sha256:{'a' * 64}",
        ),
    ],
)
def test_the_image_is_known_by_tag_or_digest(image: Values, reference: str) -> None:
    assert container({**MINIMAL, "image": image})["image"] == reference


@pytest.mark.parametrize(
    ("values", "liveness"),
    [
        (MINIMAL, {"httpGet": {"path": "/-/healthy", "port": "metrics"}}),
        (TLS, {"httpGet": {"path": "/-/healthy", "port": "metrics", "scheme": "HTTPS"}}),
        ({**TLS, "probeHandler": "tcp"}, {"tcpSocket": {"port": "metrics"}}),
        (
            {**TLS, "probeHandler": "exec"},
            {
                "exec": {
                    "command": [
                        *("env", "HEALTHCHECK_URL=https://127.0.0.1:10063/-/healthy"),
                        *("/app/bin/python", "-I", "-m", "exporter.healthcheck"),
                    ]
                }
            },
        ),
    ],
    ids=["http", "https", "tcp", "exec"],
)
def test_probes_ask_in_a_way_that_is_answered(values: Values, liveness: Values) -> None:
    assert container(values)["livenessProbe"].items() >= liveness.items()
    ready = json.dumps(liveness).replace("/-/healthy", "/-/ready")
    for name in ("startupProbe", "readinessProbe"):
        assert container(values)[name].items() >= json.loads(ready).items()


def test_a_web_configuration_is_mounted_used_and_known_to_prometheus() -> None:
    assert "--web.config.file=web-config.yml" in container(TLS)["args"]
    (volume,) = pod(TLS)["volumes"]
    # As it stands: the files that it names are beside it.
    assert volume["projected"]["sources"][-1] == {"secret": {"name": "custody-web"}}
    (endpoint,) = one("ServiceMonitor", TLS)["spec"]["endpoints"]
    monitored = TLS["serviceMonitor"]
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"] == monitored["tlsConfig"]
    assert endpoint["basicAuth"] == monitored["basicAuth"]
    plain = {**TLS, "webConfig": {"existingSecret": "custody-web", "tls": False}}
    (endpoint,) = one("ServiceMonitor", plain)["spec"]["endpoints"]
    assert "scheme" not in endpoint
    assert "tlsConfig" not in endpoint


def test_every_selector_finds_the_pod_of_its_own_release_and_no_other() -> None:
    first, second = rendered(MONITORED, "a"), rendered(MONITORED, "b")
    assert first.keys() & second.keys() == set()
    for release, resources in (("a", first), ("b", second)):
        name = f"{release}-kraken-custody-exporter"
        own = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": release}
        deployment = resources["Deployment", name]["spec"]
        assert deployment["template"]["metadata"]["labels"].items() >= own.items()
        assert deployment["selector"]["matchLabels"] == own
        assert resources["Service", name]["spec"]["selector"] == own
        assert resources["NetworkPolicy", name]["spec"]["podSelector"]["matchLabels"] == own
        assert resources["ServiceMonitor", name]["spec"]["selector"]["matchLabels"] == own
        assert resources["Service", name]["metadata"]["labels"].items() >= own.items()


@pytest.mark.parametrize(
    ("release", "name", "job"),
    [
        ("custody", f"custody-{NAME}", f"kraken-custody-custody-{NAME}"),
        (NAME, NAME, NAME),
        ("x" * 53, f"{'x' * 53}-kraken-cu", f"kraken-custody-{'x' * 53}-kraken-cu"),
    ],
)
def test_the_job_has_a_name_that_the_rules_look_for(release: str, name: str, job: str) -> None:
    monitor = one("ServiceMonitor", MONITORED, release)
    assert monitor["metadata"]["name"] == name
    (endpoint,) = monitor["spec"]["endpoints"]
    assert {"targetLabel": "job", "replacement": job} in endpoint["relabelings"]


def test_what_operator_and_sidecar_select_by_is_set() -> None:
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert one(kind, MONITORED)["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    for name in ("dashboards", "runbooks"):
        metadata = rendered(MONITORED)["ConfigMap", f"custody-{NAME}-{name}"]["metadata"]
        assert metadata["labels"]["grafana_dashboard"] == "1"
        assert metadata["annotations"] == {"grafana_folder": "Custody"}


def groups(values: Values) -> list[Values]:
    """Return the groups of rules by name, as the rule files have them in another order."""
    found: list[Values] = one("PrometheusRule", values)["spec"]["groups"]
    return sorted(found, key=lambda group: str(group["name"]))


def test_the_rules_are_those_of_deploy_prometheus_and_of_the_base() -> None:
    shipped = sorted(rules.groups(), key=lambda group: str(group["name"]))
    assert groups(MONITORED) == shipped
    base = yaml.safe_load(RULES.read_text("utf-8"))["spec"]["groups"]
    assert sorted(base, key=lambda group: str(group["name"])) == shipped


def test_thresholds_and_the_address_of_runbooks_can_be_set(tmp_path: Path) -> None:
    own = {
        "enabled": True,
        "runbookUrl": "https://grafana.example/d/",
        "thresholds": {"outflow_ratio": 0.25, "outflow_floor_quote": 1000000},
        "extraThresholds": [{"name": "outflow_ratio", "value": 0.5, "labels": {"vault": "hot"}}],
    }
    found = groups({**MINIMAL, "prometheusRule": own})
    recorded = [rule for group in found for rule in group["rules"] if "record" in rule]
    name = "kraken_custody:threshold:outflow_ratio"
    assert [rule for rule in recorded if rule["record"] == name] == [
        {"record": name, "expr": "vector(0.25)"},
        {"record": name, "expr": "vector(0.5)", "labels": {"vault": "hot"}},
    ]
    (runbooks,) = [it for it in recorded if it["record"] == "kraken_custody:runbooks:info"]
    assert runbooks["labels"] == {"url": "https://grafana.example/d/"}
    # Nothing else has changed, and Prometheus can read it.
    changed = [
        it
        for group, was in zip(found, groups(MONITORED), strict=True)
        for it in group["rules"]
        if it not in was["rules"]
    ]
    assert len(changed) == 4
    rules.promtool(found, [], tmp_path)


def test_the_dashboards_are_the_shipped_files() -> None:
    for folder in ("dashboards", "runbooks"):
        data = rendered(MONITORED)["ConfigMap", f"custody-{NAME}-{folder}"]["data"]
        files = (rules.DEPLOY / "grafana" / folder).glob("*.json")
        assert data == {path.name: path.read_text("utf-8") for path in files}
    without = {**MONITORED, "dashboards": {"enabled": True, "runbooks": False}}
    assert ("ConfigMap", f"custody-{NAME}-runbooks") not in rendered(without)


def test_a_package_of_the_chart_has_all_that_it_needs_and_fits_into_a_release(
    tmp_path: Path,
) -> None:
    packed = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (package,) = tmp_path.iterdir()
    assert package.name == f"{NAME}-{__version__}.tgz"
    with tarfile.open(package) as archive:
        assert all(member.isfile() for member in archive)
    made = helm("template", "custody", str(package), "--values", "-", values=MONITORED)
    assert loaded(made.stdout) == list(rendered(MONITORED).values())
    # Helm keeps chart and manifest of a release, compressed and as base64, in a Secret, which holds 1 MiB.
    assert package.stat().st_size * 2 * 4 / 3 < 2**20 / 2


def notes(values: Values, directory: Path) -> str:
    """Return the notes, which Helm shows only at an installation."""
    copy = directory / "chart"
    shutil.copytree(CHART, copy)
    shown = 'notes: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}'
    (copy / "templates" / "notes.yaml").write_text(shown, "utf-8")
    said = helm(
        *("template", "custody", str(copy), "--show-only", "templates/notes.yaml"),
        *("--namespace", "treasury", "--values", "-"),
        values=values,
    )
    assert said.returncode == 0, said.stderr
    return str(yaml.safe_load(said.stdout)["notes"])


def test_the_notes_say_how_to_see_it_and_how_to_make_the_secrets(tmp_path: Path) -> None:
    told = notes(EVERYTHING, tmp_path)
    assert f"port-forward deployment/custody-{NAME} 10063\n  http://127.0.0.1:10063/\n" in told
    assert (
        "  kubectl --namespace treasury create secret generic kraken-trading"
        " --from-file=key --from-file=secret --from-file=totp\n"
    ) in told
    assert "Nothing scrapes it yet" not in told


def test_the_readme_installs_what_it_says() -> None:
    """The values of its first example, and of the one with two key pairs."""
    examples = re.findall(
        r"^ *```yaml\n(.*?)^ *```",
        (CHART / "README.md").read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    first, keys, pair, shards = map(yaml.safe_load, examples)
    assert len(rendered(first)) == 9
    assert rendered({**first, **keys}).keys() == rendered(first).keys()
    more = {kind for kind, _ in rendered({**first, **pair})} - {kind for kind, _ in rendered(first)}
    assert more == {"StatefulSet", "PodDisruptionBudget", "Lease", "Role", "RoleBinding"}
    assert len(workloads({**first, **shards})) == 1
    assert len(workloads({**first, **shards, **pair})) == shards["shards"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("shards", "create secret generic kraken-2 --from-file=api-key --from-file=api-secret\n"),
        ("pairs of shards", f"custody-{NAME}-2-1.custody-{NAME}.treasury.svc:10063"),
        ("redis", f"targets custody-{NAME}-0.custody-{NAME}.treasury.svc:10063, "),
        ("pair", f"port-forward pod/custody-{NAME}-0 10063\n"),
    ],
)
def test_the_notes_name_each_secret_and_each_pod(name: str, told: str, tmp_path: Path) -> None:
    assert told in notes({**SEVERAL[name], "serviceMonitor": {"enabled": False}}, tmp_path)
