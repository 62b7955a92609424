from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rnnlane.config.experiment import ExperimentConfig

GENERATED = {"kind": "generated"}


def experiment(**sections: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"name": "x", "data": {"source": GENERATED}} | sections)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"source": GENERATED, "test": "official"}}, "a source with a test split"),
        ({"data": {"source": GENERATED, "classes": ["a", "a"]}}, "classes must differ"),
        (
            {"data": {"source": {"kind": "csv", "path": "a.csv", "test_path": "b.csv"}}},
            "only read with test: official",
        ),
        (
            {"data": {"source": GENERATED, "columns": {"text": ["a", "b"], "label": "a"}}},
            "must be different columns, but got 'a'",
        ),
        ({"text": {"tokenizer": "characters", "stop_words": "english"}}, "must be off"),
        ({"model": {"dropout": 0.5}}, "needs num_layers >= 2"),
        ({"training": {"clip": {"of_mean": 2}}}, "of_mean needs policy auto"),
        (
            {"training": {"global_batch_size": 2}, "runtime": {"num_workers": [1, 3]}},
            r"but got \(2, 3\)",
        ),
        (
            {
                "data": {"source": GENERATED, "classes": ["a", "b", "c"]},
                "model": {"ngrams": {"bits": 26}},
            },
            r"2\*\*26 buckets of 3 classes take 4.0 GB: lower model.ngrams.bits",
        ),
        (
            {"training": {"gradual_unfreezing": True, "epochs": 3}, "model": {"num_layers": 2}},
            "training.epochs must be at least 4, but got 3",
        ),
        ({"training": {"reduction_shards": 6}}, "must be a power of two, but got 6"),
        (
            {"training": {"reduction_shards": 2}, "runtime": {"num_workers": [1, 3]}},
            r"reduction_shards must be at least runtime.num_workers, but got \(2, 3\)",
        ),
        (
            {
                "training": {"reduction_shards": 2},
                "search": {"space": {"model.num_layers": "choice(1, 2)"}, "workers_per_trial": 4},
            },
            r"at least search.workers_per_trial, but got \(2, 4\)",
        ),
        (
            {"model": {"pretrained_vectors": "v.txt"}, "text": {"tokenizer": "characters"}},
            "needs a word tokenizer",
        ),
        (
            {"training": {"precision": "bfloat16"}, "runtime": {"device": "cpu"}},
            "bfloat16 needs a GPU",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        experiment(**sections)


def test_training_has_the_experiment_seed_unless_it_sets_its_own() -> None:
    assert experiment(seed=3).training_seed == 3
    assert experiment(seed=3, training={"seed": 0}).training_seed == 0


@pytest.mark.parametrize("key", ["embedding_dropout", "token_dropout", "head_dropout"])
def test_any_dropout_draws_masks(key: str) -> None:
    assert not experiment().model.has_dropout
    assert experiment(model={key: 0.1}).model.has_dropout


@pytest.mark.parametrize(("value", "names"), [("a", ("a",)), (2, ("2",)), (["a", 2], ("a", "2"))])
def test_columns_are_named_or_numbered_and_a_text_may_have_several(
    value: Any, names: tuple[str, ...]
) -> None:
    columns = {"text": value}
    assert experiment(data={"source": GENERATED, "columns": columns}).data.columns.texts == names


@pytest.mark.parametrize("value", ["", [], None, True, 1.5, {"a": 1}, ["a", None], ["a", ["b"]]])
def test_what_names_no_column_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="must be the name of a column"):
        experiment(data={"source": GENERATED, "columns": {"text": value}})
