"""A worker's host dies, or is cut off, while a job trains on it."""

import json
import sys
import time

import pytest

from support.command import wait_until
from support.host_cluster import RAY_PORT
from support.recorded_rows import assert_every_row_once_an_epoch
from support.submitted import (
    EPOCHS,
    Submission,
    assert_ended_well,
    assert_one_whole_run,
    assert_same_weights,
    experiment_file,
)

pytestmark = [pytest.mark.slow, pytest.mark.hosts, pytest.mark.release]


@pytest.fixture
def whole(cluster):
    """The cluster with all its nodes, which the test before may have cost one."""
    cluster.wait_for_nodes(3)
    yield cluster
    # A test that failed leaves neither a cut line nor a run that holds the workers.
    cluster.head.kill("-m rnnlane", "-m support.recorded_train")
    for worker in cluster.workers:
        worker.join()
        worker.widen()


def test_a_killed_node_costs_nothing_at_fixed_size(whole, uninterrupted):
    worker = whole.workers[1]
    job = Submission(whole, "killed")
    job.wait_for_run()
    worker.narrow()
    job.wait_for_training()
    whole.kill_node(worker)
    job.mark("killed")
    worker.widen()
    job.wait_for("restart 1 of 3")
    assert_ended_well(job)
    assert_same_weights(job, uninterrupted)
    assert_one_whole_run(whole, job.name)


def test_a_cut_link_is_told_of_and_outlived(whole, uninterrupted):
    worker = whole.workers[0]
    job = Submission(whole, "cut")
    job.wait_for_run()
    worker.narrow()
    job.wait_for_training()
    worker.cut()
    job.mark("cut")
    time.sleep(30)
    worker.join()
    worker.widen()
    job.mark("joined")
    job.wait_for("restart 1 of 3")
    assert_ended_well(job)
    assert "lost its connection to another worker; continuing from the last checkpoint" in job.out
    assert_same_weights(job, uninterrupted)
    assert_one_whole_run(whole, job.name)


def test_an_elastic_run_outlives_a_node_that_is_away_for_a_moment(whole):
    """On the head, not as a job, so that its workers write down the rows that they take.

    Of one that is away for longer, tests/integration/test_elastic.py is the test.
    """
    worker = whole.workers[1]
    name = "elastic"
    records = whole.folder / name
    records.mkdir()
    (records / "slow").touch()
    runtime = {"num_workers": [1, 2], "resize_every_s": 2.0}
    experiment = experiment_file(whole.folder, name, runtime=runtime)
    log = whole.folder / f"{name}.log"
    driver = whole.head.start(
        *(sys.executable, "-m", "support.recorded_train", "train", str(experiment), "--json"),
        log=log,
        RECORD_FOLDER=str(records),
        **whole.ray_environment(),
        RAY_ADDRESS=f"{whole.head.address}:{RAY_PORT}",
    )

    def wait_for(attempts: str, world_size: int) -> None:
        def has_begun() -> bool:
            assert driver.poll() is None, log.read_text()
            return any(records.glob(f"attempt-{attempts}-of-{world_size}-rank-0"))

        wait_until(has_begun, timeout_s=300, what=f"{world_size} workers: {log}")

    wait_for("1", world_size=2)
    wait_until(
        lambda: any((whole.home / "checkpoints").glob(f"{name}-*/*/*/state.json")),
        what=f"a checkpoint: {log}",
    )
    whole.kill_node(worker)
    wait_for("[2-9]", world_size=2)
    (records / "slow").unlink()
    assert driver.wait(timeout=300) == 0, log.read_text()
    result = json.loads(log.read_text().splitlines()[-1])
    assert_every_row_once_an_epoch(records, result, epochs=EPOCHS)
    assert_one_whole_run(whole, name)
