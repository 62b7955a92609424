"""The steps of the pipeline that run inside tasks: pure functions of Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnlane.data.prepare.keys import (
    KEY_BYTES,
    exact_key,
    split_key,
    token_key,
)
from rnnlane.data.prepare.prepared import (
    HELD_OUT,
    HELD_OUT_SCHEMA,
    SPLIT_SCHEMA,
    SPLITS,
    UNLABELED_SPLIT,
    SplitStats,
)
from rnnlane.data.prepare.splits import TEST, TRAIN, VAL
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID, Vocabulary, count_tokens, kept_tokens
from rnnlane.data.storage import StoragePath, readable_errors

NULL_TEXT, NULL_LABEL, EMPTY_TEXT = "null_text", "null_label", "empty_text"

# Where texts without labels go; see splits.TRAIN for the others.
UNLABELED = len(SPLITS)
WRITTEN_SPLITS = (*SPLITS, UNLABELED_SPLIT)

# Of a longer text the beginning and the end are kept for people to read.
HEAD_CHARS, TAIL_CHARS = 600, 400

# ``text`` is an :func:`excerpt`. ``key`` decides the split and is made of the raw text alone;
# ``look`` is what the text settings leave for the model to see, NULL where that is nothing.
TOKENS_SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.string())),
        ("text", pa.string()),
        ("key", pa.binary(KEY_BYTES)),
        ("exact", pa.binary(KEY_BYTES)),
        ("look", pa.binary(KEY_BYTES)),
        ("label", pa.string()),
        ("id", pa.string()),
        ("official_test", pa.bool_()),
        ("group", pa.string()),
        ("dropped", pa.string()),
        ("invalid_utf8", pa.bool_()),
        ("cut_chars", pa.bool_()),
        ("cut_length", pa.bool_()),
    ]
)

# What the driver needs of each row: all but the bulk.
ROWS_SCHEMA = pa.schema([field for field in TOKENS_SCHEMA if field.name not in {"tokens", "text"}])

# The limits that cut a text, and where its row says so.
CUT_COLUMNS = {"max_chars": "cut_chars", "max_length": "cut_length"}

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Assignment:
    """Where the rows of some tables go; all arrays are of length N, the tables' rows together.

    Attributes:
        split: int8 [N]: index in ``WRITTEN_SPLITS``, or negative for a row that is left out.
        row_ids: int64 [N]: position in the split.
        labels: int64 [N]; -1 of texts without a label.
        row_keys: uint64 [N]: see :func:`keys.row_keys`; 0 for a row that is left out.
    """

    split: npt.NDArray[np.int8]
    row_ids: Ints
    labels: Ints
    row_keys: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_]) -> Assignment:
        return Assignment(
            self.split[rows], self.row_ids[rows], self.labels[rows], self.row_keys[rows]
        )


@dataclass(frozen=True)
class PartStats:
    """What one task wrote to one split.

    Attributes:
        lengths: int64 [rows]: tokens of each row.
        labels: int64 [rows]; none of texts without labels.
        num_unknown: tokens without an id of their own.
        num_words: tokens with a letter; counted in val only.
        num_unknown_words: words without an id of their own; counted in val only.
    """

    lengths: Ints
    labels: Ints
    num_unknown: int
    num_words: int
    num_unknown_words: int


class _TextColumns(NamedTuple):
    """The columns of TOKENS_SCHEMA that come from a row's text."""

    tokens: Sequence[str] | None = None
    text: str | None = None
    key: bytes = bytes(KEY_BYTES)
    exact: bytes = bytes(KEY_BYTES)
    look: bytes | None = None
    dropped: str | None = None
    invalid_utf8: bool = False
    cut_chars: bool = False
    cut_length: bool = False


def tokenize_rows(
    table: pa.Table, *, processor: TextProcessor, unlabeled: bool = False
) -> pa.Table:
    """Cleans and tokenizes, and cuts to the tokens that are kept.

    Args:
        table: of ``RAW_SCHEMA``.
        processor: the text settings.
        unlabeled: whether rows need no label.

    Returns:
        Table of ``TOKENS_SCHEMA`` with the same rows. Of a row that cannot be used under any text
        settings, ``dropped`` is the reason; of one that these leave empty, ``look`` is NULL.
    """
    texts = table["text"].to_pylist()
    has_label = table["label"].is_valid().to_pylist()
    results = [
        _tokenize_text(text, labeled or unlabeled, processor)
        for text, labeled in zip(texts, has_label, strict=True)
    ]
    columns = dict(zip(_TextColumns._fields, zip(*results, strict=True), strict=True))
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else table[field.name].combine_chunks()
        for field in TOKENS_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=TOKENS_SCHEMA)


def _tokenize_text(text: bytes | None, has_label: bool, processor: TextProcessor) -> _TextColumns:
    if text is None or not has_label:
        return _TextColumns(dropped=NULL_TEXT if text is None else NULL_LABEL)
    decoded, invalid = _decode(text)
    key = split_key(decoded)
    if key is None:
        return _TextColumns(dropped=EMPTY_TEXT, invalid_utf8=invalid)
    config = processor.config
    all_tokens = processor(decoded[: config.max_chars])
    tokens = kept_tokens(all_tokens, max_length=config.max_length, keep=config.keep)
    return _TextColumns(
        tokens=tokens or None,
        text=excerpt(decoded),
        key=key,
        exact=exact_key(decoded),
        look=token_key(tokens) if tokens else None,
        invalid_utf8=invalid,
        cut_chars=len(decoded) > config.max_chars,
        cut_length=len(all_tokens) > config.max_length,
    )


def excerpt(text: str) -> str:
    """A text for people to read: of one longer than 1,000 characters the beginning and the end."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]} [...] {text[-TAIL_CHARS:]}"


def _decode(text: bytes) -> tuple[str, bool]:
    try:
        return text.decode(), False
    except UnicodeDecodeError:
        return text.decode(errors="replace"), True


def describe_rows(table: pa.Table) -> pa.Table:
    """What the driver needs of each row: a table of ``ROWS_SCHEMA``."""
    return table.select(ROWS_SCHEMA.names)


def count_train_tokens(assignment: Assignment, *tables: pa.Table) -> pa.Table:
    """How often each token occurs in the rows that are learned from: train and unlabeled ones.

    Args:
        assignment: of the tables' rows.
        tables: of ``TOKENS_SCHEMA``.

    Returns:
        Columns token (string) and count (int64).
    """
    is_learned = (assignment.split == TRAIN) | (assignment.split == UNLABELED)
    return count_tokens(_column("tokens", tables, np.flatnonzero(is_learned)))


@dataclass(frozen=True)
class SplitWriter:
    """Encodes rows and writes them as Parquet.

    Attributes:
        folder: holds one folder for each split; and below ``rows`` those of val and test, with the
            keys and the texts of their rows.
        vocabulary: fitted on train.
    """

    folder: StoragePath
    vocabulary: Vocabulary

    def write(self, part: int, assignment: Assignment, *tables: pa.Table) -> list[PartStats]:
        """Writes the rows of some tables, one or two files for each split that has any.

        Args:
            part: number of the files.
            assignment: of the tables' rows.
            tables: of ``TOKENS_SCHEMA``.

        Returns:
            The statistics of each of ``WRITTEN_SPLITS``.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        return [
            self._write_split(index, part, assignment, tables)
            for index in range(len(WRITTEN_SPLITS))
        ]

    def _write_split(
        self, index: int, part: int, assignment: Assignment, tables: Sequence[pa.Table]
    ) -> PartStats:
        rows = np.flatnonzero(assignment.split == index)
        tokens = _column("tokens", tables, rows)
        token_ids = self.vocabulary.encode_column(tokens)
        lengths = token_ids.value_lengths()
        labels = assignment.labels[rows]
        if len(rows):
            unknown_keys = self.vocabulary.unknown_keys_column(tokens, token_ids)
            row_ids, labels_column = pa.array(assignment.row_ids[rows]), pa.array(labels)
            columns = [row_ids, labels_column, lengths, token_ids, unknown_keys]
            table = pa.table(columns, names=SPLIT_SCHEMA.names).cast(SPLIT_SCHEMA)
            name = f"part-{part:06d}.parquet"
            _write(table, self.folder / WRITTEN_SPLITS[index] / name)
            if index in (VAL, TEST):
                held_out = _held_out(tables, rows, assignment)
                _write(held_out, self.folder / HELD_OUT / SPLITS[index] / name)
        is_unknown = pc.equal(token_ids.values, UNKNOWN_ID)
        num_words, num_unknown_words = _count_words(tokens, is_unknown) if index == VAL else (0, 0)
        return PartStats(
            lengths=lengths.to_numpy().astype(np.int64),
            labels=labels[labels >= 0],
            num_unknown=pc.sum(is_unknown).as_py() or 0,
            num_words=num_words,
            num_unknown_words=num_unknown_words,
        )


def _count_words(tokens: pa.ListArray, is_unknown: pa.BooleanArray) -> tuple[int, int]:
    """Tokens with a letter, and those of them that are unknown.

    Numbers and punctuation say nothing of whether the tokenizer suits the language.
    """
    is_word = pc.match_substring_regex(tokens.flatten().cast(pa.string()), r"\pL")
    return pc.sum(is_word).as_py() or 0, pc.sum(pc.and_(is_word, is_unknown)).as_py() or 0


def summarize(parts: Sequence[PartStats], class_names: Sequence[str]) -> SplitStats:
    """One split in numbers, from all that was written to it; it has at least one row."""
    lengths = np.concatenate([part.lengths for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    num_tokens = int(lengths.sum())
    quantiles = np.quantile(lengths, [0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
    names = ("min", "p10", "p50", "p90", "p99", "max")
    class_counts = np.bincount(labels, minlength=len(class_names)).tolist()
    return SplitStats(
        num_rows=len(lengths),
        num_tokens=num_tokens,
        class_counts=dict(zip(class_names, class_counts, strict=True)),
        length_quantiles={
            **dict(zip(names, quantiles.tolist(), strict=True)),
            "mean": num_tokens / len(lengths),
        },
        unknown_token_rate=sum(part.num_unknown for part in parts) / num_tokens,
    )


def _held_out(tables: Sequence[pa.Table], rows: Ints, assignment: Assignment) -> pa.Table:
    keys, texts = assignment.row_keys[rows], _column("text", tables, rows)
    columns = [pa.array(assignment.row_ids[rows]), pa.array(keys), texts]
    return pa.table(columns, names=HELD_OUT_SCHEMA.names).cast(HELD_OUT_SCHEMA)


def _column(name: str, tables: Sequence[pa.Table], rows: Ints) -> pa.Array:
    """A column of some rows, by their position in the tables together."""
    column = pa.chunked_array([chunk for table in tables for chunk in table[name].chunks])
    taken = column.take(pa.array(rows))
    return taken.combine_chunks() if taken.num_chunks != 1 else taken.chunk(0)


def _write(table: pa.Table, file: StoragePath) -> None:
    with readable_errors(str(file)):
        file.filesystem.create_dir(file.path.rpartition("/")[0])
        with file.filesystem.open_output_stream(file.path, compression=None) as stream:
            pq.write_table(table, stream, compression="zstd", use_dictionary=False)
