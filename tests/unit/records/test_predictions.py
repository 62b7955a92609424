import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from rnnlane.errors import DataError
from rnnlane.records import predictions
from rnnlane.records.predictions import Predictions, kept_rows

# A class may be named by anything that a file can hold: a line break, a bracket, half a surrogate.
NAMES = ("good", "ba\nd [red]", "\ud83d")


def made(num_rows=7, class_names=NAMES):
    random = np.random.default_rng(0)
    return Predictions(
        row_keys=random.integers(0, 2**64, num_rows, dtype=np.uint64),
        labels=random.integers(0, len(class_names), num_rows),
        probabilities=random.dirichlet(np.ones(len(class_names)), num_rows).astype(np.float32),
        class_names=class_names,
    )


def assert_same(first, second):
    assert first.class_names == second.class_names
    assert first.num_split_rows == second.num_split_rows
    for name in ("row_keys", "labels", "probabilities"):
        ours, theirs = getattr(first, name), getattr(second, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("num_rows", [0, 1, 7])
def test_what_is_written_is_read(tmp_path, num_rows):
    written = made(num_rows)
    file = tmp_path / "predictions" / "val.parquet"
    written.write(file)
    assert_same(written, Predictions.read(file))


def test_nan_survives(tmp_path):
    written = made()
    written.probabilities[3] = np.nan
    written.write(tmp_path / "x.parquet")
    assert np.isnan(Predictions.read(tmp_path / "x.parquet").probabilities[3]).all()


def test_other_tools_read_the_file(tmp_path):
    made(3).write(tmp_path / "x.parquet")
    frame = pq.read_table(tmp_path / "x.parquet").to_pandas()
    assert list(frame.columns) == ["row_key", "label", "probabilities"]
    assert len(frame["probabilities"][0]) == 3
    metadata = pq.read_schema(tmp_path / "x.parquet").metadata
    assert json.loads(metadata[b"rnnlane.class_names"]) == list(NAMES)


def test_what_rows_were_answered():
    answers = Predictions(
        row_keys=np.array([5, 6, 7], dtype=np.uint64),
        labels=np.array([0, 1, 1]),
        probabilities=np.array([[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]], dtype=np.float32),
        class_names=("a", "b"),
    )
    assert answers.predicted.tolist() == [1, 0, 1]
    assert answers.is_right.tolist() == [False, False, True]
    assert answers.of_truth.tolist() == [0.25, 0.5, 1.0]
    assert answers.take(np.array([2, 0])).row_keys.tolist() == [7, 5]
    assert answers.take(np.array([2])).num_split_rows == 3


def _repeated_key(folder):
    sound = made()
    sound.row_keys[1] = sound.row_keys[0]
    sound.write(folder / "x.parquet")


def _label_of_no_class(folder):
    sound = made()
    sound.labels[0] = 3
    sound.write(folder / "x.parquet")


def _without_names(folder):
    made().write(folder / "x.parquet")
    table = pq.read_table(folder / "x.parquet").replace_schema_metadata({})
    pq.write_table(table, folder / "x.parquet")


def _cut_short(folder):
    made(300).write(folder / "x.parquet")
    content = (folder / "x.parquet").read_bytes()
    (folder / "x.parquet").write_bytes(content[:-40])


def _nothing(folder):
    pass


@pytest.mark.parametrize(
    "damage", [_repeated_key, _label_of_no_class, _without_names, _cut_short, _nothing]
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    damage(tmp_path)
    with pytest.raises(DataError, match=r"x\.parquet: a file of predictions must hold"):
        Predictions.read(tmp_path / "x.parquet")


def test_of_too_many_numbers_the_rows_with_the_smallest_keys_are_kept(monkeypatch):
    monkeypatch.setattr(predictions, "MAX_VALUES", 30)
    keys = np.random.default_rng(1).permutation(100).astype(np.uint64)
    kept = kept_rows(keys, num_classes=3)
    assert kept.tolist() == sorted(kept)
    assert sorted(keys[kept]) == list(range(10))
    assert len(kept_rows(keys, num_classes=1000)) == 1
    assert kept_rows(keys[:10], num_classes=3).tolist() == list(range(10))
