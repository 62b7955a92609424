"""A node of the cluster is lost while it trains on shards, and another one comes."""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support.command import checkpoints, command_environment, wait_until, write_experiment
from support.mlflow_runs import assert_one_whole_run
from support.nodes import RayNodes
from support.recorded_rows import assert_every_row_once_an_epoch

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
EPOCHS = 3
CHANGES = {
    "data": {"source": {"kind": "generated", "num_rows": 3000}, "feed": "streaming"},
    "model": {"embedding_dim": 16, "hidden_size": 16, "num_layers": 2, "dropout": 0.2},
    "training": {"epochs": EPOCHS, "checkpoint_every_s": 0.5, "learning_rate": 0.003},
    "tracking": {"system_metrics": True},
}
# Another machine has another name; only root can give this one two.
OTHER_HOST = "other-host" if os.geteuid() == 0 and shutil.which("unshare") else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("elastic")


@pytest.fixture(scope="module")
def nodes(folder):
    """A head; each test adds the other node."""
    nodes = RayNodes(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    try:
        nodes.start_head()
        yield nodes
    finally:
        nodes.stop()


class Run:
    """A run under way, whose workers write down what they take."""

    def __init__(self, folder: Path, nodes: RayNodes, name: str, **runtime):
        self.home, self.records = folder / name, folder / f"{name}-records"
        self.log = folder / f"{name}.log"
        self.seen: set[str] = set()
        self.records.mkdir()
        (self.records / "slow").touch()
        experiment = write_experiment(folder, name=name, runtime=runtime, **{**CHANGES, "seed": 1})
        environment = command_environment(self.home, RECORD_FOLDER=str(self.records))
        with self.log.open("w") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "support.recorded_train", "train", str(experiment)],
                env={**environment, **nodes.environment},
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_for_workers(self, world_size: int) -> None:
        """Returns when a group of that size trains that did not when last waited for."""

        def has_begun() -> bool:
            assert self.driver.poll() is None, self.log.read_text()
            groups = {file.name.rpartition("-rank-")[0] for file in self.records.glob("attempt-*")}
            new = {name for name in groups - self.seen if name.endswith(f"-of-{world_size}")}
            self.seen |= new
            return bool(new)

        wait_until(has_begun, what=f"{world_size} workers: {self.log}")

    def result(self) -> dict:
        (self.records / "slow").unlink(missing_ok=True)
        assert self.driver.wait(timeout=240) == 0, self.log.read_text()
        record = next(self.home.glob("runs/*/run.json"))
        return json.loads(record.read_text())["result"]


def assert_every_machine_is_in_mlflow(result: dict) -> None:
    client = MlflowClient(result["tracking_uri"])
    cpu = "cpu_utilization_percentage"
    here = {point.step for point in client.get_metric_history(result["run_id"], f"system/{cpu}")}
    keys = {key for key in client.get_run(result["run_id"]).data.metrics if "system/" in key}
    assert not {key for key in keys if platform.node() in key}, "this machine is there twice"
    if OTHER_HOST is not None:
        other = f"system/{OTHER_HOST}/"
        assert {other + cpu, other + "system_memory_usage_percentage"} <= keys
        points = client.get_metric_history(result["run_id"], other + cpu)
        assert {point.step for point in points} <= here


def test_an_elastic_run_goes_on_with_fewer_and_grows_again(nodes, folder):
    node = nodes.add(host_name=OTHER_HOST)
    run = Run(folder, nodes, "elastic", num_workers=[1, 2], device="cpu", resize_every_s=2.0)
    run.wait_for_workers(2)
    wait_until(lambda: len(checkpoints(run.home)) > 1, what="checkpoints")
    nodes.kill(node)
    run.wait_for_workers(1)
    wait_until(lambda: len(checkpoints(run.home)) > 3, what="checkpoints of one worker")
    node = nodes.add(host_name=OTHER_HOST)
    run.wait_for_workers(2)
    result = run.result()
    assert_every_row_once_an_epoch(run.records, result, epochs=EPOCHS)
    assert_one_whole_run(result, EPOCHS)
    assert_every_machine_is_in_mlflow(result)
    nodes.kill(node)
