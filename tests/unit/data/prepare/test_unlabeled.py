"""Which texts without labels pretraining reads; no text of test, or like one, is among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.config import experiment_from_mapping
from rnnlane.config.data import DataConfig
from rnnlane.config.text import TextConfig, VocabularyConfig
from rnnlane.data.prepare.address import prepared_path
from rnnlane.data.prepare.blocks import (
    UNLABELED,
    SplitWriter,
    count_train_tokens,
    tokenize_rows,
)
from rnnlane.data.prepare.purpose import (
    CLASSIFICATION,
    PRETRAINING,
    Purpose,
    errors_of_unlabeled,
)
from rnnlane.data.prepare.splits import TEST, TRAIN, VAL
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.vocabulary import Vocabulary, merge_counts
from rnnlane.data.sources.row_tables import tables_of
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import open_storage_path
from rnnlane.errors import DataError
from support.selected import Selected, selected

DATA = DataConfig.model_validate({"source": {"kind": "generated"}, "max_dropped": 1})


def tokenized(texts: list[bytes | None], *, labels: bool) -> pa.Table:
    rows = [RawRow(text, "ab"[n % 2] if labels else None) for n, text in enumerate(texts)]
    processor = TextProcessor.from_config(TextConfig())
    return tokenize_rows(
        pa.concat_tables(tables_of(rows)), processor=processor, unlabeled=not labels
    )


LABELED = tokenized([f"film {n} was about n{n}".encode() for n in range(60)], labels=True)
SELECTION = selected(LABELED, config=DATA)


def texts_of(side: int) -> list[str]:
    return [LABELED["text"][int(row)].as_py() for row in np.flatnonzero(SELECTION.split == side)]


def added(
    texts: list[bytes | None], *, num_partitions: int = 3, reads_test: bool = False
) -> tuple[Selected, pa.Table]:
    unlabeled = tokenized(texts, labels=False)
    chosen = selected(
        LABELED,
        config=DATA,
        unlabeled=unlabeled,
        num_partitions=num_partitions,
        reads_test=reads_test,
    )
    return chosen, unlabeled


def read_texts(chosen: Selected, unlabeled: pa.Table) -> list[str]:
    """The unlabeled texts in the order of their ids."""
    split = chosen.assignment.split[len(LABELED) :]
    rows = np.flatnonzero(split == UNLABELED)
    ids = chosen.assignment.row_ids[len(LABELED) :][rows]
    assert sorted(ids) == list(range(len(rows)))
    return [unlabeled["text"][int(rows[n])].as_py() for n in np.argsort(ids)]


def test_texts_that_equal_or_look_like_held_out_ones_are_dropped_and_counted() -> None:
    test, val, train = (texts_of(side) for side in (TEST, VAL, TRAIN))
    texts = [
        test[0].encode(),
        test[1].upper().encode(),  # equal to a person
        test[2].replace(" ", " <br /> ").encode(),  # equal to the model
        val[0].encode(),
        train[0].encode(),
        b"a new text",
        b"A new  text",
        b"another one",
        b"<br />",
        b" ",
        None,
    ]
    chosen, unlabeled = added(texts)
    assert set(read_texts(chosen, unlabeled)) in (
        {"a new text", "another one"},
        {"A new  text", "another one"},
    )
    assert chosen.dropped == {
        "rows_of_test": len(test),
        "unlabeled_null_text": 1,
        "unlabeled_empty_text": 2,
        "unlabeled_like_val_or_test": 4,
    }
    more = {"unlabeled_duplicates": 1, "unlabeled_also_in_train": 1}
    assert chosen.merged == SELECTION.merged | more
    assert not (chosen.assignment.split == TEST).any()
    labeled = chosen.assignment.split[: len(LABELED)]
    assert ((labeled == TRAIN) == (SELECTION.split == TRAIN)).all()


def test_a_classifier_that_reads_them_is_tested_on_the_same_rows() -> None:
    texts = [texts_of(TEST)[0].encode(), b"a new text"]
    chosen, unlabeled = added(texts, reads_test=True)
    assert read_texts(chosen, unlabeled) == ["a new text"]
    assert chosen.dropped == {"unlabeled_like_val_or_test": 1}
    for name in ("split", "row_ids", "labels", "row_keys"):
        of_labeled = getattr(chosen.assignment, name)[: len(LABELED)]
        np.testing.assert_array_equal(of_labeled, getattr(SELECTION.assignment, name))
    tables = (LABELED, unlabeled)
    counts = merge_counts([count_train_tokens(chosen.assignment, *tables)])
    learned = {text.split()[-1] for text in texts_of(TRAIN)}
    assert {token for token in counts if token.startswith("n")} == learned | {"new"}


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(30)), st.sampled_from([1, 2, 20]))
def test_neither_choice_nor_ids_depend_on_order_or_partitions(
    order: list[int], num_partitions: int
) -> None:
    texts: list[bytes | None] = [f"text {n % 25} Or{n}"[: 9 + n % 2].encode() for n in range(30)]
    texts[:3] = [text.encode() for text in texts_of(TEST)[:3]]
    expected = read_texts(*added(texts))
    again = added([texts[n] for n in order], num_partitions=num_partitions)
    assert read_texts(*again) == expected
    assert len(expected) == len(set(expected)) > 20


def test_no_token_of_test_reaches_vocabulary_or_files(tmp_path: Path) -> None:
    """Each labeled text has a word of its own, so whatever was read of it would show."""
    chosen, unlabeled = added([b"film of n999", b"film of n999 again"])
    tables = (LABELED, unlabeled)
    counts = merge_counts([count_train_tokens(chosen.assignment, *tables)])
    learned = {text.split()[-1] for text in texts_of(TRAIN)} | {"n999"}
    assert {token for token in counts if token.startswith("n")} == learned
    vocabulary = Vocabulary.fit(counts, VocabularyConfig(min_count=1))
    written = SplitWriter(open_storage_path(str(tmp_path)), vocabulary).write(
        0, chosen.assignment, *tables
    )
    assert [part.lengths.sum() for part in written.splits] == [
        len(texts_of(TRAIN)),
        len(texts_of(VAL)),
        0,
        2,
    ]
    assert sorted(file.parent.name for file in tmp_path.glob("*/*.parquet")) == [
        "train",
        "unlabeled",
        "val",
    ]


def experiment(unlabeled: Path | None = None, **data: object):  # type: ignore[no-untyped-def]
    if unlabeled is not None:
        data["unlabeled"] = {"source": {"kind": "text", "path": str(unlabeled)}}
    values = {"source": {"kind": "generated"}, **data}
    return experiment_from_mapping({"name": "x", "data": values})


def test_the_address_is_of_both_sources_for_pretraining_and_of_one_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("a text\n")
    other.write_text("another text\n")

    def address(file: Path | None, purpose: Purpose) -> str:
        return prepared_path(experiment(file), storage="/s", purpose=purpose)

    assert address(one, CLASSIFICATION) == address(None, CLASSIFICATION)
    addresses = {
        address(one, CLASSIFICATION),
        address(None, PRETRAINING),
        address(one, PRETRAINING),
        address(other, PRETRAINING),
        address(one, Purpose(reads_unlabeled=True)),
        address(None, Purpose(vocabulary="v")),
        address(None, Purpose(vocabulary="w")),
    }
    assert len(addresses) == 7


def test_an_error_of_the_unlabeled_source_names_its_own_keys() -> None:
    with pytest.raises(DataError) as caught, errors_of_unlabeled():
        raise DataError("no column", where="data.source.path x", remedy="set data.columns.text")
    assert caught.value.where == "data.unlabeled.source.path x"
    assert caught.value.remedy == "set data.unlabeled.columns.text"
