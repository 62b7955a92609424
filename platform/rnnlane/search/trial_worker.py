"""What runs for one trial of a search, in a process that Ray Tune keeps for the next trial."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.execution.checkpoint_store import CheckpointStore
from rnnlane.execution.in_process import train_here
from rnnlane.ray_cluster.connect import HEALTH_CHECK_INTERVAL_S
from rnnlane.records.events import RunEvents
from rnnlane.training.memory import use_huge_pages


@dataclass(frozen=True)
class TrialOrder:
    """What a trial is to do; plain values, because Ray Tune writes them down.

    Attributes:
        number: of the trial.
        config: the experiment, as JSON; ``runtime`` says on how many workers.
        data: which of the data sets it trains on.
        checkpoints: folder or URI of its checkpoints.
        gpus_per_worker: may be a fraction; 0 trains on CPUs.
    """

    number: int
    config: str
    data: str
    checkpoints: str
    gpus_per_worker: float

    def to_setting(self) -> dict[str, str]:
        """As Ray Tune's config of one trial."""
        return {"order": json.dumps(asdict(self))}

    @classmethod
    def from_setting(cls, setting: dict[str, Any]) -> TrialOrder:
        """Back from Ray Tune's config."""
        return cls(**json.loads(setting["order"]))


def run_trial(setting: dict[str, Any], *, datasets: dict[str, Any]) -> None:
    """Trains one trial from its newest checkpoint on, and reports each epoch.

    Args:
        setting: a :class:`TrialOrder`.
        datasets: references to TrainingData without a test split, by name.
    """
    import ray

    use_huge_pages()
    order = TrialOrder.from_setting(setting)
    config = ExperimentConfig.model_validate_json(order.config)
    store = CheckpointStore(order.checkpoints)
    data = datasets[order.data]
    if config.runtime.num_workers == 1:
        train_here(config, ray.get(data), store=store, events=_Reporter())
        return
    # Late: a trial with one worker has no use for Ray Train.
    from rnnlane.execution.on_ray import train_on_ray

    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", HEALTH_CHECK_INTERVAL_S)
    reporter = _Reporter()
    outcome = train_on_ray(
        config,
        data,
        store=store,
        events=reporter,
        gpus_per_worker=order.gpus_per_worker,
    )
    # Epochs that came too late on the workers' own way.
    reporter.epoch(outcome.history)


class _Reporter(RunEvents):
    """Passes the epochs on to the search and waits for its verdict."""

    def epoch(self, history: list[dict[str, float]]) -> None:
        """Reports the whole history: after a retry the search may lack more than the last epoch."""
        import ray.tune

        ray.tune.report({"history": history})
