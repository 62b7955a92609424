"""Jobs submitted from the client of a cluster of hosts, and their runs."""

import json
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from support.command import wait_until, write_experiment
from support.host_cluster import RNNLANE, HostCluster
from support.weights import weights_below

EPOCHS = 4
SMALL = {
    "seed": 1,
    "data": {"source": {"kind": "generated", "num_rows": 1500}},
    "model": {"embedding_dim": 16, "hidden_size": 48},
    "training": {"epochs": EPOCHS, "checkpoint_every_s": 0.5, "learning_rate": 0.003},
    "runtime": {"num_workers": 2, "device": "cpu", "collective_timeout_s": 20},
}


def experiment_file(folder: Path, name: str, **changes: Any) -> Path:
    """:data:`SMALL` with some keys of its sections changed."""
    sections = {
        key: {**SMALL.get(key, {}), **changes.get(key, {})} for key in {*SMALL, *changes} - {"seed"}
    }
    return write_experiment(folder, name=name, seed=SMALL["seed"], **sections)


class Submission:
    """A running `rnnlane submit` on the client.

    Attributes:
        seconds: from the start to each event that was waited for, by its name.
    """

    def __init__(self, cluster: HostCluster, name: str, *options: str, **changes: Any):
        self._cluster = cluster
        self.name = name
        file = experiment_file(cluster.client.folder, name, **changes)
        self._out, self._err = (cluster.folder / f"{name}.{kind}" for kind in ("out", "err"))
        self._started_at = time.monotonic()
        self.seconds: dict[str, float] = {}
        command = [*RNNLANE, "submit", file.name, *options]
        self._command = cluster.client.start(
            *command, log=self._out, errors=self._err, **cluster.client_environment
        )

    @property
    def out(self) -> str:
        """The job's log, as it was printed."""
        return self._out.read_text()

    @property
    def notes(self) -> str:
        """Notes of the command itself."""
        return self._err.read_text()

    @property
    def text(self) -> str:
        return self.out + self.notes

    def wait_for(self, text: str, *, timeout_s: float = 400) -> None:
        """Waits until the command has printed ``text``."""

        def has_printed() -> bool:
            is_printed = text in self.text
            assert is_printed or self._command.poll() is None, self.text
            return is_printed

        wait_until(has_printed, timeout_s=timeout_s, what=f"{text!r} in: {self._out}")
        self.mark(text)

    @property
    def elapsed_s(self) -> float:
        return round(time.monotonic() - self._started_at, 1)

    def wait_for_run(self) -> None:
        """Waits until MLflow knows of the run."""
        self.wait_for(f" at {self._cluster.mlflow_uri}/#/")

    def mark(self, what: str) -> None:
        self.seconds[what] = self.elapsed_s

    def wait_for_training(self, *, num_checkpoints: int = 2) -> None:
        """Waits until training has written checkpoints to resume from."""
        pattern = f"{self.name}-*/attempt-*/checkpoint_*/state.json"

        def has_begun() -> bool:
            assert self._command.poll() is None, self.text
            found = list((self._cluster.home / "checkpoints").glob(pattern))
            return len(found) >= num_checkpoints

        wait_until(has_begun, timeout_s=400, what=f"checkpoints: {self._out}")
        self.mark("checkpoints")

    def has_ended(self) -> bool:
        if self._command.poll() is None:
            return False
        if "end" not in self.seconds:
            self.mark("end")
        return True

    def exit_code(self, *, timeout_s: float = 500) -> int:
        wait_until(self.has_ended, timeout_s=timeout_s, what=f"the end of: {self._out}")
        code = self._command.returncode
        print(f"{self.name}: {self.seconds}")
        return code

    @cached_property
    def submission_id(self) -> str:
        return self.notes.partition("job ")[2].split()[0]

    @property
    def record(self) -> dict[str, Any]:
        return record(self._cluster, self.name)

    def weights(self) -> dict[str, Any]:
        return weights_below(self._cluster.folder / "artifacts", self.record["run_id"])


def record(cluster: HostCluster, name: str) -> dict[str, Any]:
    """The record of an experiment's only run, from the cluster's home."""
    (file,) = (cluster.home / "runs").glob(f"{name}-*/run.json")
    return json.loads(file.read_text())


def assert_ended_well(job: Submission) -> None:
    assert job.exit_code() == 0, job.text


def assert_same_weights(job: Submission, expected: Submission) -> None:
    found, wanted = job.weights(), expected.weights()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name] == tensor).all(), name


def assert_one_whole_run(cluster: HostCluster, name: str, *, epochs: int = EPOCHS) -> None:
    """One run in MLflow, finished, with a point for each epoch of every metric."""
    client = MlflowClient(cluster.store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`rnnlane.experiment` = '{name}'")
    assert [run.info.run_id for run in runs] == [record(cluster, name)["run_id"]]
    assert runs[0].info.status == "FINISHED"
    whole = list(range(1, epochs + 1))
    for key in ("train/loss", "val/loss", "val/accuracy", "grad_norm/mean", "time/epoch_s"):
        points = client.get_metric_history(runs[0].info.run_id, key)
        assert [point.step for point in points] == whole, key
    assert list((cluster.folder / "artifacts").glob(f"*/{runs[0].info.run_id}/artifacts/figures"))
