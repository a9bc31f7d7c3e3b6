"""The manifests of deploy/kubernetes: read and held against each other, the image and Baton."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from baton.web.health import OPERATIONS
from tests.system.deployed import (
    DEPLOY,
    HOME,
    KNOWN,
    USER,
    baton_only,
    documents,
    is_pinned,
    settings_of,
)

FOLDER = DEPLOY / "kubernetes"
NAME = {"app.kubernetes.io/name": "baton"}
SECRET = {"BATON_DATABASE_URL": "postgresql://h/d", "BATON_MASTER_KEY": "0f" * 32}
APIS = {
    "ConfigMap": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Service": "v1",
    "StatefulSet": "apps/v1",
}


def kustomization() -> dict[str, Any]:
    [found] = documents(FOLDER / "kustomization.yaml")
    return found


def manifests() -> list[dict[str, Any]]:
    return [each for name in kustomization()["resources"] for each in documents(FOLDER / name)]


def of(kind: str, name: str = "baton") -> dict[str, Any]:
    [found] = [m for m in manifests() if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


STATEFUL = of("StatefulSet")["spec"]
POD = STATEFUL["template"]["spec"]
[RELAY] = POD["containers"]


def mounts() -> dict[str, str]:
    return {each["name"]: each["mountPath"] for each in RELAY["volumeMounts"]}


def environment() -> dict[str, str]:
    """What the container gets, with an operator's secret."""
    return {**of("ConfigMap")["data"], **SECRET}


def test_all_files_are_rendered() -> None:
    """Each is named by the kustomization; kinds and names are unique, and of a stable API."""
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert files == set(kustomization()["resources"])
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests()]
    assert len(names) == len(set(names))
    assert {each["kind"]: each["apiVersion"] for each in manifests()} == APIS


def test_everything_means_the_same_pods() -> None:
    """Selectors of the set, the services, the budget and the policy match the pod's labels."""
    labels = STATEFUL["template"]["metadata"]["labels"]
    assert labels == NAME
    selectors = [
        STATEFUL["selector"]["matchLabels"],
        of("Service")["spec"]["selector"],
        of("Service", "baton-nodes")["spec"]["selector"],
        of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert [NAME] * len(selectors) == selectors
    assert "None" == of("Service", STATEFUL["serviceName"])["spec"]["clusterIP"]


def test_the_image_is_pinned() -> None:
    """To a version: what is rolled out is what was tried."""
    [image] = kustomization()["images"]
    assert image["name"] == RELAY["image"]
    assert is_pinned(f"{image['name']}:{image['newTag']}")


def test_settings_can_be_used() -> None:
    """Each variable is a setting; secrets come from the secret that the first lines make."""
    settings = settings_of(environment())
    assert settings.database_url
    data = of("ConfigMap")["data"]
    assert all(isinstance(value, str) for value in data.values())
    assert not set(data) & {"BATON_MASTER_KEY", "BATON_DATABASE_URL", "BATON_ADMIN_KEY"}
    head = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")
    made = set(re.findall(r"--from-literal=(\w+)", head))
    references = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in RELAY["env"]}
    assert made == set(references) == baton_only(references)
    assert made <= KNOWN
    assert all(each["key"] == name for name, each in references.items())
    assert set(SECRET) == {name for name, each in references.items() if not each.get("optional")}
    assert POD["enableServiceLinks"] is False, "BATON_PORT=tcp://… would be no port"


def test_ports_and_paths_agree() -> None:
    """Probes ask what Baton answers, on the port on which the image listens."""
    port = settings_of(environment()).port
    assert [{"name": "http", "containerPort": port}] == RELAY["ports"]
    paths = {operation.path for operation in OPERATIONS}
    probes = {
        word: RELAY[f"{word}Probe"]["httpGet"] for word in ("startup", "liveness", "readiness")
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"} == {
        word: probe["path"] for word, probe in probes.items()
    }
    notes = STATEFUL["template"]["metadata"]["annotations"]
    assert str(port) == notes["prometheus.io/port"]
    assert {*(probe["path"] for probe in probes.values()), notes["prometheus.io/path"]} <= paths
    for name in ("baton", "baton-nodes"):
        assert ["http"] == [each["targetPort"] for each in of("Service", name)["spec"]["ports"]]


def test_it_is_confined() -> None:
    """Not root, nothing writable but home and /tmp, no privileges, no token, limits."""
    assert (True, USER, USER) == tuple(
        POD["securityContext"][word] for word in ("runAsNonRoot", "runAsUser", "fsGroup")
    )
    assert {"type": "RuntimeDefault"} == POD["securityContext"]["seccompProfile"]
    own = RELAY["securityContext"]
    assert (True, False) == (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"])
    assert {"drop": ["ALL"]} == own["capabilities"]
    assert POD["automountServiceAccountToken"] is False
    assert {"home": HOME, "tmp": "/tmp"} == mounts()
    resources = RELAY["resources"]
    assert {"cpu", "memory"} == set(resources["requests"]) == set(resources["limits"])


def test_the_journal_is_on_a_volume_of_its_own() -> None:
    """One for each relay, that only one node mounts."""
    [claim] = STATEFUL["volumeClaimTemplates"]
    assert HOME == mounts()[claim["metadata"]["name"]]
    assert ["ReadWriteOnce"] == claim["spec"]["accessModes"]
    assert {"tmp"} == {each["name"] for each in POD["volumes"]}


def test_a_drain_has_time() -> None:
    """The pause before it, the drain, and some to spare, before anything is killed."""
    [word, pause] = RELAY["lifecycle"]["preStop"]["exec"]["command"]
    assert "sleep" == word
    drain_s = settings_of(environment()).drain_timeout_s
    assert float(pause) + drain_s < POD["terminationGracePeriodSeconds"]
    readiness = RELAY["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= float(pause)


def test_one_stays() -> None:
    """While machines are emptied, not all relays go at once."""
    assert of("PodDisruptionBudget")["spec"]["maxUnavailable"] < STATEFUL["replicas"]


def test_the_network_is_closed_but_for_what_it_needs() -> None:
    """In: its own port. Out: names, database, counters, upstreams; no cloud's credentials."""
    policy = of("NetworkPolicy")["spec"]
    assert ["Ingress", "Egress"] == policy["policyTypes"]
    assert [[{"protocol": "TCP", "port": "http"}]] == [r["ports"] for r in policy["ingress"]]
    assert all(rule.get("from") for rule in policy["ingress"])
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert {53, 5432, 6379, 443} <= out
    blocks = [to["ipBlock"] for r in policy["egress"] for to in r.get("to", ()) if "ipBlock" in to]
    assert all("169.254.0.0/16" in block["except"] for block in blocks)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")
def test_kubectl_renders_them() -> None:
    """All of them, in their namespace, with the image's tag."""
    done = subprocess.run(
        ["kubectl", "kustomize", FOLDER], capture_output=True, text=True, timeout=30
    )
    assert 0 == done.returncode, done.stderr
    assert len(manifests()) == done.stdout.count("\nkind: ") + done.stdout.startswith("kind: ")
    assert len(manifests()) == done.stdout.count("\n  namespace: baton\n")
    assert f"image: baton:{kustomization()['images'][0]['newTag']}\n" in done.stdout
