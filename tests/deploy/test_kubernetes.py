"""The Kubernetes manifests: kustomize's output, compared with the schemas of Kubernetes and with the image."""

import re
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import dockerfile, rules, schemas
from tests.deploy.stories import STORIES
from tests.processes import run
from tests.programs import program
from tools.docs import all_metrics
from tools.kubernetes_rules import KUBERNETES, RULES, prometheus_rule

SECRET = KUBERNETES / "overlays" / "example" / "secret.example.yaml"
KINDS = {
    "Namespace",
    "ServiceAccount",
    "ConfigMap",
    "Deployment",
    "Service",
    "NetworkPolicy",
    "ServiceMonitor",
    "PrometheusRule",
}
OPERATOR_LABELS = {"job", "instance", "namespace", "service", "pod", "container", "endpoint"}
"""The labels that the Prometheus operator sets on every series of a ServiceMonitor."""
LEASED = KINDS - {"Deployment"} | {
    *("StatefulSet", "PodDisruptionBudget", "Lease", "Role", "RoleBinding"),
}
SHARDED = KINDS - {"Deployment"} | {"StatefulSet"}
NAME = "kraken-custody-exporter"
LABEL = {"app.kubernetes.io/name": NAME}


@cache
def overlay(name: str) -> dict[str, dict[str, Any]]:
    """Return the resources of an overlay, by kind."""
    built = subprocess.run(
        [
            *(program("kubectl", package="kubernetes-client"), "kustomize"),
            KUBERNETES / "overlays" / name,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    resources = list(yaml.safe_load_all(built.stdout))
    return {resource["kind"]: resource for resource in resources}


def example() -> dict[str, dict[str, Any]]:
    return overlay("example")


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = example()["Deployment"]["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


def test_the_overlay_is_complete_and_brings_no_secret() -> None:
    assert example().keys() == KINDS


@pytest.mark.parametrize("kind", sorted(KINDS - {"ServiceMonitor", "PrometheusRule"}))
def test_the_schema_of_kubernetes_accepts_every_resource(kind: str) -> None:
    schemas.check(example()[kind])


@pytest.mark.parametrize(("name", "kinds"), [("pair", LEASED), ("shards", SHARDED)])
def test_several_pods_are_as_complete_and_valid_as_one(name: str, kinds: set[str]) -> None:
    resources = overlay(name)
    assert resources.keys() == kinds
    for kind, resource in resources.items():
        if kind == "ServiceMonitor":
            assert schemas.as_the_operator_reads(resource) == resource
        elif kind != "PrometheusRule":
            schemas.check(resource)


@pytest.mark.parametrize("name", ["pair", "shards"])
def test_each_of_several_pods_has_an_instance_that_outlives_it(name: str) -> None:
    """A StatefulSet gives each pod the name of the one before, and a headless Service the address."""
    resources = overlay(name)
    stateful, service = resources["StatefulSet"]["spec"], resources["Service"]
    assert service["spec"]["clusterIP"] == "None"
    assert stateful["serviceName"] == service["metadata"]["name"]
    assert stateful["selector"] == {"matchLabels": LABEL}
    assert stateful["template"]["metadata"]["labels"] == LABEL
    (endpoint,) = resources["ServiceMonitor"]["spec"]["endpoints"]
    (instance,) = (it for it in endpoint["relabelings"] if it.get("targetLabel") == "instance")
    assert instance["sourceLabels"][-1] == "__meta_kubernetes_pod_name"
    assert ("separator", "/") in instance.items()


@pytest.mark.parametrize("name", ["pair", "shards"])
def test_but_for_shard_token_and_neighbour_a_pod_is_the_one_of_the_base(name: str) -> None:
    spec = overlay(name)["StatefulSet"]["spec"]["template"]["spec"]
    (own,) = spec["containers"]
    differences = {"affinity", "automountServiceAccountToken", "containers", "volumes"}
    assert {key: spec[key] for key in spec.keys() - differences} == {
        key: pod()[key] for key in pod().keys() - differences
    }
    assert {key: own[key] for key in own.keys() - {"args", "env"}} == {
        key: container()[key] for key in container().keys() - {"args"}
    }


def test_a_pair_shares_one_lease_and_may_use_no_other() -> None:
    resources = overlay("pair")
    stateful = resources["StatefulSet"]["spec"]
    assert stateful["replicas"] == 2
    (term,) = stateful["template"]["spec"]["affinity"]["podAntiAffinity"].popitem()[1]
    assert term == {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": LABEL},
    }
    lease = resources["Lease"]["metadata"]["name"]
    assert "spec" not in resources["Lease"]
    assert resources["Role"]["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease],
            "verbs": ["get", "update"],
        }
    ]
    account = resources["ServiceAccount"]["metadata"]
    assert resources["RoleBinding"]["roleRef"]["name"] == resources["Role"]["metadata"]["name"]
    assert resources["RoleBinding"]["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    config = yaml.safe_load(resources["ConfigMap"]["data"]["config.yaml"])
    assert config["lease"] == {"kind": "kubernetes", "name": lease}
    assert resources["PodDisruptionBudget"]["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": LABEL},
    }


def test_only_pods_with_a_lease_have_a_token_and_a_way_to_the_api_server() -> None:
    for name, leased in (("example", False), ("pair", True), ("shards", False)):
        resources = overlay(name)
        workload = resources["StatefulSet" if name != "example" else "Deployment"]
        mounted = workload["spec"]["template"]["spec"]["automountServiceAccountToken"]
        assert mounted is leased
        assert resources["ServiceAccount"]["automountServiceAccountToken"] is False
        egress = resources["NetworkPolicy"]["spec"]["egress"]
        ports = {port["port"] for rule in egress for port in rule["ports"]}
        assert ports == {53, 443} | ({6443} if leased else set())


def test_the_number_of_each_pod_is_its_shard_and_its_key_is_one_of_its_own(tmp_path: Path) -> None:
    stateful = overlay("shards")["StatefulSet"]["spec"]
    spec = stateful["template"]["spec"]
    (own,) = spec["containers"]
    assert own["env"] == [
        {
            "name": "SHARD",
            "valueFrom": {
                "fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}
            },
        }
    ]
    (volume,) = spec["volumes"]
    secret = volume["projected"]["sources"][-1]["secret"]
    assert secret == {"name": NAME}
    config = overlay("shards")["ConfigMap"]["data"]["config.yaml"]
    (tmp_path / "config.yaml").write_text(config, "utf-8")
    for shard in range(stateful["replicas"]):
        for kind in ("key", "secret"):
            (tmp_path / f"api-{kind}-{shard}").write_text("dGhlLWFwaS1zZWNyZXQ=", "utf-8")
        (flag,) = (it for it in own["args"] if it.startswith("--shard="))
        flag = flag.replace("$(SHARD)", str(shard))
        checked = run("--config.check", flag, directory=tmp_path)
        assert checked.returncode == 0, checked.stderr
        for kind in ("key", "secret"):
            (tmp_path / f"api-{kind}-{shard}").unlink()


def test_the_configuration_of_the_pair_is_valid(tmp_path: Path) -> None:
    config = overlay("pair")["ConfigMap"]["data"]["config.yaml"]
    (tmp_path / "config.yaml").write_text(config, "utf-8")
    (tmp_path / "secrets").mkdir()
    for kind in ("key", "secret"):
        (tmp_path / "secrets" / f"api-{kind}").write_text("dGhlLWFwaS1zZWNyZXQ=", "utf-8")
    assert run("--config.check", directory=tmp_path).returncode == 0


def test_the_example_secret_is_valid() -> None:
    schemas.check(yaml.safe_load(SECRET.read_text("utf-8")))


def test_the_schema_refuses_unknown_keys() -> None:
    wrong = example()["Service"] | {"specs": {}}
    with pytest.raises(Exception, match=r"'specs' was unexpected"):
        schemas.check(wrong)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_the_operator_knows_every_key_and_value(kind: str) -> None:
    resource = example()[kind]
    assert schemas.as_the_operator_reads(resource) == resource


def test_the_operator_would_miss_a_key_that_it_does_not_know() -> None:
    resource = example()["ServiceMonitor"]
    assert schemas.as_the_operator_reads(resource | {"specs": {}}) == resource


def test_every_selector_finds_the_pod() -> None:
    resources = example()
    assert resources["Deployment"]["spec"]["template"]["metadata"]["labels"] == LABEL
    assert resources["Deployment"]["spec"]["selector"] == {"matchLabels": LABEL}
    assert resources["Service"]["spec"]["selector"] == LABEL
    assert resources["NetworkPolicy"]["spec"]["podSelector"] == {"matchLabels": LABEL}
    assert resources["ServiceMonitor"]["spec"]["selector"] == {"matchLabels": LABEL}
    assert resources["Service"]["metadata"]["labels"].items() >= LABEL.items()


def test_there_is_never_a_second_exporter_with_the_same_key() -> None:
    spec = example()["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_it_may_do_no_more_than_the_strictest_pod_security_standard_allows() -> None:
    context = pod()["securityContext"] | container()["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    assert example()["ServiceAccount"]["automountServiceAccountToken"] is False
    enforced = example()["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_user_port_and_directory_are_those_of_the_image() -> None:
    context = pod()["securityContext"]
    (directory,) = (mount["mountPath"] for mount in container()["volumeMounts"])
    (port,) = (port["containerPort"] for port in container()["ports"])
    assert {
        f"USER {context['runAsUser']}:{context['runAsGroup']}",
        f"WORKDIR {directory}",
        f"ENV DEFAULT_LISTEN_ADDRESS=:{port}",
        f"EXPOSE {port}",
    } <= set(dockerfile.LINES)


def test_every_port_by_name_is_the_one_of_the_container() -> None:
    (port,) = container()["ports"]
    probes = [container()[f"{name}Probe"] for name in ("startup", "liveness", "readiness")]
    (served,) = example()["Service"]["spec"]["ports"]
    (allowed,) = example()["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    (scraped,) = example()["ServiceMonitor"]["spec"]["endpoints"]
    named = [
        *(probe["httpGet"]["port"] for probe in probes),
        served["targetPort"],
        allowed["port"],
    ]
    assert named == [port["name"]] * 5
    assert scraped["port"] == served["name"]


def test_nothing_but_prometheus_gets_in_and_nothing_but_dns_and_https_gets_out() -> None:
    policy = example()["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [sorted(rule) for rule in policy["ingress"]] == [["from", "ports"]]
    assert [
        sorted((port["protocol"], port["port"]) for port in rule["ports"])
        for rule in policy["egress"]
    ] == [[("TCP", 53), ("UDP", 53)], [("TCP", 443)]]
    assert all(rule["to"] for rule in policy["egress"])


def test_the_configuration_and_the_secrets_are_found_where_it_looks(tmp_path: Path) -> None:
    (volume,) = pod()["volumes"]
    configured, secret = volume["projected"]["sources"]
    assert configured["configMap"]["name"] == example()["ConfigMap"]["metadata"]["name"]
    assert secret["secret"]["name"] == NAME
    values = yaml.safe_load(SECRET.read_text("utf-8"))
    assert values["metadata"]["name"] == NAME
    for source, content in (
        (configured["configMap"], example()["ConfigMap"]["data"]),
        (secret["secret"], values["stringData"]),
    ):
        for item in source["items"]:
            path = tmp_path / item["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(content[item["key"]], "utf-8")
    checked = run("--config.check", directory=tmp_path)
    assert checked.returncode == 0
    # Everything was found; the example's secret is only a placeholder.
    assert re.findall(r"event=(\w+)", checked.stderr) == ["secret_unusual"]


def test_the_job_has_a_name_that_the_rules_look_for() -> None:
    assert example()["Service"]["metadata"]["name"].startswith("kraken-custody")
    assert "jobLabel" not in example()["ServiceMonitor"]["spec"]


def test_no_label_of_the_cluster_takes_the_place_of_one_of_the_exporter() -> None:
    """Prometheus would rename the exporter's to exported_..., and no rule would find it."""
    (endpoint,) = example()["ServiceMonitor"]["spec"]["endpoints"]
    dropped = {
        rule["regex"] for rule in endpoint["relabelings"] if rule.get("action") == "labeldrop"
    }
    own = {label for metric in all_metrics() for label in metric.labels}
    assert (OPERATOR_LABELS - dropped) & own == set()


@pytest.mark.parametrize("name", STORIES)
def test_an_alert_fires_with_the_labels_of_a_cluster_too(name: str, tmp_path: Path) -> None:
    """With the operator's labels, a match that does not name its labels would find nothing."""
    first = STORIES[name][0]
    cluster = dict.fromkeys(("namespace", "service", "container"), "x")
    series = {with_labels(key, cluster): values for key, values in first.series.items()}
    at, count = next((at, count) for at, count in first.firing.items() if count)
    rules.run([(name, replace(first, series=series, message=None, firing={at: count}))], tmp_path)


def with_labels(series: str, more: dict[str, str]) -> str:
    """Add labels to a series in promtool's notation."""
    name, _, labels = series.removesuffix("}").partition("{")
    added = ",".join(f'{label}="{value}"' for label, value in more.items())
    return f"{name}{{{labels}{',' if labels else ''}{added}}}"


def test_the_rules_are_those_of_deploy_prometheus() -> None:
    """If this fails, run `make kubernetes-rules`."""
    assert RULES.read_text("utf-8") == prometheus_rule()


def test_no_alert_is_missing() -> None:
    groups = example()["PrometheusRule"]["spec"]["groups"]
    named = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert sorted(named) == sorted(rules.alerts())
