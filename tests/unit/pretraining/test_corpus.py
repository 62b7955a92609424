"""Texts of a language model, in memory and in files."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnnlane.data.prepare.prepared import UNLABELED_SPLIT
from rnnlane.errors import DataError
from rnnlane.pretraining import corpus as module
from rnnlane.pretraining.corpus import Corpus, read_corpora
from support.language import language_data, language_splits


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The node's temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def texts_of(corpus: Corpus) -> list[list[int]]:
    return [
        corpus.token_ids[start : start + length].tolist()
        for start, length in zip(corpus.starts, corpus.lengths, strict=True)
    ]


@pytest.mark.parametrize("is_in_files", [False, True])
def test_texts_are_those_of_train_and_then_the_unlabeled_ones(tmp_path, is_in_files, temporary):
    data = language_data(tmp_path if is_in_files else None)
    train, unlabeled, val = (
        [split.take(np.array([row])).token_ids.tolist() for row in range(len(split))]
        for split in language_splits().values()
    )
    with read_corpora(data) as (learned, held):
        assert texts_of(learned) == train + unlabeled
        assert texts_of(held) == val
        assert learned.num_texts == 110
        assert learned.num_tokens == sum(map(len, train + unlabeled)) + 110
        assert len(list(temporary.glob("*/*.window"))) == (2 if is_in_files else 0)
    assert not list(temporary.iterdir()), "nothing stays"
    splits = {name: one for name, one in data.splits.items() if name != UNLABELED_SPLIT}
    with read_corpora(replace(data, splits=splits)) as (learned, _):
        assert texts_of(learned) == train


def test_the_first_texts_can_be_taken():
    with read_corpora(language_data()) as (_, val):
        lengths = val.lengths.tolist()
        assert texts_of(val.first(1)) == texts_of(val)[:1]
        two = lengths[0] + lengths[1] + 2
        assert [val.first(n).num_texts for n in (two - 1, two, 10**6)] == [1, 2, 17]


def test_a_node_decodes_once_and_others_map_the_same_file(tmp_path, monkeypatch):
    data, decoded = language_data(tmp_path), []
    original = module._decoded
    monkeypatch.setattr(module, "_decoded", lambda splits: decoded.append(1) or original(splits))
    with read_corpora(data) as first, read_corpora(data) as second:
        assert texts_of(first[0]) == texts_of(second[0])
        assert len(decoded) == 2, "train with the unlabeled ones, and val"


def test_a_damaged_file_is_refused(tmp_path):
    data = language_data(tmp_path)
    file = next(Path(data.splits["unlabeled"].prepared.path).rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError), read_corpora(data):
        pass
