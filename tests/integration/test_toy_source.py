"""A source that is one file and one line of the registry, prepared on Ray and trained from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: in this one, Ray may have cached another test's token.
TRAIN = """
import json, sys
import rnnlane
from rnnlane.config.sources import SOURCES
from support.toy_source import REGISTRY_LINE

SOURCES.update(REGISTRY_LINE)
result = rnnlane.train(rnnlane.experiment_from_mapping(json.loads(sys.argv[1])))
print(json.dumps(result.metrics["test/accuracy"]))
"""


@pytest.mark.slow
def test_a_source_in_one_file_is_prepared_and_trained_from(tmp_path: Path) -> None:
    moods = ("bad", "good")
    for part in range(2):
        rows = (f"{moods[n % 2]}:a {moods[n % 2]} film, {part} {n}\n" for n in range(100))
        (tmp_path / f"{part}.toy").write_text("".join(rows))
    experiment = {
        "name": "toy",
        "data": {"source": {"kind": "toy", "path": "."}},
        "model": {"embedding_dim": 8, "hidden_size": 8},
        "training": {"epochs": 3, "learning_rate": 0.02},
        "runtime": {
            "num_workers": 0,
            "device": "cpu",
            "storage_path": str(tmp_path / "storage"),
        },
        "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db", "system_metrics": False},
    }
    # Ray's processes import the toy as well.
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps(experiment)],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "RNNLANE_HOME": str(tmp_path / "home"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) > 0.9
    (manifest,) = (tmp_path / "storage" / "prepared").glob("*/manifest.json")
    source = json.loads(manifest.read_text())["source"]
    assert (source["kind"], source["location"]) == ("toy", "toy")
