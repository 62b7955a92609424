import json
from types import SimpleNamespace

import pytest

RESULT = SimpleNamespace(
    metrics={f"{split}/accuracy": 0.5 for split in ("train", "val", "test")}
    | {"test/macro_f1": 0.25},
    num_ngrams=12345,
    num_words=3,
    weighting="nb",
    fit_s=1.5,
    sample={"label": "pos", "probabilities": {"pos": 0.75, "neg": 0.25}, "text": "A film."},
    report="runs/x/results/report.html",
    verdict=None,
    run_id="0123456789abcdef",
    tracking_uri="sqlite:///x.db",
    run_url=None,
    runs_url=None,
    classes=[{"class": "pos", "precision": 0.5, "recall": 0.25, "f1": 0.3333, "rows": 12}],
    confused=[],
    notes=[],
    as_dict=lambda: {"num_ngrams": 12345},
)


@pytest.fixture
def calls(replaced):
    return replaced("rnnlane.cli.baseline.fit_baseline", RESULT)


def test_a_person_sees_scores_and_how_to_ask_the_model(call, calls, experiment):
    printed = call("baseline", experiment).stdout
    assert "train 0.5000   val 0.5000   test 0.5000" in printed
    assert "log-ratios of 12,345 n-grams, of up to 3 words, in 1.5 s" in printed
    assert "pos 75.0%: A film." in printed
    assert "rnnlane predict --run 01234567" in printed


def test_json_is_the_result(call, calls, experiment):
    printed = call("baseline", experiment, "--json", "--set", "baseline.num_words=1").stdout
    assert json.loads(printed) == {"num_ngrams": 12345}
    assert calls[0][0][0].baseline.num_words == 1
