"""A source that is one file and one line of the registry, prepared on Ray and trained from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import ray

import rnnlane
from rnnlane.config.sources import SOURCES
from support.toy_source import REGISTRY_LINE


def test_a_source_in_one_file_is_prepared_and_trained_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, name in REGISTRY_LINE.items():
        monkeypatch.setitem(SOURCES, kind, name)
    # Ray's processes import the toy as well.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    moods = ("bad", "good")
    for part in range(2):
        rows = (f"{moods[n % 2]}:a {moods[n % 2]} film, {part} {n}\n" for n in range(100))
        Path(f"{part}.toy").write_text("".join(rows))
    config = rnnlane.experiment_from_mapping(
        {
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
    )
    try:
        result = rnnlane.train(config)
    finally:
        ray.shutdown()
    assert result.metrics["test/accuracy"] > 0.9
    (manifest,) = (tmp_path / "storage" / "prepared").glob("*/manifest.json")
    source = json.loads(manifest.read_text())["source"]
    assert (source["kind"], source["location"]) == ("toy", "toy")
