"""Two workers, a head and a client, each a host of its own."""

import pytest

from support.host_cluster import HOSTS, HostCluster
from support.hosts import Hosts, remove_hosts, why_not
from support.submitted import Submission, assert_ended_well


@pytest.fixture(scope="session")
def cluster():
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    try:
        cluster = HostCluster(Hosts(HOSTS))
        cluster.start()
        yield cluster
    finally:
        remove_hosts()


@pytest.fixture(scope="session")
def uninterrupted(cluster):
    """The job that those that were disturbed must equal."""
    before = [worker.bytes_moved() for worker in cluster.workers]
    job = Submission(cluster, "uninterrupted")
    job.wait_for("epoch 1 ")
    assert_ended_well(job)
    after = [worker.bytes_moved() for worker in cluster.workers]
    job.bytes_moved = [end - start for start, end in zip(before, after, strict=True)]
    return job
