"""What the check of the storage says of each node's answer, with the nodes replaced."""

import pytest

from rnnlane.errors import ResourceError
from rnnlane.ray_cluster import storage_check
from rnnlane.ray_cluster.storage_check import check_storage
from support.tiny import tiny_experiment

NODES = {"a" * 4: "head (10.0.0.1)", "b" * 4: "worker (10.0.0.2)"}


@pytest.fixture
def cluster(monkeypatch):
    """Makes a cluster whose nodes answer by a function of folder and node; returns the calls."""
    calls = []

    def make(answer, nodes=NODES):
        def ask(nodes, folder):
            calls.append(folder)
            return {node: answer(folder, node) for node in nodes}

        monkeypatch.setattr(storage_check.cluster, "alive_nodes", lambda: nodes)
        monkeypatch.setattr(storage_check, "_ask", ask)
        return calls

    return make


def check(folder):
    check_storage(tiny_experiment(f"runtime.storage_path={folder}"))


def test_a_storage_that_all_nodes_share_is_left_as_it_was(cluster, tmp_path):
    calls = cluster(storage_check._probe)
    check(tmp_path)
    assert len(calls) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_cannot_write_is_named_with_its_reason(cluster, tmp_path):
    cluster(lambda folder, node: "cannot write: read-only" if node == "bbbb" else "")
    with pytest.raises(ResourceError, match=r"node head \(10.0.0.1\) does not see what another"):
        check(tmp_path)
    cluster(lambda folder, node: "cannot write: read-only")
    with pytest.raises(ResourceError, match=r"node head \(10.0.0.1\) cannot write: read-only"):
        check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_node_with_a_storage_of_its_own_writes_nothing_there(tmp_path):
    assert storage_check._probe(str(tmp_path), "aaaa").startswith("does not see")
    assert list(tmp_path.iterdir()) == []


def test_one_node_with_its_own_folder_is_not_asked(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    calls = cluster(storage_check._probe, nodes={"aaaa": "head"})
    check_storage(tiny_experiment())
    assert calls == []
