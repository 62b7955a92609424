"""Records of an outbox -> calls of MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from rnnlane.tracking.client import is_away, one_line
from rnnlane.tracking.outbox import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REASON_TAG = "rnnlane.reason"
KEY_TAG = "rnnlane.trial_key"
PARENT_TAG = "mlflow.parentRunId"

# Of what log_batch takes in one call.
MAX_METRICS = 1000
MAX_PARAMS = 100
MAX_TAGS = 100

_MAX_RUNS_PER_PAGE = 1000
# Who ran what: true of the trials as of the search, and costly to find out for each.
_INHERITED_TAGS = (
    "mlflow.user",
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.source.git.commit",
)


def trial_address(parent_run_id: str, key: str) -> str:
    """Stands for the run of a trial in a record, since it has no id before it is created.

    Args:
        parent_run_id: MLflow's id of the search's run.
        key: names the trial within the search.
    """
    return f"{parent_run_id}/{key}"


@dataclass
class _Trial:
    """The run of a trial.

    Attributes:
        steps: by metric the steps that the run has.
        is_known_whole: created here, so what is not in ``steps`` is not in the store.
    """

    run_id: str
    is_running: bool
    is_known_whole: bool
    steps: dict[str, set[int]] = field(default_factory=dict)


class MlflowDestination:
    """Sends records to their MLflow runs. To send one twice leaves the run as to send it once.

    A trial has one run, whichever process asks for it and how often: its key is a tag of the run,
    and before the first record of a search's trials its runs are listed. From then on this is the
    only writer, so nothing needs to be asked again, except after a request without an answer.
    """

    def __init__(self, client: MlflowClient):
        self._client = client
        self._parents: dict[str, Run] = {}
        self._trials: dict[str, _Trial] = {}

    def find_trials(self, parent_run_id: str) -> None:
        """Learns which trials of a search have runs, from the store."""
        parent = self._client.get_run(parent_run_id)
        for run in child_runs(self._client, parent):
            if KEY_TAG in run.data.tags:
                address = trial_address(parent_run_id, run.data.tags[KEY_TAG])
                is_running = run.info.status == "RUNNING"
                self._trials.setdefault(address, _Trial(run.info.run_id, is_running, False))
        self._parents[parent_run_id] = parent

    def trial_ids(self, parent_run_id: str, *, only_running: bool = False) -> dict[str, str]:
        """Run ids of a search's trials by key, as far as they were created or found."""
        prefix = trial_address(parent_run_id, "")
        # One step of the interpreter: another thread may add a trial.
        trials = self._trials.copy()
        return {
            address.removeprefix(prefix): trial.run_id
            for address, trial in trials.items()
            if address.startswith(prefix) and (trial.is_running or not only_running)
        }

    def deliver(self, record: Record, *, again: bool) -> None:
        """Makes one call, and a few more where what is there must be asked first, for a trial that
        begins, and for more values than MLflow takes at once.
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
            _log_texts(client, run_id, params=content)
        elif record.kind == "tags":
            _log_texts(client, run_id, tags=content)
        elif record.kind == "artifacts":
            client.log_artifacts(run_id, content["folder"], artifact_path=content["path"])
        else:
            client.set_terminated(run_id, content["status"], end_time=record.time_ms)
            if trial is not None:
                trial.is_running = False

    def is_away(self, error: Exception) -> bool:
        """See :func:`rnnlane.tracking.client.is_away`."""
        return is_away(error)

    def describe(self, error: Exception) -> str:
        """See :func:`rnnlane.tracking.client.one_line`."""
        return one_line(error)

    def _trial(self, record: Record) -> _Trial:
        parent_run_id, _, key = record.run_id.partition("/")
        if record.run_id not in self._trials and parent_run_id not in self._parents:
            self.find_trials(parent_run_id)
        if record.run_id not in self._trials:
            raise ValueError(f"the trial {key!r} has no run")
        return self._trials[record.run_id]

    def _deliver_create(self, record: Record, *, again: bool) -> None:
        """Creates the run of a trial, or reopens the one that is there."""
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
        inherited = {tag: tags[tag] for tag in _INHERITED_TAGS if tag in tags}
        run = self._client.create_run(
            parent.info.experiment_id,
            start_time=record.time_ms,
            tags={**inherited, **content["tags"], PARENT_TAG: parent_run_id, KEY_TAG: key},
            run_name=content["name"],
        )
        self._trials[record.run_id] = _Trial(run.info.run_id, True, True)
        _log_texts(self._client, run.info.run_id, params=content["params"])

    def _reopen(self, trial: _Trial, record: Record) -> None:
        run = self._client.get_run(trial.run_id)
        reopen_run(self._client, run)
        trial.is_running = True
        # Were one of them another than before, MLflow would refuse them all.
        params = {k: v for k, v in record.content["params"].items() if k not in run.data.params}
        _log_texts(self._client, trial.run_id, params=params, tags=record.content["tags"])

    def _deliver_metrics(
        self, record: Record, *, run_id: str, trial: _Trial | None, again: bool
    ) -> None:
        from mlflow.entities import Metric

        step, values = record.content["step"], record.content["values"]
        if trial is not None or again:
            values = {
                key: value
                for key, value in values.items()
                if step not in self._steps(key, run_id=run_id, trial=trial, again=again)
            }
        metrics = [Metric(key, value, record.time_ms, step) for key, value in values.items()]
        for start in range(0, len(metrics), MAX_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])
        if trial is not None:
            for key in values:
                trial.steps[key].add(step)

    def _steps(self, key: str, *, run_id: str, trial: _Trial | None, again: bool) -> set[int]:
        """The steps that a metric has; asks the store only where that is not known already."""
        if trial is None:
            return logged_steps(self._client, run_id, key=key)
        if again or not (trial.is_known_whole or key in trial.steps):
            trial.steps[key] = logged_steps(self._client, run_id, key=key)
        return trial.steps.setdefault(key, set())


def child_runs(client: MlflowClient, parent: Run) -> list[Run]:
    """The runs below a run, the oldest first."""
    found: list[Run] = []
    token: str | None = None
    while token is None or token:
        page = client.search_runs(
            [parent.info.experiment_id],
            f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'",
            max_results=_MAX_RUNS_PER_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        found += page
        token = page.token or ""
    return found


def reopen_run(client: MlflowClient, run: Run) -> None:
    """Makes a run RUNNING, without the reason of an earlier end."""
    client.update_run(run.info.run_id, status="RUNNING")
    if REASON_TAG in run.data.tags:
        client.delete_tag(run.info.run_id, REASON_TAG)


def logged_steps(client: MlflowClient, run_id: str, *, key: str) -> set[int]:
    """The steps for which a run has a value of one metric."""
    return {metric.step for metric in client.get_metric_history(run_id, key)}


def _log_texts(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Param, RunTag

    for part in _parts(params or {}, MAX_PARAMS):
        client.log_batch(run_id, params=[Param(key, value) for key, value in part])
    for part in _parts(tags or {}, MAX_TAGS):
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in part])


def _parts(values: Mapping[str, str], size: int) -> Iterator[list[tuple[str, str]]]:
    items = iter(values.items())
    while part := list(islice(items, size)):
        yield part
