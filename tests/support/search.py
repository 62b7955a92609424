"""Small searches, and what they leave: the stored trials and the runs in MLflow."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

# One trial at a time, three rungs; a trial that is not cut short takes about a second.
SMALL: dict[str, Any] = {
    "name": "small-search",
    "tracking": {"system_metrics": False},
    "data": {"source": {"kind": "generated", "num_rows": 500}},
    "text": {"max_length": 40},
    "model": {"embedding_dim": 8, "hidden_size": 8},
    "training": {"epochs": 3, "learning_rate": 0.01},
    "runtime": {"num_workers": 1, "device": "cpu"},
}
SEARCH = {
    "algorithm": "optuna",
    "scheduler": "asha",
    "num_trials": 4,
    "max_concurrent": 1,
    "space": {
        "training.learning_rate": "loguniform(1e-3, 5e-2)",
        "model.hidden_size": "choice(8, 12)",
    },
}

_WITH_TIMES = {"seconds"}


def write_search(folder: Path, *, search: dict[str, Any] | None = None, **changes: Any) -> Path:
    """The small search with some sections changed."""
    values = {**SMALL, "search": {**SEARCH, **(search or {})}}
    for key, change in changes.items():
        values[key] = {**values[key], **change}
    file = folder / "small-search.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@dataclass(frozen=True)
class StoredTrial:
    """A trial in the search's file; ``end`` is ``running`` until its end is final."""

    end: str
    params: dict[str, Any]
    history: list[dict[str, float]]


def stored_trials(run_folder: Path | str, study: str = "trials") -> list[StoredTrial]:
    """The trials of a search by number; its driver may be running or dead."""
    file = Path(run_folder) / "trials.sqlite"
    query = (
        "SELECT trials.number, trials.state, attributes.key, attributes.value_json FROM trials "
        "JOIN studies USING (study_id) "
        "JOIN trial_user_attributes AS attributes USING (trial_id) "
        "WHERE study_name = ? ORDER BY trials.number"
    )
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        rows = connection.execute(query, (study,)).fetchall()
    found: dict[int, dict[str, Any]] = {}
    final = {number: state != "RUNNING" for number, state, _, _ in rows}
    for number, _, key, text in rows:
        found.setdefault(number, {})[key] = json.loads(text)
    return [_stored_trial(values, is_final=final[number]) for number, values in found.items()]


def _stored_trial(values: dict[str, Any], *, is_final: bool) -> StoredTrial:
    known = values.get("rnnlane", {"state": "running", "params": {}})
    epochs = sorted(int(key.removeprefix("epoch-")) for key in values if key.startswith("epoch-"))
    return StoredTrial(
        known["state"] if is_final else "running",
        known["params"],
        [values[f"epoch-{epoch}"] for epoch in epochs],
    )


def run_folder(home: Path) -> Path | None:
    """The folder of the one search of a home, once its trials are written down."""
    files = sorted(home.glob("runs/*/trials.sqlite"))
    assert len(files) <= 1, files
    return files[0].parent if files else None


def is_in_mid_search(home: Path) -> bool:
    """Whether two trials have ended, and one that runs has trained an epoch."""
    folder = run_folder(home)
    if folder is None:
        return False
    try:
        trials = stored_trials(folder)
    except sqlite3.OperationalError:
        return False
    ended = [trial for trial in trials if trial.end != "running"]
    return len(ended) >= 2 and len(trials[-1].history) >= 1 and trials[-1].end == "running"


def mark_checkpoints(home: Path, *, elapsed_s: float) -> int:
    """Adds to the time that the epoch under way has taken, in every checkpoint.

    An epoch that continues from a checkpoint includes that time; one of a trial that started over
    does not.

    Returns:
        How many epochs the newest checkpoint has.
    """
    most = 0
    for file in home.glob("checkpoints/**/checkpoint_*/state.json"):
        state = json.loads(file.read_text())
        most = max(most, len(state["history"]))
        file.write_text(json.dumps({**state, "elapsed_s": state["elapsed_s"] + elapsed_s}))
        file.with_name("checksums.json").unlink(missing_ok=True)
    return most


def table(result: dict[str, Any]) -> list[str]:
    """The search's table of trials, without times."""
    lines = (Path(result["run_folder"]) / "results" / "trials.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    kept = [index for index, name in enumerate(rows[0]) if name not in _WITH_TIMES]
    return [",".join(row[index] for index in kept) for row in rows]


def mlflow_runs(tracking_uri: str) -> tuple[Run, dict[str, Run]]:
    """The one search of a store and its trials by key; there must be nothing else."""
    client = MlflowClient(tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = [run for run in runs if run is not parents[0]]
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    by_key = {child.data.tags["rnnlane.trial_key"]: child for child in children}
    assert len(by_key) == len(children)
    return parents[0], by_key


def assert_mlflow_tells_the_truth(result: dict[str, Any]) -> None:
    """One run for each stored trial, with its end, its values and each epoch once."""
    client = MlflowClient(result["tracking_uri"])
    parent, children = mlflow_runs(result["tracking_uri"])
    assert parent.info.status == "FINISHED"
    assert parent.info.run_id == result["run_id"]
    prefix = Path(result["run_folder"]).name
    stored = stored_trials(result["run_folder"])
    trials = {f"{prefix}-{n:03d}": trial for n, trial in enumerate(stored)}
    others = {key for key in children if key.startswith((f"{prefix}-seed-", f"{prefix}-ablation-"))}
    assert children.keys() - others == trials.keys()
    for key, trial in trials.items():
        run = children[key]
        assert trial.end != "running"
        status = {"failed": "FAILED", "finished": "FINISHED"}.get(trial.end, "KILLED")
        assert run.info.status == status, key
        assert run.data.tags["rnnlane.trial_state"] == trial.end
        for name, value in trial.params.items():
            assert run.data.params[name] == str(value)
        points = client.get_metric_history(run.info.run_id, "val/accuracy")
        assert [point.step for point in points] == list(range(1, len(trial.history) + 1)), key
        values = [record["val/accuracy"] for record in trial.history]
        assert [point.value for point in points] == values, key


def assert_went_on_from(before: list[StoredTrial], after: list[StoredTrial]) -> None:
    """No epoch was trained again: every record is as it was written, times included."""
    for earlier, later in zip(before, after, strict=False):
        assert later.history[: len(earlier.history)] == earlier.history
        assert later.params == earlier.params
        if earlier.end != "running":
            assert later == earlier


def ray_processes(*names: str) -> list[psutil.Process]:
    """Processes of this process's Ray whose title starts with one of the names."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith(names):
                found.append(process)
        except psutil.Error:
            continue
    return found


def trial_processes(driver: int) -> list[psutil.Process]:
    """The processes that train a driver's trials."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if "ray::ImplicitFunc" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def poll(condition: Callable[[], Any], *, timeout_s: float) -> float | None:
    """Seconds until a condition is true; None if it is not within the timeout."""
    start = time.monotonic()
    while time.monotonic() < start + timeout_s:
        if condition():
            return time.monotonic() - start
        time.sleep(0.2)
    return None
