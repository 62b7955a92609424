"""What the verbs do before anything costly is imported or started."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import rnnlane
from rnnlane import pipeline
from rnnlane.config.fingerprint import config_fingerprint
from rnnlane.config.load import load_experiment
from rnnlane.errors import ConfigError, DataError, ResourceError
from rnnlane.execution import ensemble as execution
from rnnlane.execution.environment import code_version
from rnnlane.execution.identity import run_fingerprint
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.pipeline import executing
from rnnlane.ray_cluster import connect as cluster
from rnnlane.records.events import RunEvents
from rnnlane.records.results import TrainResult
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.tracking import store
from support.bundle import write_bundle
from support.chosen_devices import chosen_devices
from support.compared import summary_of
from support.results import seeds_result
from support.tiny import tiny_experiment
from support.tracked import tiny_prepared

PREPARE = executing.prepare
RESULT = {
    "run_id": "a" * 32,
    "tracking_uri": "sqlite:///x.db",
    "config_fingerprint": "c",
    "data_fingerprint": "d",
    "prepared_path": "p",
    "model_uri": "runs:/a/model",
    "metrics": {},
    "epochs": 2,
    "best_epoch": 1,
    "clip": {},
    "sample": {},
    "run_folder": "f",
    "is_tracked": True,
}


class Notes(RunEvents):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    prepared = SimpleNamespace(fingerprint="d", class_names=("a", "b", "c"), manifest="of d")
    monkeypatch.setattr(executing, "prepare", lambda *_, **__: prepared)
    return prepared


def test_resuming_a_finished_run_returns_its_result_and_opens_nothing(monkeypatch):
    monkeypatch.setattr(executing, "_open_store", lambda *_: pytest.fail("opened"))
    config = tiny_experiment()
    identity = {"config_fingerprint": config_fingerprint(config), "data_fingerprint": "d"}
    RunRecord.create("tiny", **identity).update(
        state="finished", result=RESULT, code_version=code_version()
    )
    events = Notes()
    assert pipeline.train(config, resume=True, events=events) == TrainResult(**RESULT)
    assert events.notes == [f"run {'a' * 32} in sqlite:///x.db", "the run has already finished"]


def test_resuming_seeds_that_have_finished_returns_them_all_and_refuses_fewer(monkeypatch):
    monkeypatch.setattr(executing, "_open_store", lambda *_: pytest.fail("opened"))
    config, result = tiny_experiment("training.seeds=2"), seeds_result()
    identity = {"config_fingerprint": run_fingerprint(config), "data_fingerprint": "d"}
    record = RunRecord.create("tiny", **identity).update(
        state="finished", result=result.as_dict(), code_version=code_version()
    )
    events = Notes()
    assert pipeline.train(config, resume=True, events=events) == result
    assert events.notes[-1] == "the run has already finished"
    record.update(result={**result.as_dict(), "num_seeds": 3})
    with pytest.raises(ConfigError, match="not fewer, but got 2, and the run to continue has 3"):
        pipeline.train(config, resume=True)


@pytest.mark.parametrize(("num_seeds", "continues"), [(2, False), (3, True)])
def test_seeds_that_other_code_has_finished_are_continued_for_more_of_them(
    num_seeds, continues, monkeypatch
):
    monkeypatch.setattr(executing, "_open_store", lambda *_: pytest.fail("opened"))
    config = tiny_experiment(f"training.seeds={num_seeds}")
    identity = {"config_fingerprint": run_fingerprint(config), "data_fingerprint": "d"}
    record = RunRecord.create("tiny", **identity).update(
        state="finished", result=seeds_result().as_dict(), code_version="0123abcd"
    )
    events = Notes()
    with pytest.raises(pytest.fail.Exception, match="opened"):
        pipeline.train(config, resume=True, events=events)
    assert any("its result is of both" in note for note in events.notes) == continues
    assert record.reread() == record


@pytest.fixture
def reported(monkeypatch):
    """The report of a manifest is one line, and no store is opened."""
    monkeypatch.setattr(
        "rnnlane.data.prepare.report.report_lines", lambda manifest: [f"rows {manifest}"]
    )
    monkeypatch.setattr(executing, "_open_store", lambda *_: None)
    return Notes()


@pytest.mark.parametrize(
    ("state", "note"),
    [
        ("finished", "the finished run is of other code of rnnlane (source 0123abcd; this is "),
        ("failed", "continuing a run that other code of rnnlane has worked on (source 0123abcd; "),
    ],
)
def test_code_that_has_changed_starts_again_after_a_result_and_says_so(
    reported, monkeypatch, state, note
):
    """The result of other code is not this code's result."""
    executed = []

    def execute(config, prepared, *, record, events):
        executed.append(record)

    monkeypatch.setattr("rnnlane.execution.run.execute_run", execute)
    config = tiny_experiment()
    identity = {"config_fingerprint": config_fingerprint(config), "data_fingerprint": "d"}
    result = RESULT if state == "finished" else None
    earlier = RunRecord.create("tiny", **identity).update(
        state=state, result=result, code_version="0123abcd"
    )
    pipeline.train(config, resume=True, events=reported)
    assert reported.notes[0].startswith(note)
    assert code_version() in reported.notes[0]
    assert [record.key == earlier.key for record in executed] == [state == "failed"]
    assert executed[0].code_version == code_version()


def test_a_run_that_ray_refuses_leaves_no_record(monkeypatch):
    def refuse(*_, **__):
        raise ConfigError("no")

    monkeypatch.setattr(cluster, "connect", refuse)
    with pytest.raises(ConfigError):
        pipeline.train(tiny_experiment("runtime.num_workers=2"))
    assert all_records() == []


def test_a_metric_of_two_classes_is_refused_for_three():
    with pytest.raises(ConfigError, match="the data has 3"):
        pipeline.train(tiny_experiment("training.metric=val/roc_auc"))


def test_a_metric_of_two_classes_needs_both_in_val(prepared):
    """Rows that the text settings make equal to test rows are taken out of val."""
    prepared.class_names = ("a", "b")
    val = SimpleNamespace(class_counts={"a": 3, "b": 0})
    prepared.manifest = SimpleNamespace(splits={"val": val})
    with pytest.raises(ConfigError, match="val rows of both classes, but there is none of 'b'"):
        pipeline.train(tiny_experiment("training.metric=val/roc_auc"))


def test_weights_of_classes_that_the_data_lacks_are_refused():
    with pytest.raises(ConfigError, match="must be classes of the data, but got 'x'"):
        pipeline.train(tiny_experiment("training.class_weights={x: 2}"))


@pytest.mark.parametrize("verb", ["train", "baseline"])
def test_a_run_begins_with_what_became_of_the_rows(verb, reported, monkeypatch):
    module = "run" if verb == "train" else verb
    execute = f"rnnlane.execution.{module}.execute_{module}"
    monkeypatch.setattr(execute, lambda *_, **keywords: keywords["events"].note("runs"))
    getattr(pipeline, verb)(tiny_experiment(), events=reported)
    assert reported.notes == ["rows of d", "runs"]


def test_preparing_ends_with_what_became_of_the_rows(reported, prepared, monkeypatch):
    monkeypatch.setattr(executing, "_prepared", lambda *_: prepared)
    assert PREPARE(tiny_experiment(), events=reported) is prepared
    assert reported.notes == ["rows of d"]


def test_a_search_says_of_each_data_set_how_it_differs(reported, monkeypatch):
    space = {"text.lowercase": "choice(true, false)", "text.max_length": "choice(5)"}
    config = tiny_experiment("search.num_trials=1", f"search.space={json.dumps(space)}")
    monkeypatch.setattr(cluster, "connect", lambda *_, **__: None)
    monkeypatch.setattr("rnnlane.search.search.execute_search", lambda *_, **__: None)
    pipeline.tune(config, events=reported)
    assert reported.notes == [
        "data set 1 of 2: text.lowercase=True",
        "rows of d",
        "data set 2 of 2: text.lowercase=False",
    ]


@pytest.mark.parametrize("verb", [pipeline.train, pipeline.tune])
def test_word_vectors_are_checked_before_anything_is_prepared(verb, monkeypatch):
    monkeypatch.setattr(executing, "prepare", lambda *_, **__: pytest.fail("prepared"))
    config = tiny_experiment(
        "model.pretrained_vectors=none.txt", "search.space={model.num_layers: {choice: [1, 2]}}"
    )
    with pytest.raises(DataError, match="cannot read the word vectors: No such file"):
        verb(config)


@pytest.mark.parametrize(
    ("asked", "found", "has_all"),
    [
        ("null", None, True),
        ("null", {"is_complete": True}, True),
        ("{seeds: 2}", None, False),
        ("{seeds: 2}", {"is_complete": True, "asked": "the same"}, True),
        ("{seeds: 2}", {"is_complete": False, "asked": "the same"}, False),
        ("{seeds: 2}", {"is_complete": True, "asked": {"seeds": 3}}, False),
    ],
)
def test_a_finished_search_goes_on_where_its_ablation_is_not_what_is_asked_for(
    asked, found, has_all
):
    space = "search.space.model.hidden_size=choice(4, 5)"
    config = tiny_experiment(space, "search.num_trials=2", f"search.ablation={asked}")
    if found is not None and found.get("asked") == "the same":
        found = {**found, "asked": config.search.ablation.model_dump(mode="json")}
    assert executing._has_all_trials(config, {"num_trials": 2, "ablation": found}) is has_all
    assert not executing._has_all_trials(config, {"num_trials": 1, "ablation": found})
    left = {"num_trials": 2, "ablation": found, "has_all_seeds": False}
    assert not executing._has_all_trials(config, left)


def test_a_search_needs_its_section():
    with pytest.raises(ConfigError, match="`search` section"):
        pipeline.tune(tiny_experiment())


def test_importing_the_verbs_imports_nothing_costly():
    program = "import sys, rnnlane; print({'torch', 'ray', 'mlflow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose model is a bundle on disk, and whose experiment names its columns."""
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(
        "name: x\ndata:\n  source: {kind: generated}\n  columns: {text: review, label: stars}\n"
    )
    bundle = write_bundle(tmp_path / "bundle")
    summary = SimpleNamespace(run_id="ab", tags={})
    monkeypatch.setattr(store, "find_run", lambda *_, with_model: with_model and summary)
    monkeypatch.setattr(store, "download_artifacts", lambda *_: experiment)
    monkeypatch.setattr(store, "download_model", lambda *_: bundle)
    return bundle


def test_a_labeled_file_is_scored_and_what_is_left_out_is_told(run, tmp_path):
    rows = ["a film,good", "fine,bad", ",good", "<br>,good", "dull,awful", "a,awful", "fine,"]
    file = tmp_path / "x.csv"
    file.write_text("\n".join(["review,stars", *rows]))
    events = Notes()
    found = pipeline.evaluate(data=str(file), events=events)
    assert (found.split, found.num_rows) == (str(file), 2)
    assert found.unknown_labels == {"awful": 2}
    assert found.skipped == {"unknown_label": 2, "null_label": 1, "empty_text": 2}
    assert events.notes[-1] == "labels that the model does not know: 'awful' (2)"
    assert events.notes[0].startswith("rows not scored: 5 of 7 (")
    predicted = [each["label"] for each in pipeline.predict(["a film", "fine"])]
    correct = sum(one == other for one, other in zip(predicted, ["good", "bad"], strict=True))
    assert found.metrics["accuracy"] == correct / 2
    assert sum(map(sum, found.confusion)) == 2


def test_the_file_that_a_model_was_trained_on_is_said_to_be_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = f"{{kind: csv, path: {tmp_path / 'own.csv'}}}"
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(experiment.read_text().replace("{kind: generated}", source))
    for name in ("own.csv", "other.csv"):
        (tmp_path / name).write_text("review,stars\na film,good\nfine,bad\n")
    events, others = Notes(), Notes()
    pipeline.evaluate(data="own.csv", events=events)
    pipeline.evaluate(data="other.csv", events=others)
    assert events.notes[-1].startswith("own.csv is the experiment's own data, and most of its rows")
    assert others.notes == []


def test_a_file_of_texts_that_are_empty_for_the_model_is_refused(run, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("review,stars\n<br>,good\n")
    with pytest.raises(DataError, match="all 1 are empty for the model"):
        pipeline.evaluate(data=str(file))


def test_predict_takes_texts_and_not_one_text(run):
    (found,) = pipeline.predict(["zzz"])
    assert (found["text"], found["num_known_tokens"]) == ("zzz", 0)
    for wrong in ("zzz", ["a", None]):
        with pytest.raises(ConfigError, match="must be a sequence of str"):
            pipeline.predict(wrong)


@pytest.mark.parametrize("verb", ["evaluate", "predict", "load_model"])
def test_a_model_is_put_on_the_device_that_is_chosen(run, tmp_path, monkeypatch, verb):
    file = tmp_path / "x.csv"
    file.write_text("review,stars\na film,good\n")
    use = {
        "evaluate": lambda device: rnnlane.evaluate(data=file, device=device),
        "predict": lambda device: rnnlane.predict(["a film"], device=device),
        "load_model": lambda device: rnnlane.load_model(device=device),
    }[verb]
    devices = chosen_devices(monkeypatch)
    for device in ("auto", "gpu", "cpu"):
        use(device)
    assert devices == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="needs a GPU"):
        use("gpu")
    with pytest.raises(
        ConfigError, match="device: it must be one of auto, cpu, gpu, but got 'cuda'"
    ):
        use("cuda")
    assert len(devices) == 3


def test_a_search_trains_each_trial_with_one_seed_and_says_so(monkeypatch):
    monkeypatch.setattr(executing, "_open_store", lambda *_: pytest.fail("opened"))
    monkeypatch.setattr(executing, "_start_ray", lambda *_: None)
    space = "search.space={model.cell: 'choice(rnn, lstm)'}"
    events = Notes()
    with pytest.raises(pytest.fail.Exception, match="opened"):
        pipeline.tune(
            tiny_experiment("training.seeds=3", "search.num_trials=1", space), events=events
        )
    assert (
        "training.seeds 3 is for `rnnlane train`: a trial trains with one seed" in events.notes[0]
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("tiny", "tiny-ensemble"), ("n" * 80, f"{'n' * 71}-ensemble")]
)
def test_an_ensemble_is_named_after_its_first_member_and_its_experiment_can_be_read(
    monkeypatch, tmp_path, name, expected
):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path))
    config = tiny_experiment(f"name={name}", "description=A GRU.", "tracking.tags.team=a")
    runs = [summary_of("a"), summary_of("b")]
    members = execution.Members("sqlite:///x.db", runs, {}, config, tiny_prepared())
    monkeypatch.setattr(executing, "_open_store", lambda _uri: None)
    monkeypatch.setattr(execution, "read_members", lambda _uri, _runs: members)
    monkeypatch.setattr(execution, "execute_ensemble", lambda *given, **_: given)
    _, own, weighting = pipeline.ensemble(["a", "b"], weights="mean", tracking_uri="sqlite:///x.db")
    assert (own.name, weighting) == (expected, "mean")
    assert own.tracking.run_name == expected
    assert own.tracking.tags == {}
    file = tmp_path / "experiment.yaml"
    file.write_text(resolved_yaml(own))
    read = load_experiment(file)
    assert (read.name, read.data) == (expected, config.data)
