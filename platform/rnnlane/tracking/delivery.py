"""Turns the records of an outbox into calls of MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rnnlane.tracking.datasets import as_inputs
from rnnlane.tracking.internals import AUTHOR_TAGS, PARENT_TAG
from rnnlane.tracking.logged_model import log_model
from rnnlane.tracking.outbox import Record
from rnnlane.tracking.run_links import link_search, link_seed
from rnnlane.tracking.uploads import check_arrived

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

REASON_TAG = "rnnlane.reason"
KEY_TAG = "rnnlane.trial_key"

# Of what log_batch takes in one call.
MAX_METRICS = 1000
MAX_PARAMS = 100
MAX_TAGS = 100

_MAX_RUNS_PER_PAGE = 1000


def trial_address(parent_run_id: str, key: str) -> str:
    """Stands for the run of a trial in a record, since the run has no id before it is created.

    Args:
        parent_run_id: MLflow's id of the search's run.
        key: names the trial within the search.
    """
    return f"{parent_run_id}/{key}"


@dataclass
class _TrialRun:
    """The run of a trial.

    Attributes:
        is_new: created by this process, so that the store has nothing that ``steps`` lacks.
        params: keys of the params that it has.
        steps: the steps that the run has, by metric.
    """

    run_id: str
    is_running: bool
    is_new: bool
    params: set[str] = field(default_factory=set)
    steps: dict[str, set[int]] = field(default_factory=dict)


class MlflowDestination:
    """Sends records to their MLflow runs. Delivery is idempotent: twice has the effect of once.

    A trial has one run, no matter which process asks for it and how often: the key of the trial is
    a tag of the run, and the runs of a search are listed before the first record of a trial. After
    that this object is the only writer, so the store is asked again only after a request that got
    no answer.
    """

    def __init__(self, client: MlflowClient):
        self._client = client
        self._parents: dict[str, Run] = {}
        self._trials: dict[str, _TrialRun] = {}

    def find_trials(self, parent_run_id: str) -> None:
        """Reads from the store which trials of a search have runs."""
        parent = self._client.get_run(parent_run_id)
        for run in child_runs(self._client, parent):
            if KEY_TAG in run.data.tags:
                address = trial_address(parent_run_id, run.data.tags[KEY_TAG])
                is_running = run.info.status == "RUNNING"
                found = _TrialRun(run.info.run_id, is_running, False, set(run.data.params))
                self._trials.setdefault(address, found)
        self._parents[parent_run_id] = parent

    def trial_ids(self, parent_run_id: str, *, only_running: bool = False) -> dict[str, str]:
        """Run ids of a search's trials by key, of those that were created or listed so far."""
        prefix = trial_address(parent_run_id, "")
        # Copying is atomic; the sender's thread may add a trial meanwhile.
        trials = self._trials.copy()
        return {
            address.removeprefix(prefix): trial.run_id
            for address, trial in trials.items()
            if address.startswith(prefix) and (trial.is_running or not only_running)
        }

    def deliver(self, record: Record, *, again: bool) -> None:
        """Sends a record, mostly in one call.

        Args:
            record: what to send.
            again: the record may have been delivered already.

        Raises:
            Exception: whatever MLflow raises.
            TrackingError: the store took the files of a folder, but does not have them.
            ValueError: the record is of a trial that was never created.
        """
        if record.kind == "create":
            self._deliver_create(record, again=again)
            return
        trial = self._trial(record) if "/" in record.run_id else None
        client, content = self._client, record.content
        run_id = record.run_id if trial is None else trial.run_id
        if record.kind == "metrics":
            self._deliver_metrics(record, run_id=run_id, trial=trial, again=again)
        elif record.kind == "params":
            known = set() if trial is None else trial.params
            self._deliver_params(run_id, content, known=known)
        elif record.kind == "tags":
            _log_tags(client, run_id, content)
        elif record.kind == "datasets":
            client.log_inputs(run_id, datasets=as_inputs(content["datasets"]))
        elif record.kind == "search":
            link_search(client, run_id, content["run_id"])
        elif record.kind == "seed":
            link_seed(client, run_id, content["run_id"], seed=content["seed"])
        elif record.kind == "artifacts":
            _log_artifacts(client, run_id, Path(content["folder"]), path=content["path"])
        elif record.kind == "model":
            folder, best_epoch = Path(content["folder"]), content["best_epoch"]
            log_model(client, run_id, folder, best_epoch=best_epoch)
        else:
            client.set_terminated(run_id, content["status"], end_time=record.time_ms)
            if trial is not None:
                trial.is_running = False

    def _trial(self, record: Record) -> _TrialRun:
        parent_run_id, _, key = record.run_id.partition("/")
        if record.run_id not in self._trials and parent_run_id not in self._parents:
            self.find_trials(parent_run_id)
        if record.run_id not in self._trials:
            raise ValueError(f"the trial {key!r} has no run")
        return self._trials[record.run_id]

    def _deliver_create(self, record: Record, *, again: bool) -> None:
        """Creates the run of a trial, or reopens the existing one."""
        parent_run_id = record.run_id.partition("/")[0]
        if again or parent_run_id not in self._parents:
            self.find_trials(parent_run_id)
        trial = self._trials.get(record.run_id)
        if trial is None:
            self._create(record)
        else:
            self._reopen(trial, record)

    def _create(self, record: Record) -> None:
        parent_run_id, _, key = record.run_id.partition("/")
        parent, content = self._parents[parent_run_id], record.content
        tags = parent.data.tags
        # A trial has the same as its search; determining them for each would be slow.
        inherited = {tag: tags[tag] for tag in AUTHOR_TAGS if tag in tags}
        run = self._client.create_run(
            parent.info.experiment_id,
            start_time=record.time_ms,
            tags={**inherited, **content["tags"], PARENT_TAG: parent_run_id, KEY_TAG: key},
            run_name=content["name"],
        )
        trial = _TrialRun(run.info.run_id, is_running=True, is_new=True)
        self._trials[record.run_id] = trial
        self._describe(trial, record)

    def _reopen(self, trial: _TrialRun, record: Record) -> None:
        run = self._client.get_run(trial.run_id)
        reopen_run(self._client, run)
        trial.is_running = True
        trial.params |= run.data.params.keys()
        self._describe(trial, record)
        _log_tags(self._client, trial.run_id, record.content["tags"])

    def _describe(self, trial: _TrialRun, record: Record) -> None:
        """Logs the params and data sets that the record of a trial's creation has."""
        self._deliver_params(trial.run_id, record.content["params"], known=trial.params)
        # Records of an earlier version have none. MLflow takes the same ones twice.
        if datasets := record.content.get("datasets"):
            self._client.log_inputs(trial.run_id, datasets=as_inputs(datasets))

    def _deliver_params(self, run_id: str, params: Mapping[str, str], *, known: set[str]) -> None:
        """Logs the params that a run lacks, and adds them to the ``known`` ones."""
        # MLflow refuses all params of a call if one of them has another value than before.
        _log_params(self._client, run_id, {k: v for k, v in params.items() if k not in known})
        known.update(params)

    def _deliver_metrics(
        self, record: Record, *, run_id: str, trial: _TrialRun | None, again: bool
    ) -> None:
        from mlflow.entities import Metric

        step, values = record.content["step"], record.content["values"]
        # One more value of a whole run's metric does no harm: the newest counts.
        is_once = not record.content.get("replaces", False)
        if is_once and (trial is not None or again):
            values = {
                key: value
                for key, value in values.items()
                if step not in self._steps(key, run_id=run_id, trial=trial, again=again)
            }
        metrics = [Metric(key, value, record.time_ms, step) for key, value in values.items()]
        for part in _parts(metrics, MAX_METRICS):
            self._client.log_batch(run_id, metrics=part)
        if is_once and trial is not None:
            for key in values:
                trial.steps[key].add(step)

    def _steps(self, key: str, *, run_id: str, trial: _TrialRun | None, again: bool) -> set[int]:
        """The steps that a metric has; asks the store only where they are not known."""
        if trial is None:
            return logged_steps(self._client, run_id, key=key)
        if again or not (trial.is_new or key in trial.steps):
            trial.steps[key] = logged_steps(self._client, run_id, key=key)
        return trial.steps.setdefault(key, set())


def child_runs(client: MlflowClient, parent: Run) -> list[Run]:
    """The runs whose parent is ``parent``, the oldest first."""
    runs: list[Run] = []
    token: str | None = None
    while token is None or token:
        page = client.search_runs(
            [parent.info.experiment_id],
            f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'",
            max_results=_MAX_RUNS_PER_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        token = page.token or ""
    return runs


def reopen_run(client: MlflowClient, run: Run) -> None:
    """Sets a run to RUNNING and removes the reason of an earlier end."""
    client.update_run(run.info.run_id, status="RUNNING")
    if REASON_TAG in run.data.tags:
        client.delete_tag(run.info.run_id, REASON_TAG)


def logged_steps(client: MlflowClient, run_id: str, *, key: str) -> set[int]:
    """The steps at which a run has a value of a metric."""
    return {metric.step for metric in client.get_metric_history(run_id, key)}


def _log_artifacts(client: MlflowClient, run_id: str, folder: Path, *, path: str | None) -> None:
    """Sends the files of a folder, and looks whether they have arrived."""
    client.log_artifacts(run_id, str(folder), artifact_path=path)
    check_arrived(folder, partial(client.list_artifacts, run_id), path=path, where=f"run {run_id}")


def _log_params(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    for part in _parts([Param(key, value) for key, value in values.items()], MAX_PARAMS):
        client.log_batch(run_id, params=part)


def _log_tags(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    for part in _parts([RunTag(key, value) for key, value in values.items()], MAX_TAGS):
        client.log_batch(run_id, tags=part)


def _parts(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
