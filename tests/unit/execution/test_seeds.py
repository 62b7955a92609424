"""Several seeds in this process, with MLflow replaced."""

import math

import pytest
from safetensors.torch import load_file

from rnnlane.errors import ConfigError, TrainingError
from rnnlane.execution import run, seeds
from rnnlane.execution.attempt import runs_of_seeds
from rnnlane.execution.identity import run_fingerprint
from rnnlane.execution.run import execute_run
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.execution.seeds import best_seed, execute_seeds
from rnnlane.inference.bundle import WEIGHTS
from rnnlane.records.run_marker import find_marker
from rnnlane.records.seeds import Spread
from support.events import Remembered
from support.results import train_result
from support.tiny import tiny_experiment
from support.tracked import RememberedTracker, tiny_prepared


class Store:
    """Starts a tracker for each run."""

    def __init__(self):
        self.trackers: dict[str, RememberedTracker] = {}

    def start(self, config, spec, *, outbox, resume_run_id=None):
        run_id = resume_run_id or f"{len(self.trackers):032x}"
        tracker = self.trackers.setdefault(run_id, RememberedTracker())
        tracker.run_id, tracker.status = run_id, "RUNNING"
        return tracker.start(config, spec)

    def named(self, name):
        [tracker] = [one for one in self.trackers.values() if one.spec.name == name]
        return tracker

    @property
    def status(self):
        return {one.spec.name: one.status for one in self.trackers.values()}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    store = Store()
    monkeypatch.setattr(run, "start_run", store.start)
    monkeypatch.setattr(seeds, "start_run", store.start)
    # They take most of the time, and are tested with the run.
    monkeypatch.setattr(run, "write_results", lambda folder, *_, **__: folder.mkdir())
    monkeypatch.setattr(run, "write_answers_and_report", lambda *_, **__: None)
    return store


def execute(*overrides, events=None, record=None):
    config = tiny_experiment("training.seeds=2", "training.seed=4", *overrides)
    identity = {"config_fingerprint": run_fingerprint(config), "data_fingerprint": "d"}
    record = record or RunRecord.create("tiny", **identity)
    with record.locked() as current:
        return execute_seeds(
            config,
            tiny_prepared(),
            earlier=runs_of_seeds(config, current),
            record=current,
            events=events or Remembered(),
        )


def alone(seed):
    config = tiny_experiment(f"training.seed={seed}")
    identity = {"config_fingerprint": run_fingerprint(config), "data_fingerprint": "d"}
    with RunRecord.create("tiny", **identity).locked() as current:
        return execute_run(config, tiny_prepared(), record=current, events=Remembered())


def records():
    """Of the whole, and of its seeds, oldest first."""
    everything = all_records()
    [whole] = [one for one in everything if one.parent is None]
    return whole, [one for one in everything if one.parent == whole.key]


def test_the_run_of_a_seed_is_the_run_that_has_it_alone(store):
    execute()
    _, [first, second] = records()
    of_seed = load_file(store.named("tiny-seed-5").bundle / WEIGHTS)
    result = alone(5)
    [*_, plain] = store.trackers.values()
    assert second.config_fingerprint == result.config_fingerprint != first.config_fingerprint
    expected = load_file(plain.bundle / WEIGHTS)
    assert of_seed.keys() == expected.keys()
    assert all(of_seed[name].equal(expected[name]) for name in expected)
    other = load_file(store.named("tiny-seed-4").bundle / WEIGHTS)
    assert not all(of_seed[name].equal(other[name]) for name in expected)
    params = store.named("tiny-seed-5").spec.params
    assert params == plain.spec.params
    assert (params["training.seed"], "training.seeds" in params) == (5, False)


def test_the_whole_has_mean_and_spread_a_report_and_links_but_no_model(store):
    events = Remembered()
    result = execute("tracking.tags={rnnlane.search_run: abc}", events=events)
    whole, first, second = store.trackers.values()
    values = [one.history[one.best_epoch - 1]["val/accuracy"] for one in (first, second)]
    spread = Spread.of(values)
    assert whole.summary["best/val/accuracy"] == spread.mean
    assert whole.summary["best/val/accuracy_std"] == spread.std
    assert whole.summary["best/val/accuracy_min"] == min(values)
    assert whole.summary["best/val/accuracy_max"] == max(values)
    assert {"test/accuracy", "test/accuracy_std", "best/val/loss"} <= whole.summary.keys()
    assert not {key for key in whole.summary if "epoch" in key}
    assert {"report.html", "seeds.csv", "results.json", "experiment.yaml"} <= whole.files
    assert (whole.bundle, whole.status) == (None, "FINISHED")
    assert whole.seed_run_ids == {4: first.run_id, 5: second.run_id}
    for tracker, seed in ((first, "4"), (second, "5")):
        tags = tracker.spec.tags
        assert (tags["rnnlane.seed"], tags["mlflow.parentRunId"]) == (seed, whole.run_id)
    assert whole.tags["rnnlane.seeds"] == "4, 5"
    assert whole.tags["rnnlane.best_seed_run"] == whole.seed_run_ids[result.best_seed]
    # The whole is the run of the winner of the search, once.
    assert [one.search_run_id for one in (whole, first, second)] == ["abc", None, None]
    assert result.metrics["best/val/accuracy"]["std"] == spread.std
    assert [one["seed"] for one in result.seeds] == [4, 5]
    assert result.is_tracked
    # `rnnlane jobs` takes the newest run that a log names: that of the whole.
    assert find_marker("\n".join(events.notes)).place.endswith("run0")
    assert any(note.startswith("seed 5: run ") for note in events.notes)


class Interrupted(Remembered):
    """Ctrl-C after the first epoch of the second seed, which has a checkpoint."""

    def saved(self, history):
        super().saved(history)
        if len(self.histories) == 3:
            raise KeyboardInterrupt


def test_an_interrupted_seed_goes_on_and_a_finished_one_is_not_run_again(store):
    with pytest.raises(KeyboardInterrupt):
        execute(events=Interrupted())
    whole, [first, second] = records()
    assert (whole.state, first.state, second.state) == ("killed", "finished", "killed")
    assert store.status == {
        "tiny": "KILLED: interrupted",
        "tiny-seed-4": "FINISHED",
        "tiny-seed-5": "KILLED: interrupted",
    }
    rest = Remembered()
    result = execute(record=whole, events=rest)
    assert "seed 4: has already finished" in rest.notes
    assert len(store.trackers) == 3
    assert set(store.status.values()) == {"FINISHED"}
    assert result.seeds[1]["epochs"] == 2
    assert [len(history) for history in rest.histories] == [2], "the second epoch of the second"
    assert [one["run_id"] for one in result.seeds] == [first.run_id, second.run_id]


def test_more_seeds_may_be_asked_for_but_not_fewer(store):
    execute()
    whole, [first, second] = records()
    result = execute("training.seeds=3", record=whole)
    assert result.num_seeds == 3
    assert [one["run_id"] for one in result.seeds[:2]] == [first.run_id, second.run_id]
    assert len(store.trackers) == 4
    assert store.named("tiny").tags["rnnlane.seeds"] == "4, 5, 6"
    with pytest.raises(ConfigError, match="not fewer, but got 2, and the run to continue has 3"):
        execute(record=whole.reread())
    for overrides in (("training.seed=0", "training.seeds=3"), ("training.seeds=2",)):
        with pytest.raises(ConfigError) as refused:
            runs_of_seeds(tiny_experiment(*overrides), whole.reread())
        assert refused.value.where == "training.seeds"


def test_a_seed_that_fails_fails_the_whole_and_is_named(store, monkeypatch):
    train = run.train_in_process

    def failing(config, *arguments, **options):
        if config.training_seed == 5:
            raise TrainingError("the loss is not finite", where="epoch 1")
        return train(config, *arguments, **options)

    monkeypatch.setattr(run, "train_in_process", failing)
    with pytest.raises(TrainingError, match="the loss is not finite") as failed:
        execute()
    assert failed.value.where == "seed 5, epoch 1"
    assert store.status == {
        "tiny": "FAILED: seed 5, epoch 1: the loss is not finite",
        "tiny-seed-4": "FINISHED",
        "tiny-seed-5": "FAILED: epoch 1: the loss is not finite",
    }
    assert "test/accuracy" in store.named("tiny").summary
    assert "test/accuracy_std" not in store.named("tiny").summary


def test_ctrl_c_while_a_seed_is_delivered_ends_the_whole_but_not_the_seed(store, monkeypatch):
    finish = RememberedTracker.finish

    def interrupted(tracker, status, *, reason=None):
        if status == "FINISHED":
            raise KeyboardInterrupt
        return finish(tracker, status, reason=reason)

    monkeypatch.setattr(RememberedTracker, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute()
    whole, [first] = records()
    assert (whole.state, first.state, first.result["is_tracked"]) == ("killed", "finished", False)


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("val/accuracy", (0.5, 0.7, 0.7), 1),
        ("val/loss", (0.5, 0.4, 0.7), 1),
        ("val/loss", (math.nan, math.nan, 0.7), 2),
        ("val/accuracy", (0.7, math.nan, 0.1), 0),
    ],
)
def test_the_best_seed_is_the_first_that_is_best_on_val(metric, values, best):
    of_seeds = {
        seed: {f"best/{metric}": value, "test/accuracy": -value}
        for seed, value in enumerate(values)
    }
    assert best_seed(metric, of_seeds) == best


def test_a_note_of_all_seeds_is_said_once_and_one_of_some_names_them():
    results = {
        seed: train_result(notes=["of all", *(["of some"] if seed != 1 else [])], verdict=verdict)
        for seed, verdict in ((0, None), (1, "no better than chance"), (2, None))
    }
    assert seeds.notes_of(results) == [
        "of all",
        "seed 0, 2: of some",
        "seed 1: do not use the model: it is no better than chance",
    ]
