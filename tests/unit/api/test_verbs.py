import subprocess
import sys
from pathlib import Path

import pytest

import rnnlane
from rnnlane import pipeline
from rnnlane.api.verbs import run_and_store
from rnnlane.errors import ConfigError
from support.results import train_result
from support.tiny import tiny_experiment

DEMO = Path(__file__).parents[3] / "experiments" / "demo.yaml"


def test_importing_it_imports_no_other_module_and_changes_nothing():
    program = (
        "import sys, os, logging, warnings, signal\n"
        "before = dict(os.environ), list(logging.root.manager.loggerDict), warnings.filters[:]\n"
        "import rnnlane\n"
        "after = dict(os.environ), list(logging.root.manager.loggerDict), warnings.filters[:]\n"
        "assert before == after\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "print([name for name in sys.modules if name.startswith('rnnlane')])\n"
        "rnnlane.train, rnnlane.load_model, rnnlane.submit, rnnlane.RunEvents\n"
        "heavy = {'torch', 'ray', 'mlflow', 'pandas', 'matplotlib', 'pyarrow', 'rich', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["['rnnlane']", "[]"]


def test_every_name_that_it_shows_is_there_and_has_a_description():
    assert set(rnnlane.__all__) <= set(dir(rnnlane))
    for name in rnnlane.__all__:
        value = getattr(rnnlane, name)
        assert getattr(value, "__doc__", None), name
    assert rnnlane.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = rnnlane.trian


@pytest.mark.parametrize("verb", ["prepare", "train", "baseline", "tune"])
def test_an_experiment_is_given_as_one_or_as_a_path(verb, monkeypatch):
    asked = []
    monkeypatch.setattr(pipeline, verb, lambda config, **_: asked.append(config.name))
    for experiment in (tiny_experiment(), DEMO, str(DEMO)):
        getattr(rnnlane, verb)(experiment, events=rnnlane.SILENT)
    assert asked == ["tiny", "demo", "demo"]
    with pytest.raises(ConfigError, match="the path of a file, but got dict"):
        getattr(rnnlane, verb)({"name": "x"})


def test_a_result_stands_for_its_run_and_store():
    result = train_result(tracking_uri="sqlite:///x.db")
    assert run_and_store(result, None) == (result.run_id, "sqlite:///x.db")
    assert run_and_store(result, "http://other") == (result.run_id, "http://other")
    assert run_and_store("latest", None) == ("latest", None)
    with pytest.raises(ConfigError, match="but got int"):
        run_and_store(3, None)


def test_a_store_whose_password_the_result_does_not_know_is_looked_up_again():
    result = train_result(tracking_uri="http://***@host")
    assert run_and_store(result, None) == (result.run_id, None)


def test_evaluate_and_predict_ask_for_the_run_of_a_result(monkeypatch):
    asked = []
    monkeypatch.setattr(pipeline, "evaluate", lambda config, **given: asked.append(given))
    monkeypatch.setattr(pipeline, "predict", lambda texts, **given: asked.append(given))
    result = train_result(tracking_uri="sqlite:///x.db")
    rnnlane.evaluate(result, data=Path("x.csv"), device="cpu", events=rnnlane.SILENT)
    rnnlane.predict(["a"], run=result, device="cpu")
    assert [one["run"] for one in asked] == [result.run_id] * 2
    assert [one["tracking_uri"] for one in asked] == ["sqlite:///x.db"] * 2
    assert [one["device"] for one in asked] == ["cpu"] * 2
    assert asked[0]["data"] == "x.csv"


def test_runs_to_compare_are_results_or_names(monkeypatch):
    asked = []
    monkeypatch.setattr(pipeline, "compare", lambda runs, **given: asked.append((runs, given)))
    result = train_result(tracking_uri="sqlite:///x.db")
    rnnlane.compare(["other", result], split="val", plot="x.png")
    assert asked[0][0] == ["other", result.run_id]
    assert asked[0][1]["tracking_uri"] == "sqlite:///x.db"
    assert (asked[0][1]["split"], asked[0][1]["plot"]) == ("val", Path("x.png"))
    rnnlane.compare("a name")
    assert asked[1][0] == ["a name"]


def test_a_run_to_promote_is_a_result_or_a_name(monkeypatch):
    asked = []
    monkeypatch.setattr(pipeline, "promote", lambda run, **given: asked.append((run, given)))
    result = train_result(tracking_uri="sqlite:///x.db")
    rnnlane.promote(result, name="reviews", alias="champion")
    rnnlane.promote("latest", name="reviews", alias="champion", force="new data")
    assert [run for run, _ in asked] == [result.run_id, "latest"]
    assert [given["tracking_uri"] for _, given in asked] == ["sqlite:///x.db", None]
    assert [given["force"] for _, given in asked] == [None, "new data"]
