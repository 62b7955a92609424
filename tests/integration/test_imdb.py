"""The shipped experiments on the real reviews, named by RNNLANE_IMDB."""

import os
from pathlib import Path

import pytest

from support.command import rnnlane_json

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1600),
    pytest.mark.skipif(
        "RNNLANE_IMDB" not in os.environ, reason="RNNLANE_IMDB does not name the review archive"
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("imdb") / "home"


def on_reviews(home, verb, name, *options):
    archive = str(Path(os.environ["RNNLANE_IMDB"]).absolute())
    arguments = (verb, str(EXPERIMENTS / f"{name}.yaml"), *options)
    return rnnlane_json(home, *arguments, timeout_s=1500, RNNLANE_IMDB=archive)


def test_the_reviews_are_prepared_with_their_official_test(home):
    manifest = on_reviews(home, "prepare", "lstm-1")["manifest"]
    splits, merged = manifest["splits"], manifest["merged"]
    assert splits["test"]["class_counts"] == {"neg": 12_500, "pos": 12_500}
    num_merged = merged["duplicates"] + merged["train_also_in_test"]
    assert splits["train"]["num_rows"] + splits["val"]["num_rows"] + num_merged == 25_000
    assert splits["train"]["num_rows"] > 22_000
    assert manifest["dropped"] == {}
    groups = manifest["groups"]
    assert groups["num_groups"] >= 100
    for name in ("neg", "pos"):
        assert abs(groups["dealt"]["val"][name] - groups["asked"]["val"][name]) < 130


@pytest.mark.release
def test_lstm_1_reaches_its_accuracy_in_three_epochs_on_two_workers(home):
    best = on_reviews(home, "train", "lstm-1", "--set", "training.epochs=3")["metrics"]["best"]
    assert best["val/accuracy"] >= 0.83
    assert best["test/accuracy"] >= 0.82


# birnn-3 is made of the cell of the one and the layers of the other.
@pytest.mark.release
@pytest.mark.parametrize("name", ["rnn-1", "bilstm-3"])
def test_the_original_experiments_run_for_an_epoch_and_learn(home, name):
    result = on_reviews(home, "train", name, "--set", "training.epochs=1")
    assert result["epochs"] == 1
    assert result["metrics"]["val/accuracy"] > 0.6
