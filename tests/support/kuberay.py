"""KubeRay's rules for ``ray.io/v1``, written down from the API reference of KubeRay 1.6.

https://docs.ray.io/en/master/cluster/kubernetes/references/api.html, and the checks of its operator
(names, autoscaler v2 and restarts, authentication and Ray's version). Pod templates are
Kubernetes' own: they are checked as such against its published schema.
"""

import re
from typing import Any

import jsonschema
import kubernetes_validate
from packaging.version import Version

KUBERNETES = "1.30"
LONGEST_JOB_NAME, LONGEST_CLUSTER_NAME = 47, 53
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


_GROUP = {"rayStartParams": _STRINGS, "template": {"type": "object"}, "labels": _STRINGS}
CLUSTER_SPEC = _object(
    ["headGroupSpec"],
    rayVersion={"type": "string"},
    suspend={"type": "boolean"},
    authOptions=_object([], mode={"enum": ["token", "disabled"]}, secretName={"type": "string"}),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_object(
        [],
        version={"enum": ["v1", "v2"]},
        idleTimeoutSeconds=_COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        securityContext={"type": "object"},
        resources={"type": "object"},
    ),
    headGroupSpec=_object(
        ["template"],
        **_GROUP,
        serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        enableIngress={"type": "boolean"},
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            ["groupName", "minReplicas", "maxReplicas", "template"],
            **_GROUP,
            groupName={"type": "string"},
            replicas=_COUNT,
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            numOfHosts={"type": "integer", "minimum": 1},
            suspend={"type": "boolean"},
        ),
    },
)
JOB_SPEC = _object(
    ["entrypoint", "rayClusterSpec"],
    entrypoint={"type": "string", "minLength": 1},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate={"type": "object"},
    backoffLimit=_COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=_COUNT,
    suspend={"type": "boolean"},
    rayClusterSpec=CLUSTER_SPEC,
)


def validate_kubernetes(manifest: dict[str, Any]) -> None:
    """Checks an object against Kubernetes' schema; unknown keys are refused."""
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def validate_ray(manifest: dict[str, Any]) -> None:
    """Checks a RayCluster or RayJob as KubeRay's CRDs and operator do."""
    assert manifest["apiVersion"] == "ray.io/v1"
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    is_job = manifest["kind"] == "RayJob"
    jsonschema.validate(manifest["spec"], JOB_SPEC if is_job else CLUSTER_SPEC)
    name = manifest["metadata"]["name"]
    assert _DNS_1035.fullmatch(name), name
    assert len(name) <= (LONGEST_JOB_NAME if is_job else LONGEST_CLUSTER_NAME), name
    for template in templates(manifest):
        _validate_template(template)
    spec = cluster_spec(manifest)
    _check_groups(spec)
    if is_job:
        submitter = manifest["spec"].get("submitterPodTemplate")
        if submitter is not None:
            assert submitter["spec"]["restartPolicy"] in {"Never", "OnFailure"}
        if manifest["spec"].get("suspend") or "kueue.x-k8s.io/queue-name" in labels(manifest):
            # Kueue starts a job by ending its suspension.
            assert manifest["spec"]["shutdownAfterJobFinishes"] is True
    if "kueue.x-k8s.io/queue-name" in labels(manifest):
        assert not spec.get("enableInTreeAutoscaling"), "Kueue refuses autoscaling"


def cluster_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    """The part that describes Ray's pods."""
    spec = manifest["spec"]
    return spec["rayClusterSpec"] if manifest["kind"] == "RayJob" else spec


def labels(manifest: dict[str, Any]) -> dict[str, str]:
    return manifest["metadata"].get("labels", {})


def templates(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod templates: the head's, each worker group's, and the submitter's."""
    spec = cluster_spec(manifest)
    groups = [spec["headGroupSpec"], *spec.get("workerGroupSpecs", [])]
    found = [group["template"] for group in groups]
    if "submitterPodTemplate" in manifest["spec"]:
        found.append(manifest["spec"]["submitterPodTemplate"])
    return found


def _validate_template(template: dict[str, Any]) -> None:
    assert set(template) <= {"metadata", "spec"}
    validate_kubernetes({"apiVersion": "v1", "kind": "Pod", **template})


def _check_groups(spec: dict[str, Any]) -> None:
    if spec.get("authOptions", {}).get("mode") == "token":
        assert Version(spec["rayVersion"]) >= Version("2.52.0")
    names = [group["groupName"] for group in spec["workerGroupSpecs"]]
    assert len(names) == len(set(names))
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        if spec.get("enableInTreeAutoscaling"):
            assert pod.get("restartPolicy", "Never") == "Never", "autoscaler v2"
        assert not {"labels", "redis-username"} & set(group.get("rayStartParams", {}))
    options = spec.get("autoscalerOptions")
    if options is not None:
        assert spec.get("enableInTreeAutoscaling") is True
        container = {
            "name": "autoscaler",
            "image": "x",
            "securityContext": options["securityContext"],
            "resources": options["resources"],
        }
        _validate_template({"metadata": {}, "spec": {"containers": [container]}})
