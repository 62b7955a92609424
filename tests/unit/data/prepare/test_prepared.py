from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rnnlane.config.text import VocabularyConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.prepare.blocks import (
    TOKENS_SCHEMA,
    Assignment,
    SplitWriter,
    count_train_tokens,
    summarize,
)
from rnnlane.data.prepare.keys import word_keys
from rnnlane.data.prepare.prepared import (
    FORMAT_VERSION,
    SPLITS,
    Manifest,
    PreparedData,
    SourceInfo,
    open_prepared,
)
from rnnlane.data.prepare.vocabulary import UNKNOWN_TOKEN, Vocabulary, merge_counts
from rnnlane.data.prepare.writer import draft_folder, publish, write_vocabulary
from rnnlane.data.storage import open_storage_path
from rnnlane.errors import DataError

CLASS_NAMES = ("neg", "pos")


def tokens_table(rows: list[list[str]]) -> pa.Table:
    nulls = {
        name: pa.nulls(len(rows), TOKENS_SCHEMA.field(name).type) for name in TOKENS_SCHEMA.names
    }
    columns = {"tokens": pa.array(rows, pa.list_(pa.string())), "text": [text_of(r) for r in rows]}
    return pa.table({**nulls, **columns}, schema=TOKENS_SCHEMA)


def text_of(tokens: list[str]) -> str:
    return f"The text of {' '.join(tokens)}."


def keys_of(num_rows: int) -> np.ndarray:
    return np.arange(num_rows).astype(np.uint64) + np.uint64(2**63)


def write_prepared(path: Path, *, num_rows: int = 60) -> list[list[str]]:
    """Finishes prepared data of rows dealt out at random; row ids run against the order.

    Returns:
        The tokens of each row.
    """
    rng = np.random.default_rng(0)
    words = [rng.integers(0, 9 + 20 * (n % 3), 1 + n % 8) for n in range(num_rows)]
    rows = [[f"w{word}" for word in row] for row in words]
    split = (np.arange(num_rows) % 3).astype(np.int8)
    row_ids = (num_rows - 1 - np.arange(num_rows)) // 3
    halves = [slice(0, 25), slice(25, num_rows)]
    assignments = [
        Assignment(split[h], row_ids[h], split[h] % 2, keys_of(num_rows)[h]) for h in halves
    ]
    tables = [tokens_table(rows[half]) for half in halves]
    counts = [count_train_tokens(*one) for one in zip(assignments, tables, strict=True)]
    vocabulary = Vocabulary.fit(merge_counts(counts), VocabularyConfig(min_count=1))
    with draft_folder(str(path)) as folder:
        write_vocabulary(folder, vocabulary.to_jsonl())
        writer = SplitWriter(folder, vocabulary)
        first, second = (
            writer.write(part, *one)
            for part, one in enumerate(zip(assignments, tables, strict=True))
        )
        splits = {
            name: summarize(first.splits[index] + second.splits[index], CLASS_NAMES)
            for index, name in enumerate(SPLITS)
        }
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            fingerprint=path.name,
            source=SourceInfo(kind="csv", fingerprint="f", location="/x"),
            config={},
            code_version="c",
            versions={},
            class_names=CLASS_NAMES,
            vocabulary_size=len(vocabulary),
            splits=splits,
            num_rows_read=num_rows,
            dropped={},
            merged={},
            conflicts={},
            num_conflicts=0,
            repaired={},
            cut={},
            warnings=(),
            data_folder=folder.name,
            files={},
            checksums=first.checksums | second.checksums,
            created_at="2026-01-01T00:00:00+00:00",
            seconds=1.0,
        )
        publish(str(path), folder=folder, manifest=manifest)
    return rows


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[list[str]]]:
    path = tmp_path / "0123456789abcdef"
    return path, write_prepared(path)


def row_tokens(split: EncodedSplit, prepared: PreparedData) -> list[list[str]]:
    vocabulary = prepared.vocabulary()
    bounds = zip(split.offsets[:-1], split.offsets[1:], strict=True)
    return [vocabulary.decode(split.token_ids[start:end].tolist()) for start, end in bounds]


def test_rows_come_back_in_the_order_of_their_ids(
    written: tuple[Path, list[list[str]]],
) -> None:
    path, rows = written
    prepared = open_prepared(str(path))
    for index, name in enumerate(SPLITS):
        split = prepared.split(name)
        known = set(prepared.vocabulary().tokens)
        expected = [
            [token if token in known else UNKNOWN_TOKEN for token in row] for row in rows[index::3]
        ]
        assert row_tokens(split, prepared) == expected[::-1]
        assert split.labels.tolist() == [index % 2] * 20
        assert split.token_ids.dtype == np.int32
        assert split.offsets.dtype == split.labels.dtype == np.int64


def test_each_unknown_token_has_the_key_of_its_word(written: tuple[Path, list[list[str]]]) -> None:
    path, rows = written
    prepared = open_prepared(str(path))
    keys_of_vocabulary = prepared.vocabulary().word_keys
    for index, name in enumerate(SPLITS):
        split = prepared.split(name)
        assert name == "train" or (split.token_ids == 1).any()
        words = [token for row in rows[index::3][::-1] for token in row]
        assert split.word_keys(keys_of_vocabulary).tolist() == word_keys(words).tolist()


def test_data_that_lacks_a_key_is_refused(written, monkeypatch) -> None:
    path, _ = written
    prepared = open_prepared(str(path))
    read = PreparedData.read_part

    def without_keys(self, part, schema, cache):
        table = read(self, part, schema, cache)
        index = schema.get_field_index("unknown_keys")
        missing = pa.nulls(len(table), schema.types[index])
        return table.set_column(index, schema.field(index), missing)

    monkeypatch.setattr(PreparedData, "read_part", without_keys)
    with pytest.raises(DataError, match="each unknown token of val must have a key"):
        prepared.split("val")


def test_a_uri_opens_the_same(written: tuple[Path, list[list[str]]]) -> None:
    path, _ = written
    assert open_prepared(f"file://{path}").manifest == open_prepared(str(path)).manifest


def test_the_manifest_counts_what_the_rows_hold(written: tuple[Path, list[list[str]]]) -> None:
    path, _ = written
    prepared = open_prepared(str(path))
    assert prepared.fingerprint == path.name
    assert prepared.class_names == CLASS_NAMES
    for index, name in enumerate(SPLITS):
        stats, split = prepared.manifest.splits[name], prepared.split(name)
        assert stats.num_rows == len(split) == 20
        assert stats.num_tokens == len(split.token_ids)
        assert stats.class_counts == dict(
            zip(CLASS_NAMES, [20, 0][:: 1 - 2 * (index % 2)], strict=True)
        )
        assert stats.length_quantiles["max"] == split.lengths.max()
        assert stats.length_quantiles["mean"] == pytest.approx(split.lengths.mean())
        assert stats.unknown_token_rate == pytest.approx(np.mean(split.token_ids == 1))


def test_the_vocabulary_knows_train_tokens_alone(written: tuple[Path, list[list[str]]]) -> None:
    path, rows = written
    prepared = open_prepared(str(path))
    vocabulary = prepared.vocabulary()
    in_train = {token for tokens in rows[0::3] for token in tokens}
    assert set(vocabulary.tokens[2:]) == in_train
    assert vocabulary.to_jsonl() == prepared.vocabulary_text()
    assert len(vocabulary) == prepared.manifest.vocabulary_size


def test_without_a_manifest_nothing_is_finished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did not finish"):
        open_prepared(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format_version": 4}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="damaged") as caught:
        open_prepared(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_another_format_version_is_refused(written: tuple[Path, list[list[str]]]) -> None:
    path, _ = written
    values = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**values, "format_version": 99}))
    with pytest.raises(DataError, match="format version must be 4, but got 99"):
        open_prepared(str(path))


@pytest.mark.parametrize("name", ["vocabulary.jsonl", "train/part-000001.parquet"])
@pytest.mark.parametrize("damage", ["remove", "shorten"])
def test_a_missing_or_short_file_is_noticed_on_opening(
    written: tuple[Path, list[list[str]]], name: str, damage: str
) -> None:
    path, _ = written
    (target,) = path.glob(f"data-*/{name}")
    content = target.read_bytes()
    target.unlink()
    if damage == "shorten":
        target.write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"{name} must have {len(content)} bytes"):
        open_prepared(str(path))


@pytest.mark.parametrize("name", ["vocabulary.jsonl", "train/part-000001.parquet"])
def test_a_flipped_bit_is_noticed_on_reading(
    written: tuple[Path, list[list[str]]], name: str
) -> None:
    path, _ = written
    (target,) = path.glob(f"data-*/{name}")
    content = bytearray(target.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    prepared = open_prepared(str(path))
    with pytest.raises(DataError, match=f"{name} is not as it was written"):
        prepared.vocabulary_text() if name == "vocabulary.jsonl" else prepared.split("train")


def test_rows_that_are_missing_are_noticed_on_reading(
    written: tuple[Path, list[list[str]]],
) -> None:
    path, _ = written
    prepared = open_prepared(str(path))
    del prepared.manifest.files["val/part-000000.parquet"]
    with pytest.raises(DataError, match="the rows of val must be 0 to 19"):
        prepared.split("val")


def test_a_part_replaced_by_something_else_is_refused(
    written: tuple[Path, list[list[str]]],
) -> None:
    path, _ = written
    prepared = open_prepared(str(path))
    (target,) = path.glob("data-*/test/part-000000.parquet")
    target.write_bytes(bytes(target.stat().st_size))
    with pytest.raises(DataError, match="part-000000"):
        prepared.split("test")


def test_rows_of_val_and_test_have_keys_and_texts(
    written: tuple[Path, list[list[str]]],
) -> None:
    path, rows = written
    prepared = open_prepared(str(path))
    for index, name in enumerate(SPLITS[1:], start=1):
        keys = keys_of(60)[index::3][::-1]
        assert prepared.row_keys(name).tolist() == keys.tolist()
        texts = prepared.texts(name, [keys[3], keys[7], 5])
        assert texts == {keys[n]: text_of(rows[index::3][::-1][n]) for n in (3, 7)}
    assert not list(path.glob("data-*/rows/train"))
    with pytest.raises(DataError, match="the rows of train must be"):
        prepared.row_keys("train")


def test_texts_that_are_not_as_they_were_written_are_refused(
    written: tuple[Path, list[list[str]]],
) -> None:
    path, _ = written
    prepared = open_prepared(str(path))
    (target,) = path.glob("data-*/rows/test/part-000000.parquet")
    target.write_bytes(target.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"rows/test/part-000000\.parquet is not as it was"):
        prepared.texts("test", [1])


def test_words_are_the_tokens_with_a_letter(tmp_path: Path) -> None:
    rows = [["\u4f60\u597d", "\uff0c", "a", "7", "b2"], ["a", "x"]]
    assignment = Assignment(np.array([1, 0]), *np.zeros((2, 2), int), row_keys=keys_of(2))
    vocabulary = Vocabulary.fit({"a": 3, "\uff0c": 3}, VocabularyConfig())
    writer = SplitWriter(open_storage_path(str(tmp_path)), vocabulary)
    (train, val, test, _), checksums = writer.write(0, assignment, tokens_table(rows))
    files = {name: zlib.crc32((tmp_path / name).read_bytes()) for name in checksums}
    assert checksums == files
    assert len(files) == 3
    assert (val.num_unknown, val.num_words, val.num_unknown_words) == (3, 3, 2)
    assert (train.num_unknown, train.num_words) == (1, 0)
    assert (test.num_words, test.lengths.sum()) == (0, 0)


def test_it_shows_its_splits_and_classes(written: tuple[Path, list[list[str]]]) -> None:
    prepared = open_prepared(str(written[0]))
    rows = prepared.manifest.splits["train"].num_rows
    assert repr(prepared).startswith(f"PreparedData({prepared.fingerprint[:8]}, ")
    assert f"train {rows}" in repr(prepared)
    page = prepared._repr_html_()
    for name in (*prepared.manifest.splits, *prepared.class_names):
        assert name in page
