"""Runs the trials of a study on Ray Tune: Tune runs the processes, the study decides."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from rnnlane.errors import first_line
from rnnlane.ray_cluster.capacity import worker_resources
from rnnlane.ray_cluster.internals import tune_trial_error
from rnnlane.search.dispatcher import TrialDispatcher, TrialEvents
from rnnlane.search.study import TrialSpec, TrialStudy
from rnnlane.search.trial_worker import TrialTask, run_trial

_TUNE_SETTINGS = {
    # rnnlane handles Ctrl-C; Tune's handler would wait until every trial has been stopped.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # The study stores the state; Tune's own snapshots would grow with every trial.
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
_REASON_LENGTH = 500


@dataclass(frozen=True)
class TrialResources:
    """What each trial of a search gets.

    Attributes:
        num_workers: DDP workers of a trial; with 1, processes are reused between trials.
        cpus_per_worker: CPUs that Ray reserves for a worker.
        gpus_per_worker: GPUs that Ray reserves for a worker; may be a fraction.
        max_concurrent: trials at once.
        max_retries: times a failed trial continues from its checkpoint.
    """

    num_workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    max_concurrent: int
    max_retries: int


def run_trials(
    study: TrialStudy,
    *,
    resources: TrialResources,
    datasets: dict[str, Any],
    make_task: Callable[[TrialSpec], TrialTask],
    deadline: float,
    scratch: Path,
    events: TrialEvents,
) -> None:
    """Runs the remaining trials of a study; Ray must be connected.

    Args:
        study: gives the trials and stores their epochs.
        resources: what each trial gets.
        datasets: references to TrainingData, by name.
        make_task: describes a trial to the process that trains it.
        deadline: when running trials are cut, at the end of their epoch; of time.monotonic().
        scratch: folder for Tune's own files.
        events: gets every event of the trials.
    """
    if study.num_remaining == 0 or time.monotonic() >= deadline:
        return
    os.environ.update(_TUNE_SETTINGS)
    dispatcher = TrialDispatcher(
        study,
        make_task=make_task,
        events=events,
        max_running=resources.max_concurrent,
        max_requeues=resources.max_retries,
        deadline=deadline,
    )
    is_shared = resources.num_workers == 1
    # A trial with workers of its own only waits for them, but Tune refuses an empty reservation.
    reserved: dict[str, float] = {"memory": 1}
    if is_shared:
        reserved = worker_resources(resources.cpus_per_worker, resources.gpus_per_worker)
    trainable = tune.with_resources(tune.with_parameters(run_trial, datasets=datasets), reserved)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_Searcher(dispatcher),
            scheduler=_Scheduler(dispatcher),
            # Unlimited: the searcher ends the search.
            num_samples=-1,
            reuse_actors=is_shared,
            trial_name_creator=lambda trial: f"trial-{trial.trial_id}",
            trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch.absolute()),
            failure_config=tune.FailureConfig(max_failures=resources.max_retries),
            verbose=0,
        ),
    )
    # It warns that the result files of loggers that are off are missing.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    # It names failed trials by Tune's ids, which mean nothing to a user; the events report them.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    tuner.fit()


class _Searcher(Searcher):
    """Gives Ray Tune the trials of the study."""

    def __init__(self, dispatcher: TrialDispatcher):
        super().__init__()
        self._dispatcher = dispatcher

    def suggest(self, trial_id: str) -> Any:
        """Tune's config of the next trial; None for not now."""
        if self._dispatcher.is_full:
            return None
        task = self._dispatcher.ask(trial_id)
        return Searcher.FINISHED if task is None else asdict(task)

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # noqa: ARG002 (given by name)
        error: bool = False,
    ) -> None:
        """The only call by which Tune reports that a failed trial will not be retried."""
        if error:
            self._dispatcher.fail(trial_id)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save: the study is on the disk."""


class _Scheduler(FIFOScheduler):
    """Passes results and ends to the dispatcher, and its decision to stop a trial to Tune."""

    # A trial continues only after the decision about its report.
    _supports_buffered_results = False

    def __init__(self, dispatcher: TrialDispatcher):
        super().__init__()  # type: ignore[no-untyped-call]
        self._dispatcher = dispatcher

    def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if "failure" in result:
            self._dispatcher.note_error(trial.trial_id, result["failure"][:_REASON_LENGTH])
            self._dispatcher.fail(trial.trial_id)
            return str(TrialScheduler.STOP)
        if result.get("done") or "history" not in result:
            return str(TrialScheduler.CONTINUE)
        for use in result["system_uses"]:
            self._dispatcher.pass_on(use)
        stop = self._dispatcher.report(trial.trial_id, result["history"])
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, _controller: Any, trial: Any, _result: dict[str, Any]) -> None:
        self._dispatcher.end(trial.trial_id, "finished")

    def on_trial_error(self, _controller: Any, trial: Any) -> None:
        # Also called for a trial that will continue from its checkpoint.
        self._dispatcher.note_error(trial.trial_id, _failure_reason(trial))
        if trial.status == Trial.PENDING:
            # The reused process died after its previous trial. Tune gives up on such a trial
            # whatever max_failures is, so the study's trial runs again as another trial of Tune's.
            self._dispatcher.requeue(trial.trial_id)


def _failure_reason(trial: Any) -> str:
    """What went wrong last, in one line."""
    error = tune_trial_error(trial)
    if error is None:
        return "it could not be started"
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RayActorError):
        return "its process was lost"
    return first_line(cause)[:_REASON_LENGTH]
