"""A search on a real local Ray: its answer, its record, and that trials train as `train` does."""

from pathlib import Path

import pytest
import ray
import yaml
from mlflow import MlflowClient

from rnnlane import pipeline
from rnnlane.config import load_experiment
from rnnlane.config.experiment import RuntimeConfig
from rnnlane.config.space import trial_experiment
from rnnlane.errors import DataError
from rnnlane.ray_cluster import connect as cluster
from rnnlane.search import search as search_module
from rnnlane.tracking.history import is_summary
from support.command import rnnlane_json
from support.runs import timeless
from support.search import (
    assert_mlflow_tells_the_truth,
    mlflow_runs,
    stored_trials,
    table,
    write_search,
)

KEYS = {
    *("run_id", "tracking_uri", "run_folder", "is_tracked", "best", "best_config", "report"),
    *("num_trials", "num_pruned", "num_cut", "num_failed", "epochs_trained", "elapsed_s", "clip"),
    *("run_url", "runs_url", "ablation", "has_all_seeds"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One small search by the command line: its answer and its file."""
    folder = tmp_path_factory.mktemp("tune")
    experiment = write_search(folder, search={"num_trials": 3})
    return rnnlane_json(folder / "home", "tune", str(experiment)), experiment


@pytest.fixture
def home(tmp_path, monkeypatch):
    """This process's home, and a Ray that all tests here share."""
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster.connect(RuntimeConfig(num_workers=2, device="cpu"))
    return tmp_path / "home"


@pytest.fixture(scope="module", autouse=True)
def _end_ray():
    yield
    ray.shutdown()


def tune(experiment: Path, *overrides: str, resume: bool = False):
    return pipeline.tune(load_experiment(experiment, list(overrides)), resume=resume).as_dict()


def train_alone(experiment: Path, *overrides: str) -> dict:
    """``rnnlane train --workers 1``."""
    settings = ["runtime.num_workers=1", *overrides]
    return pipeline.train(load_experiment(experiment, settings)).as_dict()


def mlflow_curve(tracking_uri: str, run_id: str) -> dict[str, list[float]]:
    """Values by metric and epoch, without times and those of the whole run."""
    client = MlflowClient(tracking_uri)
    names = [name for name in client.get_run(run_id).data.metrics if not is_summary(name)]
    return {
        name: [point.value for point in client.get_metric_history(run_id, name)]
        for name in sorted(names)
        if not name.startswith(("time/", "system/")) and not name.endswith("_per_s")
    }


def mlflow_params(result: dict, run_id: str) -> dict[str, str]:
    return MlflowClient(result["tracking_uri"]).get_run(run_id).data.params


def test_tune_answers_with_what_a_program_needs(found):
    result, _ = found
    assert result.keys() == KEYS
    assert result["num_trials"] == 3
    assert (result["num_cut"], result["num_failed"]) == (0, 0)
    trials = stored_trials(result["run_folder"])
    assert result["epochs_trained"] == sum(len(trial.history) for trial in trials)
    best = result["best"]
    assert best["params"].keys() == {"training.learning_rate", "model.hidden_size"}
    assert best["params"] == trials[best["number"]].params
    assert best["value"] == max(
        record["val/accuracy"] for trial in trials for record in trial.history
    )
    assert best["metrics"]["val/accuracy"] == best["value"]
    assert result["clip"]["max_norm"] == 3.0
    assert result["is_tracked"]


def test_the_search_and_its_trials_are_whole_in_mlflow(found):
    result, _ = found
    assert_mlflow_tells_the_truth(result)
    parent, children = mlflow_runs(result["tracking_uri"])
    assert result["best"]["run_id"] in {run.info.run_id for run in children.values()}
    assert parent.data.params["search.scheduler"] == "asha"
    client = MlflowClient(result["tracking_uri"])
    names = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"best.yaml", "trials.csv", "report.html", "experiment.yaml", "figures"} <= names
    figures = {item.path for item in client.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/best_value.png", "figures/learning_curves.png"} <= figures
    assert len(table(result)) == 1 + 3


def test_the_winner_is_an_experiment_that_train_takes(found):
    result, experiment = found
    winner = load_experiment(Path(result["best_config"]))
    search = load_experiment(experiment)
    expected = trial_experiment(search, result["best"]["params"])
    assert winner.tracking.tags == {"rnnlane.search_run": result["run_id"]}
    changes = {"name": search.name, "tracking": search.tracking}
    assert winner.model_copy(update=changes) == expected
    assert result["run_id"] in Path(result["best_config"]).read_text()


def test_no_trial_was_tested(found):
    result, _ = found
    for trial in stored_trials(result["run_folder"]):
        for record in trial.history:
            assert not [name for name in record if name.startswith("test/")]


@pytest.mark.slow
def test_resuming_a_finished_search_answers_with_it(found):
    result, experiment = found
    home = experiment.parent / "home"
    assert rnnlane_json(home, "tune", str(experiment), "--resume") == result


@pytest.mark.slow
def test_the_winner_trains_as_its_trial_did(found, home):
    result, _ = found
    trained = train_alone(Path(result["best_config"]))
    best = result["best"]["metrics"]
    assert trained["metrics"]["best"]["val/accuracy"] == best["val/accuracy"]
    assert trained["metrics"]["best"]["val/loss"] == best["val/loss"]
    assert 0 <= trained["metrics"]["test/accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.release
def test_a_trial_has_the_curve_of_train_bit_for_bit(home, tmp_path):
    """With a measured clip value, dropout, and a worker that has trained others before."""
    experiment = write_search(
        tmp_path,
        model={"num_layers": 2, "dropout": 0.3},
        training={"clip": {"policy": "auto", "calibration_steps": 8}},
        search={
            "algorithm": "grid",
            "scheduler": "none",
            "space": {
                "training.clip.of_mean": "choice(0.25, 4.0)",
                "model.cell": "choice(lstm, gru)",
            },
        },
    )
    result = tune(experiment)
    assert result["num_trials"] == 4
    trained = train_alone(Path(result["best_config"]))
    curve = mlflow_curve(result["tracking_uri"], result["best"]["run_id"])
    assert len(curve["val/loss"]) == 3
    assert "clip/calibration_norm_mean" in mlflow_params(result, result["best"]["run_id"])
    assert curve == mlflow_curve(trained["tracking_uri"], trained["run_id"])
    winner = stored_trials(result["run_folder"])[result["best"]["number"]]
    assert [record["val/loss"] for record in winner.history] == curve["val/loss"]


@pytest.mark.slow
def test_no_trial_reads_the_test_split(home, tmp_path):
    experiment = write_search(tmp_path, search={"num_trials": 2})
    config = load_experiment(experiment)
    prepared = pipeline.prepare(config)
    for file in sorted(Path(prepared.path).glob("**/test/*.parquet")):
        # Of the same size, so that it is not found out and prepared again.
        file.write_bytes(bytes(file.stat().st_size))
    result = tune(experiment)
    assert (result["num_trials"], result["num_failed"]) == (2, 0)
    assert pipeline.prepare(config).path == prepared.path
    with pytest.raises(DataError):
        train_alone(Path(result["best_config"]))


@pytest.mark.slow
def test_what_trials_are_given_has_no_test_split(home, tmp_path, monkeypatch):
    given = []
    real = search_module.run_trials

    def remembering(*arguments, datasets, **options):
        given.extend(ray.get(list(datasets.values())))
        return real(*arguments, datasets=datasets, **options)

    monkeypatch.setattr(search_module, "run_trials", remembering)
    tune(write_search(tmp_path, search={"num_trials": 1}))
    assert [sorted(data.splits) for data in given] == [["train", "val"]]


@pytest.mark.slow
@pytest.mark.release
def test_each_text_variant_is_prepared_once_and_trials_train_on_their_own(home, tmp_path):
    experiment = write_search(
        tmp_path,
        search={
            "algorithm": "grid",
            "scheduler": "none",
            "space": {"text.max_length": "choice(20, 40)", "model.hidden_size": "choice(8, 12)"},
        },
    )
    result = tune(experiment)
    assert result["num_trials"] == 4
    manifests = sorted((home / "prepared").glob("*/manifest.json"))
    assert len(manifests) == 2
    assert len(list((home / "prepared").glob("*/data-*"))) == 2
    trials = stored_trials(result["run_folder"])
    # One of each variant.
    assert trials[0].params["text.max_length"] != trials[-1].params["text.max_length"]
    for trial in (trials[0], trials[-1]):
        file = tmp_path / "one.yaml"
        plain = yaml.safe_load(experiment.read_text())
        del plain["search"]
        file.write_text(yaml.safe_dump({**plain, "name": "one"}))
        trained = train_alone(file, *(f"{key}={value}" for key, value in trial.params.items()))
        curve = mlflow_curve(trained["tracking_uri"], trained["run_id"])
        assert [record["val/loss"] for record in trial.history] == curve["val/loss"]
        assert [record["throughput/padding_share"] for record in trial.history] == curve[
            "throughput/padding_share"
        ]
    assert len(list((home / "prepared").glob("*/data-*"))) == 2


@pytest.mark.slow
@pytest.mark.release
def test_a_finished_search_can_be_extended(home, tmp_path):
    experiment = write_search(tmp_path)
    first = tune(experiment)
    earlier = stored_trials(first["run_folder"])
    assert tune(experiment, resume=True) == first
    second = tune(experiment, "search.num_trials=6", resume=True)
    assert second["run_id"] == first["run_id"]
    assert (second["num_trials"], first["num_trials"]) == (6, 4)
    assert stored_trials(second["run_folder"])[:4] == earlier
    assert_mlflow_tells_the_truth(second)


@pytest.mark.slow
@pytest.mark.release
def test_finalists_are_judged_by_several_seeds_on_one_split(home, tmp_path):
    experiment = write_search(tmp_path, search={"finalists": 2, "repeats": 3})
    result = tune(experiment)
    best = result["best"]
    assert len(best["seed_values"]) == 3
    assert best["value"] == pytest.approx(sum(best["seed_values"]) / 3)
    repeats = stored_trials(result["run_folder"], study="seeds")
    assert len(repeats) == 4
    assert_mlflow_tells_the_truth(result)
    _, children = mlflow_runs(result["tracking_uri"])
    seeds = {run.data.params["training.seed"] for key, run in children.items() if "-seed-" in key}
    assert seeds == {"1", "2"}
    assert {run.data.params["seed"] for run in children.values()} == {"0"}
    assert len(list((home / "prepared").glob("*/manifest.json"))) == 1
    losses = [timeless(trial.history)[0]["val/loss"] for trial in repeats]
    assert len(set(losses)) == 4


@pytest.mark.slow
@pytest.mark.release
def test_extended_finalists_are_repeated_too(home, tmp_path):
    """New trials that beat the earlier finalists are measured as often as they were."""
    space = {"training.learning_rate": "choice(1e-6, 2e-6, 3e-6, 0.02, 0.03, 0.05)"}
    experiment = write_search(
        tmp_path,
        data={"source": {"kind": "generated", "num_rows": 1500}},
        search={
            **{"algorithm": "grid", "scheduler": "none", "space": space},
            **{"num_trials": 3, "finalists": 1, "repeats": 2},
        },
    )
    first = tune(experiment)
    assert first["best"]["number"] < 3
    second = tune(experiment, "search.num_trials=6", resume=True)
    trials = stored_trials(second["run_folder"])
    values = [max(record["val/accuracy"] for record in trial.history) for trial in trials]
    assert second["best"]["number"] == values.index(max(values)) >= 3
    assert len(second["best"]["seed_values"]) == 2


@pytest.mark.slow
@pytest.mark.release
def test_an_ablation_added_to_a_finished_search_finds_what_clip_value_and_depth_do(home, tmp_path):
    """Plain SGD learns one LSTM layer in these epochs, but neither with small steps nor three."""
    experiment = write_search(
        tmp_path,
        data={
            "source": {"kind": "generated", "num_rows": 1500, "mean_clauses": 2, "seed": 1},
            "val": 0.2,
        },
        model={"cell": "lstm", "embedding_dim": 16, "hidden_size": 16},
        training={
            **{"epochs": 5, "global_batch_size": 16, "learning_rate": 0.3},
            **{"optimizer": "sgd", "momentum": 0.9, "clip": {"policy": "none"}},
        },
        search={
            **{"algorithm": "grid", "scheduler": "none", "num_trials": 1, "max_concurrent": 2},
            "space": {"training.learning_rate": "choice(0.3)"},
        },
    )
    assert tune(experiment)["ablation"] is None
    keys = "search.ablation.keys={training.clip: [none, 0.1], model.num_layers: [1, 3]}"
    result = tune(experiment, keys, resume=True)
    assert result["num_trials"] == 1
    clip, layers = result["ablation"]["settings"]
    assert (clip["label"], clip["verdict"]) == ("clip=0.1", "worse")
    assert (layers["label"], layers["verdict"]) == ("num_layers=3", "worse")
    assert result["ablation"]["recommended"] == "winner"
    report = Path(result["report"])
    assert "<h2>One setting changed</h2>" in report.read_text()
    assert (report.parent / "figures" / "ablation.png").exists()
    _, children = mlflow_runs(result["tracking_uri"])
    names = {run.info.run_name for run in children.values() if "-ablation-" in key_of(run)}
    settings = ("winner", "clip=0.1", "num_layers=3")
    assert names == {f"{setting} seed {seed}" for setting in settings for seed in (1, 2, 3)}
    assert tune(experiment, keys, resume=True)["elapsed_s"] == result["elapsed_s"]


def key_of(run) -> str:
    return run.data.tags["rnnlane.trial_key"]
