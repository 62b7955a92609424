"""The shipped experiments on the real reviews, named by RNNLANE_IMDB."""

import os
from pathlib import Path

import pytest

from support.command import rnnlane_json

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "RNNLANE_IMDB" not in os.environ, reason="RNNLANE_IMDB does not name the review archive"
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("imdb") / "home"


def train(home, name, epochs):
    archive = str(Path(os.environ["RNNLANE_IMDB"]).absolute())
    experiment = str(EXPERIMENTS / f"{name}.yaml")
    setting = f"training.epochs={epochs}"
    arguments = ("train", experiment, "--set", setting)
    return rnnlane_json(home, *arguments, timeout_s=900, RNNLANE_IMDB=archive)


def test_lstm_1_reaches_its_accuracy_in_three_epochs_on_two_workers(home):
    result = train(home, "lstm-1", 3)
    assert result["metrics"]["best"]["val/accuracy"] >= 0.83
    assert result["metrics"]["best"]["test/accuracy"] >= 0.82


@pytest.mark.parametrize("name", ["rnn-1", "birnn-3", "bilstm-3"])
def test_the_original_experiments_run_for_an_epoch_and_learn(home, name):
    result = train(home, name, 1)
    assert result["epochs"] == 1
    assert result["metrics"]["val/accuracy"] > 0.6
