"""Manifests for KubeRay, as plain values: an experiment's RayJob, or a permanent RayCluster.

The files of ``cluster/kubernetes`` are this module's output; a test compares them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import yaml

from rnnlane.config import ExperimentConfig
from rnnlane.config.fingerprint import fingerprint
from rnnlane.errors import ConfigError, redact
from rnnlane.jobs.submission import job_fingerprint, job_verb
from rnnlane.ray_cluster.capacity import WAIT_VARIABLE

HOME = "/var/lib/rnnlane"
EXPERIMENT_FOLDER = "/etc/rnnlane"
EXPERIMENT_FILE = f"{EXPERIMENT_FOLDER}/experiment.yaml"
SECRETS = "/run/secrets"
NAMESPACE = "rnnlane"
USER_ID = 1000
BUILT_IN_STOP_WORDS = {"off", "english", "english_keep_negations"}
LARGEST_STANDING = 8
WAIT_FOR_NODES_S = 900
HEAD_MEMORY = WORKER_MEMORY = "4Gi"
# KubeRay allows 47 characters: it makes the names of clusters and Services from a job's.
_LONGEST_NAME = 47
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Placement:
    """Image, namespace and queue of an experiment in a Kubernetes cluster.

    Attributes:
        image: with rnnlane and its dependencies; built from ``cluster/docker``.
        namespace: must have the volume and the secrets of ``cluster/kubernetes/base``.
        queue: Kueue's LocalQueue that admits the job; None for no queue.
        priority: Kueue's WorkloadPriorityClass; needs a queue.

    Raises:
        ConfigError: a name that Kubernetes would refuse, or a priority without a queue.
    """

    image: str
    namespace: str = NAMESPACE
    queue: str | None = None
    priority: str | None = None

    def __post_init__(self) -> None:
        if not self.image or any(character.isspace() for character in self.image):
            raise ConfigError(
                f"an image is a name without blanks, but got {self.image!r}",
                where="--image",
                remedy="for example --image registry.example.org/rnnlane:0.6.0",
            )
        for option in ("namespace", "queue", "priority"):
            name = getattr(self, option)
            if name is not None and _LABEL.fullmatch(name) is None:
                raise ConfigError(
                    "a name in Kubernetes has at most 63 of a-z, 0-9 and inner dashes, "
                    f"but got {name!r}",
                    where=f"--{option}",
                )
        if self.priority is not None and self.queue is None:
            raise ConfigError(
                f"a priority ranks jobs within a queue, but got {self.priority!r} and no queue",
                where="--priority",
                remedy="add --queue NAME",
            )

    @property
    def labels(self) -> dict[str, str]:
        """Kueue's labels of a workload."""
        labels = {"queue-name": self.queue, "priority-class": self.priority}
        return {f"kueue.x-k8s.io/{key}": value for key, value in labels.items() if value}


@dataclass(frozen=True)
class WorkerGroup:
    """Pods of one kind: how many at least and at most, and the resources of each."""

    name: str
    least: int
    most: int
    cpus: int
    gpus: int


def default_image() -> str:
    """The image that ``cluster/docker`` builds for this version."""
    return f"rnnlane:{metadata.version('rnnlane')}"


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes a text of several lines as a block."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _represent_text)


def as_yaml(manifests: list[Manifest]) -> str:
    """The manifests as one YAML stream, without the last line break."""
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 100}
    text: str = yaml.dump_all(manifests, Dumper=_Dumper, **options)
    return text.rstrip()


def job_manifests(config: ExperimentConfig, placement: Placement) -> list[Manifest]:
    """A ConfigMap with the experiment, and the RayJob that runs it on a cluster of its own.

    If the head pod is lost, KubeRay makes a new cluster and ``--resume`` restarts from the last
    checkpoint.

    Raises:
        ConfigError: the experiment contains a password, or a path that no pod has.
    """
    _check_portable(config)
    name = job_name(config, image=placement.image)
    # Kueue reserves a job's resources at its start; it would not know of the autoscaler's requests.
    autoscaling = placement.queue is None
    job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(name, placement),
        "spec": {
            "entrypoint": f"python -m rnnlane {job_verb(config)} {EXPERIMENT_FILE} --resume",
            "backoffLimit": 2,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "submitterPodTemplate": _submitter(placement.image),
            "rayClusterSpec": _cluster_spec(
                [_workers_of(config)], placement.image, experiment=name, autoscaling=autoscaling
            ),
        },
    }
    return [_config_map(name, config, placement), job]


def cluster_manifest(placement: Placement) -> Manifest:
    """A permanent RayCluster for ``rnnlane submit``, with CPU and GPU pods as needed."""
    groups = [
        WorkerGroup("cpu", least=0, most=LARGEST_STANDING, cpus=2, gpus=0),
        WorkerGroup("gpu", least=0, most=LARGEST_STANDING, cpus=4, gpus=1),
    ]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": _metadata("rnnlane", placement),
        "spec": _cluster_spec(groups, placement.image, autoscaling=placement.queue is None),
    }


def job_name(config: ExperimentConfig, *, image: str) -> str:
    """The same for the same experiment and image, so that applying a file twice makes one job.

    Another image has other code, whose result the job of the first would not be.
    """
    digest = fingerprint([job_fingerprint(config), image])[:8]
    words = re.sub(r"[^a-z0-9]+", "-", config.name.lower()).strip("-")
    room = _LONGEST_NAME - len("rnnlane--") - len(digest)
    return f"rnnlane-{words[:room].rstrip('-')}-{digest}"


def worker_range(config: ExperimentConfig) -> tuple[int, int]:
    """Fewest and most workers that the experiment runs with; at least one.

    A search needs those of all trials that run at once, if ``search.max_concurrent`` is set.
    """
    runtime, search = config.runtime, config.search
    least, most = runtime.min_workers, runtime.max_workers
    if search is not None:
        most = max(most, search.workers_per_trial * (search.max_concurrent or 1))
        least = most
    return max(1, least), max(1, most)


def _check_portable(config: ExperimentConfig) -> None:
    uri = config.tracking.uri
    if uri is not None and redact(uri) != uri:
        raise ConfigError(
            f"a manifest may contain no passwords, but got {redact(uri)!r}",
            where="tracking.uri",
            remedy="leave user and password out; the cluster has them in its secret",
        )
    if config.search is None and config.runtime.num_workers == "auto":
        raise ConfigError(
            "a manifest makes the cluster and needs the number of its workers, but got auto",
            where="runtime.num_workers",
            remedy="set a number, or [min, max]",
        )
    stop_words, unlabeled = config.text.stop_words, config.data.unlabeled
    more = {} if unlabeled is None else unlabeled.source.locations
    paths = {
        **{f"data.source.{key}": value for key, value in config.data.source.locations.items()},
        **{f"data.unlabeled.source.{key}": value for key, value in more.items()},
        "text.stop_words": None if stop_words in BUILT_IN_STOP_WORDS else stop_words,
        "model.pretrained_vectors": config.model.pretrained_vectors,
        "runtime.storage_path": config.runtime.storage_path,
    }
    for key, path in paths.items():
        if path is not None and "://" not in path and not path.startswith("/"):
            raise ConfigError(
                f"a pod has no working directory of yours, but got the path {path!r}",
                where=key,
                remedy=f"give a URI, or a path on the shared volume, such as {HOME}/{path}",
            )


def _workers_of(config: ExperimentConfig) -> WorkerGroup:
    """One pod per worker. ``device: auto`` means CPUs here: the job makes its own cluster."""
    least, most = worker_range(config)
    search, wants_gpu = config.search, config.runtime.device == "gpu"
    cpus, gpus = config.runtime.cpus_per_worker, float(wants_gpu)
    if search is not None:
        cpus = max(cpus, search.cpus_per_worker)
        gpus = gpus if search.gpus_per_worker is None else search.gpus_per_worker
    return WorkerGroup("workers", least, most, math.ceil(cpus), math.ceil(gpus))


def _metadata(name: str, placement: Placement) -> Manifest:
    labels = {"app.kubernetes.io/part-of": "rnnlane", **placement.labels}
    return {"name": name, "namespace": placement.namespace, "labels": labels}


def _config_map(name: str, config: ExperimentConfig, placement: Placement) -> Manifest:
    plain = config.model_dump(mode="json", exclude_unset=True)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    place = {"name": name, "namespace": placement.namespace}
    labels = {"app.kubernetes.io/part-of": "rnnlane"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**place, "labels": labels},
        "data": {"experiment.yaml": text},
    }


def _cluster_spec(
    groups: list[WorkerGroup], image: str, *, experiment: str | None = None, autoscaling: bool
) -> Manifest:
    spec: Manifest = {
        "rayVersion": metadata.version("ray"),
        # KubeRay makes the token, a secret named like the cluster, and hands it to every pod.
        "authOptions": {"mode": "token"},
    }
    if autoscaling and any(group.least < group.most for group in groups):
        spec["enableInTreeAutoscaling"] = True
        spec["autoscalerOptions"] = {
            "version": "v2",
            "idleTimeoutSeconds": 300,
            "securityContext": _container_security(),
            "resources": _resources(cpu="500m", memory="1Gi"),
        }
    waits = autoscaling and experiment is None
    spec["headGroupSpec"] = {
        # No workers on the head: one that runs out of memory would end the driver as well.
        "rayStartParams": {"num-cpus": "0"},
        "template": _head(image, experiment, waits=waits),
    }
    spec["workerGroupSpecs"] = [_worker_group(group, image) for group in groups]
    return spec


def _head(image: str, experiment: str | None, *, waits: bool) -> Manifest:
    mounts = [_mount("storage", HOME), _mount("credentials", f"{SECRETS}/mlflow", read_only=True)]
    volumes = [_storage(), _credentials()]
    if experiment is not None:
        mounts.append(_mount("experiment", EXPERIMENT_FOLDER, read_only=True))
        volumes.append({"name": "experiment", "configMap": {"name": experiment}})
    head = _container("ray-head", image, cpu="2", memory=HEAD_MEMORY)
    ports = {"gcs-server": 6379, "dashboard": 8265, "client": 10001}
    head["ports"] = [{"name": name, "containerPort": port} for name, port in ports.items()]
    head["env"] = [
        {"name": "RNNLANE_HOME", "value": HOME},
        {"name": "RNNLANE_CREDENTIALS_FILE", "value": f"{SECRETS}/mlflow/mlflow_credentials"},
        {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"},
    ]
    if waits:
        head["env"].append({"name": WAIT_VARIABLE, "value": str(WAIT_FOR_NODES_S)})
    head["volumeMounts"] = mounts
    return _pod(head, volumes)


def _worker_group(group: WorkerGroup, image: str) -> Manifest:
    worker = _container("ray-worker", image, cpu=str(group.cpus), memory=WORKER_MEMORY)
    worker["env"] = [{"name": "RNNLANE_HOME", "value": HOME}]
    worker["volumeMounts"] = [_mount("storage", HOME)]
    pod = _pod(worker, [_storage()])
    pod["spec"]["automountServiceAccountToken"] = False
    if group.gpus:
        for amounts in worker["resources"].values():
            amounts["nvidia.com/gpu"] = str(group.gpus)
        pod["spec"]["tolerations"] = [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]
    return {
        "groupName": group.name,
        "replicas": group.least,
        "minReplicas": group.least,
        "maxReplicas": group.most,
        "rayStartParams": {},
        "template": pod,
    }


def _submitter(image: str) -> Manifest:
    container = _container("ray-job-submitter", image, cpu="500m", memory="1Gi")
    template = _pod(container, [])
    # The network policy lets pods with this label reach the dashboard.
    template["metadata"]["labels"]["rnnlane/role"] = "submitter"
    template["spec"] |= {"restartPolicy": "Never", "automountServiceAccountToken": False}
    return template


def _pod(container: Manifest, volumes: list[Manifest]) -> Manifest:
    spec: Manifest = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if volumes:
        spec["volumes"] = volumes
    return {"metadata": {"labels": {"app.kubernetes.io/part-of": "rnnlane"}}, "spec": spec}


def _container(name: str, image: str, *, cpu: str, memory: str) -> Manifest:
    return {
        "name": name,
        "image": image,
        "securityContext": _container_security(),
        "resources": _resources(cpu=cpu, memory=memory),
    }


def _container_security() -> Manifest:
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def _resources(*, cpu: str, memory: str) -> Manifest:
    """Equal requests and limits: KubeRay reports the limits to Ray, which relies on them."""
    return {key: {"cpu": cpu, "memory": memory} for key in ("requests", "limits")}


def _mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _storage() -> Manifest:
    return {"name": "storage", "persistentVolumeClaim": {"claimName": "rnnlane-storage"}}


def _credentials() -> Manifest:
    """The driver's MLflow account; only the head has it."""
    items = [{"key": "mlflow_credentials", "path": "mlflow_credentials"}]
    secret = {"secretName": "rnnlane-secrets", "items": items, "defaultMode": 0o440}
    return {"name": "credentials", "secret": secret}
