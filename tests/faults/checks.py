"""What a round leaves, as plain values that must equal what an undisturbed round leaves."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from faults.machine import HOME, Machine, StoreServer
from faults.targets import Target, records
from rnnlane.tracking.history import is_summary

_TIMES = ("time/", "throughput/", "search/")
_RESULT_TIMES = {"fit_s", "elapsed_s"}
# What was delivered later is not put right in a result.
_DIFFERENT = {
    "is_tracked",
    "run_id",
    "run_url",
    "runs_url",
    "run_folder",
    "model_uri",
    "best_config",
    "report",
    "tracking_uri",
}
_END_STATES = {"FINISHED", "FAILED", "KILLED"}


def outcome(store: StoreServer | None, identity: list[str] | None = None) -> dict[str, Any]:
    """The result and the MLflow runs of the first finished run of the home.

    Args:
        store: None: the embedded one.
        identity: fingerprints of the experiment and the data that it must have; None: any.

    Raises:
        AssertionError: there is none.
    """
    finished = [
        record
        for record in records()
        if record["state"] == "finished" and identity in (None, _identity(record))
    ]
    assert finished, f"no finished run: {[record['state'] for record in records()]}"
    record = min(finished, key=lambda record: record["created_at"])
    found = stored_runs(store)
    assert record["run_id"] in found, f"MLflow does not know the run {record['run_id']}"
    runs = {"run": found[record["run_id"]]}
    for run in found.values():
        if run["parent"] == record["run_id"]:
            role = run["trial"].removeprefix(record["key"])
            assert role not in runs, f"two MLflow runs of trial {role}"
            runs[role] = run
    for run in runs.values():
        del run["parent"], run["trial"]
    return {
        "identity": _identity(record),
        "result": _without_times(record["result"]),
        "files": dict(_results(record["folder"])),
        "runs": runs,
    }


def _identity(record: dict[str, Any]) -> list[str]:
    return [record["config_fingerprint"], record["data_fingerprint"]]


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_times(item)
            for key, item in sorted(value.items())
            if not key.startswith(_TIMES) and key not in _RESULT_TIMES | _DIFFERENT
        }
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


def _digest(artifact: Path) -> str | None:
    """Of weights; other artifacts hold times, or follow from the weights."""
    if artifact.suffix != ".safetensors":
        return None
    return hashlib.sha256(artifact.read_bytes()).hexdigest()


def _results(folder: Path) -> Iterator[tuple[str, str]]:
    """The run's table of trials without times."""
    for file in folder.glob("results/trials.csv"):
        rows = [line.split(",") for line in file.read_text().splitlines()]
        kept = [index for index, name in enumerate(rows[0]) if name != "seconds"]
        yield file.name, "\n".join(",".join(row[index] for index in kept) for row in rows)


def stored_runs(store: StoreServer | None) -> dict[str, dict[str, Any]]:
    """Every run of the store by id: status, params, points of each metric, artifacts."""
    database = HOME / "mlflow.db" if store is None else store.database
    artifacts = HOME / "mlartifacts" if store is None else database.parent / "artifacts"
    uri = f"file:{database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        query = connection.execute
        runs: dict[str, dict[str, Any]] = {
            run_id: {"status": status, "params": {}, "points": {}, "parent": None, "trial": ""}
            for run_id, status in query("SELECT run_uuid, status FROM runs")
        }
        for run_id, key, value in query("SELECT run_uuid, key, value FROM params"):
            runs[run_id]["params"][key] = value
        for run_id, key, value in query("SELECT run_uuid, key, value FROM tags"):
            if key == "mlflow.parentRunId":
                runs[run_id]["parent"] = value
            elif key == "rnnlane.trial_key":
                runs[run_id]["trial"] = value
        metrics = "SELECT run_uuid, key, step, value FROM metrics ORDER BY step, timestamp"
        for run_id, key, step, value in query(metrics):
            if not key.startswith(_TIMES):
                points = runs[run_id]["points"].setdefault(key, [])
                # Of the whole run's metrics the newest value counts; a resume may repeat some.
                points[:] = [[step, value]] if is_summary(key) else [*points, [step, value]]
    for run_id, run in runs.items():
        folders = [*artifacts.glob(f"{run_id}/artifacts"), *artifacts.glob(f"*/{run_id}/artifacts")]
        run["artifacts"] = {
            path.relative_to(folder).as_posix(): _digest(path)
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return runs


def problems(
    target: Target,
    expected: dict[str, Any],
    machine: Machine,
    *,
    may_add_runs: bool,
    was_killed: bool,
) -> list[str]:
    """What differs from an undisturbed round, and what should not be there."""
    found: list[str] = []
    try:
        found += differences(expected, outcome(machine.store, expected["identity"]), "")
    except AssertionError as error:
        found.append(str(error))
    runs = stored_runs(machine.store)
    open_runs = [run_id for run_id, run in runs.items() if run["status"] not in _END_STATES]
    # A run whose record was damaged cannot be known to be dead.
    if open_runs and not may_add_runs:
        found.append(f"MLflow runs that are not ended: {open_runs}")
    parents = [run_id for run_id, run in runs.items() if run["parent"] is None]
    if target.is_resumable and not may_add_runs and len(parents) != 1:
        states = [runs[run_id]["status"] for run_id in parents]
        found.append(f"one MLflow run is wanted, but there are {len(parents)}: {states}")
    found += [f"not closed: {record['key']}" for record in records() if not record["is_closed"]]
    found += [f"records not sent: {file}" for file in HOME.glob("runs/*/outbox/outbox.db")]
    if not was_killed:
        found += [f"left: {path}" for path in drafts()]
    return found


def drafts() -> list[Path]:
    """What a process that ends in good order removes: drafts and unfinished files."""
    named = set()
    for manifest in HOME.glob("prepared/*/manifest.json"):
        named.add(manifest.parent / json.loads(manifest.read_text())["data_folder"])
    data = [path for path in HOME.glob("prepared/*/data-*") if path not in named]
    return [*data, *HOME.glob("runs/*/run.json.*")]


def differences(expected: Any, got: Any, where: str) -> list[str]:
    """One line for each value that is not equal, bit for bit."""
    if isinstance(expected, dict) and isinstance(got, dict):
        found = []
        for key in sorted({*expected, *got}):
            if key not in got:
                found.append(f"{where}/{key}: missing")
            elif key not in expected:
                found.append(f"{where}/{key}: not wanted: {str(got[key])[:200]}")
            else:
                found += differences(expected[key], got[key], f"{where}/{key}")
        return found
    # Through JSON, as the expected values are: tuples become lists.
    if json.dumps(expected) == json.dumps(got):
        return []
    return [f"{where}: wanted {str(expected)[:200]}, but got {str(got)[:200]}"]
