"""The manifests of cluster/kubernetes: schemas, and that names, ports and labels fit together."""

import re
import shutil
import subprocess

import pytest
import yaml

from support.deployment import BASE, CLUSTER, ROOT, VERSION, documents, pinned
from support.kuberay import cluster_spec, templates, validate_kubernetes, validate_ray

KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
STATIC = [document for name in KUSTOMIZATION["resources"] for document in documents(BASE / name)]
JOB = documents(CLUSTER / "kubernetes" / "rayjob.yaml")
ALL = STATIC + JOB
RAY = [document for document in ALL if document["apiVersion"] == "ray.io/v1"]
SECRET = KUSTOMIZATION["secretGenerator"][0]
SECRET_KEYS = {path.rpartition("/")[2] for path in SECRET["files"]}


def title(document):
    return f"{document['kind']}-{document['metadata']['name']}"


def of_kind(kind, documents=STATIC):
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def workloads():
    """Name, pod template, and volume names that come from claim templates."""
    found = []
    for document in ALL:
        if document["kind"] in {"RayCluster", "RayJob"}:
            found += [(title(document), template, set()) for template in templates(document)]
        elif "template" in document.get("spec", {}):
            claims = document["spec"].get("volumeClaimTemplates", [])
            names = {claim["metadata"]["name"] for claim in claims}
            found.append((title(document), document["spec"]["template"], names))
    return found


PODS = pytest.mark.parametrize(
    ("template", "claimed"),
    [(template, claimed) for _, template, claimed in workloads()],
    ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(workloads())],
)


@pytest.mark.parametrize("document", ALL, ids=title)
def test_schema(document):
    (validate_ray if document in RAY else validate_kubernetes)(document)


def test_every_file_is_listed_and_no_secret_is_committed():
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(KUSTOMIZATION["resources"])
    assert of_kind("Secret", ALL) == {}
    assert SECRET["options"] == {"disableNameSuffixHash": True}
    made = (CLUSTER / "make-secrets").read_text()
    assert all(key in made for key in SECRET_KEYS)


@PODS
def test_pods_are_without_privileges(template, claimed):
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 999
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


@PODS
def test_mounts_have_volumes_and_volumes_have_sources(template, claimed):
    spec = template["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounted = {m["name"] for c in spec["containers"] for m in c.get("volumeMounts", [])}
    assert mounted == set(volumes) | claimed
    claims = of_kind("PersistentVolumeClaim")
    for volume in volumes.values():
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in claims
        if "secret" in volume:
            assert volume["secret"]["secretName"] == SECRET["name"]
            assert {item["key"] for item in volume["secret"]["items"]} <= SECRET_KEYS
            assert volume["secret"]["defaultMode"] == 0o440
        if "configMap" in volume:
            assert volume["configMap"]["name"] in of_kind("ConfigMap", JOB)


@PODS
def test_environment_holds_no_secret_and_points_into_mounts(template, claimed):
    for container in template["spec"]["containers"]:
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        for variable in container.get("env", []):
            value = variable["value"]
            assert not re.search(r"PASSWORD$|TOKEN$|_KEY$", variable["name"])
            if value.startswith("/"):
                assert any(value.startswith(mount) for mount in mounts), variable


@pytest.mark.parametrize("name", ["mlflow", "postgres"])
def test_services_reach_their_pods_by_named_ports(name):
    service = of_kind("Service")[name]
    owner = (of_kind("Deployment") | of_kind("StatefulSet"))[name]
    labels = owner["spec"]["template"]["metadata"]["labels"]
    for selector in (service["spec"]["selector"], owner["spec"]["selector"]["matchLabels"]):
        assert selector
        assert selector.items() <= labels.items()
    others = [t for title, t, _ in workloads() if not title.endswith(f"-{name}")]
    for other in others:
        assert not service["spec"]["selector"].items() <= other["metadata"]["labels"].items()
    container = owner["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for port in service["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert probe in container
        if "httpGet" in container[probe]:
            assert container[probe]["httpGet"]["port"] in ports


def test_addresses_are_those_of_the_services():
    port = of_kind("Service")["mlflow"]["spec"]["ports"][0]["port"]
    for document in RAY:
        head = cluster_spec(document)["headGroupSpec"]["template"]["spec"]["containers"][0]
        environment = {variable["name"]: variable["value"] for variable in head["env"]}
        assert environment["MLFLOW_TRACKING_URI"] == f"http://mlflow:{port}"
    server = (CLUSTER / "docker" / "mlflow-server").read_text()
    assert "@postgres:5432/mlflow" in server
    assert of_kind("Service")["postgres"]["spec"]["ports"][0]["port"] == 5432
    assert of_kind("StatefulSet")["postgres"]["spec"]["serviceName"] == "postgres"


def allowed(policy):
    """Pod labels that may come in, and the ports; labels in another namespace count as well."""
    found = []
    for rule in policy["spec"]["ingress"]:
        ports = {port["port"] for port in rule.get("ports", [])}
        for peer in rule["from"]:
            found.append((peer["podSelector"]["matchLabels"], ports))
    return found


def test_network_policies_let_in_ray_to_mlflow_and_mlflow_to_postgres_alone():
    policies = of_kind("NetworkPolicy")
    closed = policies["nothing-comes-in"]["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress"]}
    app = "app.kubernetes.io/name"
    ray = {"ray.io/is-ray-node": "yes"}
    assert allowed(policies["mlflow-reaches-postgres"]) == [({app: "mlflow"}, {5432})]
    assert allowed(policies["ray-reaches-mlflow"]) == [
        (ray, {5000}),
        ({app: "mlflow-account"}, {5000}),
    ]
    assert allowed(policies["ray-reaches-ray"]) == [
        (ray, set()),
        ({app: "kuberay-operator"}, {8265}),
        ({"rnnlane/role": "submitter"}, {8265}),
    ]
    # What a policy selects must be there, or it protects nothing.
    labels = [template["metadata"]["labels"] for _, template, _ in workloads()]
    for policy in policies.values():
        selected = policy["spec"]["podSelector"].get("matchLabels", {})
        assert selected == ray or any(selected.items() <= found.items() for found in labels)
    assert any("submitter" in found.values() for found in labels)


@pytest.mark.parametrize("document", RAY, ids=title)
def test_ray_asks_for_the_token_and_has_the_pinned_version(document):
    spec = cluster_spec(document)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == pinned()["ray"]
    head = spec["headGroupSpec"]
    assert head["rayStartParams"] == {"num-cpus": "0"}
    ports = {p["containerPort"] for p in head["template"]["spec"]["containers"][0]["ports"]}
    assert {6379, 8265, 10001} == ports
    for group in spec["workerGroupSpecs"]:
        mounts = [m["name"] for m in group["template"]["spec"]["containers"][0]["volumeMounts"]]
        assert mounts == ["storage"], "workers see no credentials"
        assert group["template"]["spec"]["automountServiceAccountToken"] is False


def test_images_are_of_this_version_and_of_compose():
    compose = (CLUSTER / "docker" / "compose.yaml").read_text()
    for _, template, _ in workloads():
        for container in template["spec"]["containers"]:
            image = container["image"]
            assert image == f"rnnlane:{VERSION}" or f"image: {image}\n" in compose


def test_standing_cluster_has_gpu_workers_from_zero():
    (cluster,) = of_kind("RayCluster").values()
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    groups = {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}
    gpu = groups["gpu"]
    assert (gpu["minReplicas"], gpu["replicas"]) == (0, 0)
    assert gpu["maxReplicas"] > 0
    resources = gpu["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"


def test_storage_can_be_shared():
    claim = of_kind("PersistentVolumeClaim")["rnnlane-storage"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.fixture
def kustomized(tmp_path):
    """What kubectl would apply, by overlay."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    copy = shutil.copytree(
        CLUSTER / "kubernetes", tmp_path / "kubernetes", ignore=shutil.ignore_patterns("secrets")
    )
    secrets = copy / "base" / "secrets"
    subprocess.run([CLUSTER / "make-secrets", secrets], check=True, capture_output=True)

    def build(overlay):
        done = subprocess.run(
            ["kubectl", "kustomize", copy / overlay], check=True, capture_output=True, text=True
        )
        return list(yaml.safe_load_all(done.stdout))

    return build


@pytest.mark.parametrize("overlay", ["base", "kueue"])
def test_kustomize_builds_valid_objects_of_one_namespace(kustomized, overlay):
    built = kustomized(overlay)
    assert len(built) == len(STATIC) + 1
    for document in built:
        if document["apiVersion"] == "ray.io/v1":
            validate_ray(document)
        else:
            validate_kubernetes(document)
        if document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] == "rnnlane"
    assert set(of_kind("Secret", built)["rnnlane-secrets"]["data"]) == SECRET_KEYS
    (cluster,) = of_kind("RayCluster", built).values()
    queued = "kueue.x-k8s.io/queue-name" in cluster["metadata"]["labels"]
    assert queued == (overlay == "kueue")
    assert bool(cluster["spec"].get("enableInTreeAutoscaling")) != queued


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("base/raycluster.yaml", "--cluster"),
        ("rayjob.yaml", "experiments/demo.yaml"),
    ],
)
def test_files_are_what_the_command_prints(file, arguments):
    from rnnlane.config import load_experiment
    from rnnlane.jobs.kubernetes_manifest import (
        Placement,
        as_yaml,
        cluster_manifest,
        job_manifests,
    )

    placement = Placement(f"rnnlane:{VERSION}")
    if arguments == "--cluster":
        made = [cluster_manifest(placement)]
    else:
        made = job_manifests(load_experiment(ROOT / arguments), placement)
    expected = f"# Made by: rnnlane manifest {arguments}\n{as_yaml(made)}\n"
    assert (CLUSTER / "kubernetes" / file).read_text() == expected, (
        f"rnnlane manifest {arguments} prints what belongs into {file}"
    )
