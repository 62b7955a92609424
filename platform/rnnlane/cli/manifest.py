"""`rnnlane manifest`."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, Overrides
from rnnlane.config import load_experiment
from rnnlane.errors import ConfigError
from rnnlane.jobs.kubernetes_manifest import (
    NAMESPACE,
    Placement,
    as_yaml,
    cluster_manifest,
    default_image,
    job_manifests,
)

Experiment = Annotated[
    str | None, typer.Argument(metavar="EXPERIMENT", help="The experiment: a YAML file.")
]
Cluster = Annotated[
    bool, typer.Option("--cluster", help="Print a permanent RayCluster instead of a job.")
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image", metavar="IMAGE", help="Built from cluster/docker; default rnnlane:VERSION."
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Kubernetes namespace.")]
Queue = Annotated[
    str | None, typer.Option("--queue", metavar="NAME", help="The LocalQueue of Kueue to wait in.")
]
Priority = Annotated[
    str | None,
    typer.Option("--priority", metavar="NAME", help="The WorkloadPriorityClass of Kueue."),
]


def manifest(  # noqa: PLR0913, PLR0917 (each is an option)
    experiment: Experiment = None,
    overrides: Overrides = None,
    cluster: Cluster = False,
    image: Image = None,
    namespace: Namespace = NAMESPACE,
    queue: Queue = None,
    priority: Priority = None,
    as_json: Json = False,
) -> None:
    """Print the KubeRay job of an experiment: rnnlane manifest X.yaml | kubectl apply -f -.

    Examples:
        rnnlane manifest tickets.yaml --image REGISTRY/rnnlane:VERSION
        rnnlane manifest --cluster | kubectl apply -f -
    """
    if (experiment is None) != cluster:
        raise ConfigError(
            "a manifest describes one experiment or a cluster, but got "
            f"{'neither' if experiment is None else 'both'}",
            where="command line",
            remedy="give an experiment file, or --cluster",
        )
    placement = Placement(image or default_image(), namespace, queue, priority)
    if experiment is None:
        manifests = [cluster_manifest(placement)]
    else:
        manifests = job_manifests(load_experiment(experiment, overrides or ()), placement)
    if as_json:
        output.write_json({"apiVersion": "v1", "kind": "List", "items": manifests})
    else:
        output.write_file(as_yaml(manifests) + "\n")
