"""Trains one trial of a search, in a process that Ray Tune reuses for the next trial."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.errors import JobError, RnnlaneError
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.in_process import train_in_process
from rnnlane.ray_cluster.connect import HEALTH_CHECK_INTERVAL_S
from rnnlane.records.events import RunEvents
from rnnlane.records.system_use import SystemUse
from rnnlane.training.memory import set_torch_variables

MAX_SYSTEM_USES = 60


@dataclass(frozen=True)
class TrialTask:
    """The task of a trial's process: Ray Tune's config of the trial, hence plain values.

    Attributes:
        config: the experiment, as JSON; ``runtime`` has the number of workers.
        data: name of the data set to train on.
        checkpoints: folder or URI of its checkpoints.
        gpus_per_worker: may be a fraction; 0 trains on CPUs.
    """

    config: str
    data: str
    checkpoints: str
    gpus_per_worker: float


def run_trial(tune_config: dict[str, Any], *, datasets: dict[str, Any]) -> None:
    """Trains one trial from its newest checkpoint on, and reports each epoch.

    An error that would come again is reported as well; Ray Tune tries again after any other.

    Args:
        tune_config: the fields of a :class:`TrialTask`.
        datasets: references to TrainingData without a test split, by name.

    Raises:
        JobError: Ray gave up on the trial's workers.
    """
    import ray.tune

    failure = None
    try:
        _train(tune_config, datasets)
    except JobError:
        raise
    except RnnlaneError as error:
        failure = str(error)
    # Not before the error is gone, whose traceback holds the trial's tensors: the next trial in
    # this process may start while the report has not returned.
    if failure is not None:
        ray.tune.report({"failure": failure})


def _train(tune_config: dict[str, Any], datasets: dict[str, Any]) -> None:
    import ray

    set_torch_variables()
    task = TrialTask(**tune_config)
    config = ExperimentConfig.model_validate_json(task.config)
    store = CheckpointStore(task.checkpoints)
    data = datasets[task.data]
    if config.runtime.num_workers == 1:
        train_in_process(
            config,
            ray.get(data),
            store=store,
            events=_Reporter(),
            gpu_share=task.gpus_per_worker,
        )
        return
    # Imported here: a trial with one worker does not need Ray Train.
    from rnnlane.execution.on_ray import train_on_ray

    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", HEALTH_CHECK_INTERVAL_S)
    reporter = _Reporter()
    outcome = train_on_ray(
        config,
        data,
        store=store,
        events=reporter,
        gpus_per_worker=task.gpus_per_worker,
    )
    # The last epochs may not have reached the reporter while the workers ran.
    reporter.epoch(outcome.history)


class _Reporter(RunEvents):
    """Reports the epochs to the search; Ray Tune stops the process here if it decides so."""

    def __init__(self) -> None:
        # Those of an epoch that takes hours are too many for one report.
        self._system_uses: deque[SystemUse] = deque(maxlen=MAX_SYSTEM_USES)

    def epoch(self, history: list[dict[str, float]]) -> None:
        """Reports the whole history: after a retry the search may lack more than one epoch."""
        import ray.tune

        uses = [self._system_uses.popleft() for _ in range(len(self._system_uses))]
        ray.tune.report({"history": history, "system_uses": uses})

    def system_use(self, use: SystemUse) -> None:
        """Keeps a sample for the next report."""
        self._system_uses.append(use)
