from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping, load_experiment
from rnnlane.reports import artifacts
from rnnlane.training.loop import Outcome

SAMPLE = {"text": "so good", "label": "good", "probabilities": {"bad": 0.25, "good": 0.75}}


def experiment(**changes: Any) -> ExperimentConfig:
    values = {"name": "x", "data": {"source": {"kind": "generated"}}, "sample_text": "so good"}
    return experiment_from_mapping({**values, **changes})


def outcome(*norms: float, max_norm: float | None = 2.0) -> Outcome:
    return Outcome(
        history=[{"epoch": 1.0, "val/accuracy": 0.5}],
        best_epoch=1,
        weights={},
        losses=np.zeros(len(norms)),
        norms=np.array(norms),
        clip={"max_norm": max_norm, "reason": "as given"},
        confusions={name: np.eye(2, dtype=np.int64) for name in ("val", "test")},
    )


@pytest.mark.parametrize(
    ("made", "fraction"),
    [
        (outcome(1.0, 2.0, 3.0, 4.0), 0.5),
        (outcome(1.0, 3.0, np.nan, np.inf), 0.25),
        (outcome(1.0, 3.0, max_norm=None), 0.0),
        (outcome(), 0.0),
    ],
    ids=["some", "not finite", "no limit", "no steps"],
)
def test_clipped_are_the_finite_norms_above_the_limit(made: Outcome, fraction: float) -> None:
    assert artifacts.clipped_fraction(made) == fraction


def test_the_written_experiment_runs_again_and_has_no_password(tmp_path: Path) -> None:
    config = experiment(tracking={"uri": "http://me:secret@host:5000"})
    prepared: Any = SimpleNamespace(
        manifest=SimpleNamespace(model_dump_json=lambda **_: "{}"),
        vocabulary_text=lambda: '["the"]\n',
    )
    artifacts.write_inputs(tmp_path / "inputs", config, prepared)
    text = (tmp_path / "inputs" / "experiment.yaml").read_text()
    assert "secret" not in text
    assert load_experiment(tmp_path / "inputs" / "experiment.yaml").training == config.training
    assert (tmp_path / "inputs" / "vocabulary.jsonl").read_text() == '["the"]\n'


def test_results_have_the_numbers_behind_every_picture(tmp_path: Path) -> None:
    made = outcome(1.0, 3.0)
    names = ("bad", "good")
    artifacts.write_results(tmp_path, experiment(), made, class_names=names, sample=SAMPLE)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {
        "curves",
        "confusion",
        "confidence",
        "gradient_norms",
    }
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        f"{split}_{table}.csv" for split in ("val", "test") for table in ("classes", "confused")
    }
    numbers = json.loads((tmp_path / "results.json").read_text())
    assert numbers["clip"] == {"max_norm": 2.0, "reason": "as given", "clipped_fraction": 0.5}
    assert numbers["history"] == made.history
    assert numbers["test_confusion"] == [[1, 0], [0, 1]]
    assert numbers["sample"] == [SAMPLE]


def test_the_picture_of_a_val_row_says_its_true_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(artifacts, "save_confidence", lambda texts, *_: titles.extend(texts))
    for text in ("so good", "x" * 1000):
        sample = {**SAMPLE, "text": text, "true_label": "bad"}
        artifacts.write_results(
            tmp_path, experiment(), outcome(), class_names=("bad", "good"), sample=sample
        )
    assert titles == ["so good (it is bad)", f"{'x' * 160} ... (it is bad)"]


def test_without_a_sample_there_is_no_picture_of_it(tmp_path: Path) -> None:
    artifacts.write_results(
        tmp_path, experiment(), outcome(), class_names=("bad", "good"), sample=None
    )
    assert not (tmp_path / "figures" / "confidence.png").exists()
    assert json.loads((tmp_path / "results.json").read_text())["sample"] == []


def test_a_matrix_of_many_classes_is_in_the_tables_only(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    names = [str(number) for number in range(101)]
    confusions = {"test": np.eye(101, dtype=np.int64)}
    numbers = artifacts.write_answers(tmp_path, confusions, names, sample=None)
    assert numbers["test_confusion"] is None
    assert len((tmp_path / "tables" / "test_classes.csv").read_text().splitlines()) == 102
