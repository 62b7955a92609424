"""A script: verbs one after the other in one process, in a Ray that the script has started."""

import json
import subprocess
import sys

import pytest

# Without a dashboard, and with less than the experiment of the last verb asks for.
SCRIPT = """
import json
import ray
import rnnlane

ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
session = ray.get_runtime_context().get_job_id()

def experiment(num_workers):
    return rnnlane.experiment_from_mapping({
        "name": "script",
        "data": {"source": {"kind": "generated", "num_rows": 300}},
        "model": {"embedding_dim": 8, "hidden_size": 8},
        "training": {"epochs": 2},
        "runtime": {"num_workers": num_workers, "device": "cpu"},
    })

first = rnnlane.train(experiment(0), events=rnnlane.SILENT)
second = rnnlane.train(experiment(0), events=rnnlane.SILENT)
on_ray = rnnlane.train(experiment(1))
try:
    rnnlane.train(experiment(2))
except rnnlane.RnnlaneError as error:
    refusal = str(error)
model = rnnlane.load_model(first)
explanation = model.explain("The movie was not bad.")
print(json.dumps({
    "runs": [first.run_id, second.run_id, on_ray.run_id],
    "losses": [one.history["train/loss"].tolist() for one in (first, second, on_ray)],
    "png": first.plot()._repr_png_()[1:4].decode(),
    "evaluated": rnnlane.evaluate(first, events=rnnlane.SILENT).metrics["accuracy"],
    "tested": first.metrics["best"]["test/accuracy"],
    "labels": model.predict(["good", "bad"])["label"].tolist(),
    "tokens": explanation.tokens,
    "refusal": refusal,
    "is_same_ray": ray.get_runtime_context().get_job_id() == session,
}))
"""


@pytest.mark.slow
def test_verbs_of_one_process_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert len(set(answer["runs"])) == 3
    assert answer["losses"][0] == answer["losses"][1] == answer["losses"][2]
    assert answer["png"] == "PNG"
    assert answer["evaluated"] == pytest.approx(answer["tested"])
    assert set(answer["labels"]) <= {"negative", "positive"}
    assert answer["tokens"] == ["the", "movie", "was", "not", "bad", "."]
    assert "2 workers x 1 CPUs = 2 CPUs, but Ray has 1" in answer["refusal"]
    assert answer["is_same_ray"]
    # Only the run with a worker was not silent: its two epochs, as lines.
    assert done.stderr.count("\nepoch ") == 2
