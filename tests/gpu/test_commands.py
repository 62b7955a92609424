"""The commands as a person types them, with Ray, on a GPU; and on the CPU, to try the tests."""

import json
from typing import Any

import pytest

from support.command import rnnlane, rnnlane_json, write_experiment
from support.devices import on_gpu
from support.search import mlflow_runs, write_search

TEXTS = ["a fine film, moving and funny", "dull from the first scene to the last", "!"]
# A trial that needs more memory than its share: on a CPU word vectors of 2 TB; on a quarter of a
# GPU the weights, moments and activations of 16,384 units for 500 rows at once.
TOO_LARGE = {
    "cpu": ("model.embedding_dim", 1_000_000_000),
    "gpu": ("model.hidden_size", 16_384),
}


@pytest.mark.parametrize("device", [on_gpu("gpu")])
def test_train_evaluate_and_predict(tmp_path, device):
    """One worker under Ray Train: a group of one, joined by NCCL."""
    home = tmp_path / "home"
    file = write_experiment(tmp_path, runtime={"num_workers": 1, "device": device})
    found = rnnlane_json(home, "train", str(file))
    on_cpu = rnnlane_json(home, "train", str(file), "--workers", "0", "--set", "runtime.device=cpu")
    for key in ("train/loss", "val/loss"):
        there = found["metrics"]["last"][key]
        assert there == pytest.approx(on_cpu["metrics"]["last"][key], abs=0.02), key

    # Its model is the same wherever it is asked.
    for verb in ("evaluate", "predict"):
        asked = (verb, *(TEXTS if verb == "predict" else ()), "--run", found["run_id"])
        answers = rnnlane_json(home, *asked, "--device", device)
        assert_close(answers, rnnlane_json(home, *asked, "--device", "cpu"))


def assert_close(found: Any, expected: Any) -> None:
    """The same plain values, numbers to within 1e-4."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), on_gpu("gpu")])
def test_four_trials_share_a_gpu_and_one_without_memory_fails_alone(tmp_path, device):
    key, value = TOO_LARGE[device]
    search = {
        "algorithm": "grid",
        "scheduler": "none",
        "num_trials": 4,
        "max_concurrent": 4 if device == "gpu" else 2,
        "gpus_per_worker": 0.25 if device == "gpu" else 0.0,
        "space": {key: f"choice(8, {value}, 10, 12)"},
    }
    file = write_search(
        tmp_path,
        search=search,
        text={"max_length": 100},
        training={"global_batch_size": 500},
        runtime={"device": device},
    )
    done = rnnlane(tmp_path / "home", "tune", str(file), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["num_trials"], result["num_failed"]) == (4, 1), done.stderr
    _, children = mlflow_runs(result["tracking_uri"])
    (failed,) = (run for run in children.values() if run.info.status == "FAILED")
    assert failed.data.params[key] == str(value)
    assert "more memory than there is" in failed.data.tags["rnnlane.reason"]
