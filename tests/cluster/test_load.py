"""More jobs at once than the cluster has room for."""

import pytest

from support.command import wait_until
from support.submitted import Submission, assert_one_whole_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hosts,
    pytest.mark.release,
    pytest.mark.timeout(1500),
]

NUM_JOBS = 8
EPOCHS = 2


def test_eight_jobs_at_once_queue_and_all_end(cluster, uninterrupted):
    cluster.wait_for_nodes(3)
    jobs = [
        Submission(
            cluster,
            f"queued-{number}",
            training={"epochs": EPOCHS, "seed": number},
            # Two of them want the whole cluster.
            runtime={"num_workers": 2 if number in {2, 5} else 1},
        )
        for number in range(NUM_JOBS)
    ]

    def num_ended() -> int:
        return sum(job.has_ended() for job in jobs)

    wait_until(lambda: num_ended() == NUM_JOBS, timeout_s=900, what="the end of all")
    codes = {job.name: job.exit_code() for job in jobs}
    assert set(codes.values()) == {0}, {job.name: job.text for job in jobs if codes[job.name]}
    for job in jobs:
        assert_one_whole_run(cluster, job.name, epochs=EPOCHS)
