"""Training in the driver itself, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.execution.checkpoint_store import CheckpointStore, errors_name
from rnnlane.execution.sampling import sampled
from rnnlane.execution.scratch import scratch_folder
from rnnlane.records.events import ForwardedEvents, RunEvents
from rnnlane.training.group import in_process
from rnnlane.training.loop import Outcome, TrainingData, TrainingLoop, run_training
from rnnlane.training.memory import limit_to_share, readable_memory_errors, set_torch_variables


class _LocalEvents(ForwardedEvents):
    """Passes events on, and adds checkpoints to the store."""

    def __init__(self, events: RunEvents, store: CheckpointStore):
        super().__init__(events)
        self._store = store
        self._attempt = store.next_attempt()

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        self._store.add(self._attempt, write)


def train_in_process(
    config: ExperimentConfig,
    data: TrainingData,
    *,
    store: CheckpointStore,
    events: RunEvents,
    gpu_share: float = 1.0,
    loop: TrainingLoop = run_training,
) -> Outcome:
    """Trains in this process, from the newest checkpoint in the store if there is one.

    Args:
        config: the experiment.
        data: what to train on.
        store: of the checkpoints.
        events: gets what happens.
        gpu_share: of the memory of one GPU, where others train on it as well; else 0 or 1.
        loop: the training loop.

    Raises:
        ResourceError: there is no GPU that is wanted, or too little memory.
    """
    set_torch_variables()
    group = in_process(config.runtime.device)
    if group.device.type == "cuda":
        limit_to_share(gpu_share)
    with (
        scratch_folder() as scratch,
        readable_memory_errors(gpu_share=gpu_share),
        sampled(config, group, events=events),
    ):
        start = store.fetch_latest(scratch)
        local_events = _LocalEvents(events, store)
        with errors_name(store.root):
            return loop(config, data, group=group, events=local_events, start=start)
