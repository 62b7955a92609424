"""Files that only the driver's machine has, on a cluster whose head takes no work."""

import os
import shutil

import pytest

from support.command import rnnlane_json, write_experiment
from support.nodes import RayNodes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.release,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None,
        reason="needs root and unshare, to give a node a disk of its own",
    ),
]


@pytest.fixture
def data(tmp_path):
    """A folder with reviews in several files, stop words and word vectors."""
    folder = tmp_path / "data"
    (folder / "reviews").mkdir(parents=True)
    for part in range(3):
        rows = [
            f"the film {n} is {word},{label}"
            for n in range(part * 40, part * 40 + 40)
            for word, label in (("fine", "good"), ("dull", "bad"))
        ]
        (folder / "reviews" / f"part-{part}.csv").write_text("\n".join(["text,label", *rows]))
    (folder / "stop-words.txt").write_text("the\nis\n")
    (folder / "vectors.txt").write_text("fine 1 0 0 0\ndull 0 1 0 0\n")
    return folder


@pytest.fixture
def nodes(data, tmp_path):
    """A head without CPUs, and a worker on which the folder of the data is empty."""
    nodes = RayNodes(tmp_path)
    try:
        nodes.start_head(num_cpus=0)
        nodes.add(hidden=data)
        yield nodes
    finally:
        nodes.stop()


def test_local_files_are_read_where_they_are(data, nodes, tmp_path):
    experiment = write_experiment(
        tmp_path,
        data={"source": {"kind": "csv", "path": str(data / "reviews")}},
        text={"stop_words": str(data / "stop-words.txt")},
        model={"pretrained_vectors": str(data / "vectors.txt"), "embedding_dim": 4},
        training={"epochs": 1},
        runtime={"num_workers": 1},
    )
    result = rnnlane_json(tmp_path / "home", "train", str(experiment), **nodes.environment)
    assert result["epochs"] == 1
