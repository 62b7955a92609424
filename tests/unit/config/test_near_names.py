import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.keys import dotted_fields
from rnnlane.config.near_names import _MEANT, _SYNONYMS
from rnnlane.config.sources import SOURCES, source_class
from rnnlane.errors import ConfigError

MINIMAL = {"name": "x", "data": {"source": {"kind": "generated"}}}


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("lr=1", "did you mean `training.learning_rate`?"),
        ("training.lr=1", "did you mean `learning_rate`?"),
        ("epochs=1", "did you mean `training.epochs`?"),
        ("model.batch_size=1", "did you mean `training.global_batch_size`?"),
        ("model.hidden=1", "did you mean `hidden_size`?"),
        ("hidden_size=1", "did you mean `model.hidden_size`?"),
        ("model.layers=1", "did you mean `num_layers`?"),
        ("max_length=1", "did you mean `text.max_length`?"),
        ("Dropout=1", "did you mean `model.dropout` or `model.ngrams.dropout`?"),
        ("training.num_workers=1", "did you mean `runtime.num_workers`?"),
        ("clip.max_norm=1", "did you mean `training.clip`?"),
        ("path=x", "did you mean `data.source.path`?"),
        ("columns={}", "did you mean `data.columns`?"),
        ("training.max_epoch=1", "did you mean `epochs`?"),
        ("patience=1", "did you mean `training.schedule.patience`?"),
        ("max_trials=1", "did you mean `search.num_trials`?"),
        ("cpus_per_worker=1", "did you mean `runtime.cpus_per_worker` or `search.cpus_per_w"),
        (
            "data.source.path=x",
            "kinds imdb, csv, jsonl, parquet and text have; set data.source.kind",
        ),
        ("model.zzz=1", "the keys there are bidirectional, cell, "),
    ],
)
def test_a_key_is_found_by_its_letters_or_its_meaning(override, remedy):
    with pytest.raises(ConfigError) as refused:
        experiment_from_mapping(MINIMAL, [override])
    assert refused.value.remedy.startswith(remedy)


def test_every_meaning_is_a_key_and_no_name_has_two():
    inner = {f"data.source.{key}" for kind in SOURCES for key in source_class(kind).model_fields}
    assert set(_SYNONYMS) <= {*dotted_fields(), *inner}
    assert len(_MEANT) == sum(len(names.split()) for names in _SYNONYMS.values())
