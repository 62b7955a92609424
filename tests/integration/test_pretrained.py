"""From texts without labels to a classifier, as a user goes there: with two workers."""

import json
from pathlib import Path

import pytest

from support.command import rnnlane, rnnlane_json, write_experiment
from support.runs import timeless

pytestmark = pytest.mark.slow

WORDS = ("dull", "fine", "slow", "bright", "long", "short", "warm", "cold")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    texts = folder / "texts"
    texts.mkdir()
    lines = [
        f"the {WORDS[n % 8]} film was {WORDS[n % 7]} and {WORDS[n // 8 % 8]} {n}"
        for n in range(800)
    ]
    (texts / "all.txt").write_text("\n".join(lines))
    file = write_experiment(
        folder,
        name="few-labels",
        data={
            "source": {"kind": "generated", "num_rows": 400},
            "unlabeled": {"source": {"kind": "text", "path": str(texts)}},
        },
        model={"cell": "lstm", "embedding_dim": 16, "hidden_size": 16, "bidirectional": True},
        pretraining={"epochs": 2, "global_batch_size": 8, "bptt": 10},
        training={"epochs": 2, "global_batch_size": 16},
        runtime={"num_workers": 2, "device": "cpu"},
    )
    return folder / "home", file


def test_texts_that_are_not_held_in_memory_give_the_same_language_model(experiment):
    home, file = experiment
    in_memory, streamed = (
        rnnlane_json(home, "pretrain", str(file), "--set", f"data.feed={feed}")["metrics"]
        for feed in ("resident", "streaming")
    )
    (streamed,) = timeless([streamed])
    assert [streamed] == timeless([in_memory])


def test_a_language_model_starts_a_classifier_that_reads_the_texts_too(experiment):
    home, file = experiment
    pretrained = rnnlane_json(home, "pretrain", str(file))
    assert pretrained["num_texts"]["unlabeled"] == 800
    (vocabulary,) = Path(pretrained["prepared_path"]).glob("*/vocabulary.jsonl")
    num_words = len(vocabulary.read_text().splitlines())
    assert pretrained["metrics"]["val/perplexity"] < num_words / 2
    settings = [
        f"--set=model.init_from={pretrained['run_id']}",
        "--set=training.adversarial.unlabeled=8",
    ]
    done = rnnlane(home, "train", str(file), "--json", *settings)
    assert done.returncode == 0, done.stderr
    assert "unlabeled 800 rows, without labels" in done.stderr
    result = json.loads(done.stdout)
    assert result["epochs"] == 2
    assert "unlabeled" in Path(result["report"]).read_text()
    assert "cannot" not in done.stderr
    scored = rnnlane_json(home, "evaluate", "--run", result["run_id"], "--split", "test")
    assert scored["metrics"]["accuracy"] == pytest.approx(result["metrics"]["test/accuracy"])


def test_texts_of_which_none_is_left_are_told(experiment, tmp_path):
    home, file = experiment
    (tmp_path / "empty.txt").write_text("<br />\n")
    source = f"--set=data.unlabeled.source.path={tmp_path}"
    done = rnnlane(home, "train", str(file), source, "--set=training.adversarial.unlabeled=8")
    assert done.returncode == 2, done.stderr
    assert "data.unlabeled" in done.stderr
    assert "Traceback" not in done.stderr
