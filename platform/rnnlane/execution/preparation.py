"""Preparing data on a cluster whose nodes may be lost meanwhile."""

from __future__ import annotations

import time

from ray.exceptions import RayError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.prepare.pipeline import prepare
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.data.prepare.purpose import CLASSIFICATION, Purpose
from rnnlane.execution.restart_policy import RestartPolicy
from rnnlane.ray_cluster import connect as cluster
from rnnlane.records.events import RunEvents


def prepare_on_ray(
    config: ExperimentConfig,
    *,
    storage: str,
    events: RunEvents,
    purpose: Purpose = CLASSIFICATION,
) -> PreparedData:
    """Prepares data on the connected Ray, again where a node or a worker was lost.

    Raises:
        DataError: the source cannot be read or used, or the storage cannot be written.
        JobError: preparing failed more often than ``runtime.max_restarts`` allows.
        ResourceError: a node has too little memory.
    """
    policy = RestartPolicy(
        config.runtime.max_restarts,
        work="preparing",
        plan="preparing again",
        remedy="look at the cluster's own logs, then run again",
    )
    nodes = cluster.alive_nodes()
    while True:
        try:
            return prepare(config, storage=storage, events=events, purpose=purpose)
        except RayError as error:
            # Its import takes seconds, so only where something has failed.
            from rnnlane.execution.restarts import describe_preparation_failure

            nodes = cluster.note_lost_nodes(nodes, events)
            restart = policy.decide(describe_preparation_failure(error))
        events.note(restart.note)
        time.sleep(restart.wait_s)
