"""The services of the head go away and come back while a job trains and is followed."""

import time

import pytest

from support.submitted import (
    Submission,
    assert_ended_well,
    assert_one_whole_run,
    assert_same_weights,
)

pytestmark = [pytest.mark.slow, pytest.mark.hosts, pytest.mark.release]


def test_mlflow_away_and_the_dashboard_killed_while_a_job_is_followed(cluster, uninterrupted):
    cluster.wait_for_nodes(3)
    worker = cluster.workers[0]
    job = Submission(cluster, "outages", tracking={"system_metrics": True})
    job.wait_for_run()
    worker.narrow(600)
    try:
        job.wait_for_training()
        cluster.kill_mlflow()
        start_dashboard = cluster.kill_dashboard()
        job.mark("both killed")
        job.wait_for("connection lost")
        time.sleep(10)
        start_dashboard()
        job.mark("dashboard started")
        job.wait_for("connected again")
        time.sleep(max(0.0, 60 - (job.elapsed_s - job.seconds["both killed"])))
        cluster.start_mlflow()
    finally:
        worker.widen()
    assert_ended_well(job)
    assert "tracking server away since" in job.out
    assert "tracking server back after" in job.out
    log = cluster.rnnlane("jobs", "logs", job.submission_id)
    assert job.out == log.stdout
    assert_same_weights(job, uninterrupted)
    assert_one_whole_run(cluster, job.name)
