"""The steps of the pipeline that run inside tasks: pure functions of Arrow tables."""

from __future__ import annotations

import zlib
from collections import ChainMap
from collections.abc import Iterator, Sequence
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
from rnnlane.data.sources.row_tables import TABLE_BYTES
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

# The limits that cut a text, and where its row says so.
CUT_COLUMNS = {"max_chars": "cut_chars", "max_length": "cut_length"}

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Assignment:
    """Where the rows of some tables go; all arrays are of length N, the tables' rows together.

    Attributes:
        split: int8 [N]: index in ``WRITTEN_SPLITS``, or negative for a row that is left out.
        row_ids: int64 [N]: position in the split; -1 of a row that is left out.
        labels: int64 [N]; -1 of texts without a label, and of rows that are left out.
        row_keys: uint64 [N]: see :func:`keys.row_keys`; 0 for a row that is left out.
    """

    split: npt.NDArray[np.int8]
    row_ids: Ints
    labels: Ints
    row_keys: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.split)


@dataclass(frozen=True)
class PartStats:
    """What one task, or several, wrote to one split.

    Attributes:
        lengths: int64 [L]: rows by their number of tokens.
        class_counts: int64 [at most C]: rows by label; empty of texts without labels.
        num_unknown: tokens without an id of their own.
        num_words: tokens with a letter; counted in val only.
        num_unknown_words: words without an id of their own; counted in val only.
        num_cut: int64 [2]: texts that each of the limits of ``CUT_COLUMNS`` cut.
    """

    lengths: Ints
    class_counts: Ints
    num_unknown: int
    num_words: int
    num_unknown_words: int
    num_cut: Ints

    def __add__(self, other: PartStats) -> PartStats:
        return PartStats(
            lengths=_sum(self.lengths, other.lengths),
            class_counts=_sum(self.class_counts, other.class_counts),
            num_unknown=self.num_unknown + other.num_unknown,
            num_words=self.num_words + other.num_words,
            num_unknown_words=self.num_unknown_words + other.num_unknown_words,
            num_cut=self.num_cut + other.num_cut,
        )


def _sum(one: Ints, other: Ints) -> Ints:
    total = np.zeros(max(len(one), len(other)), dtype=np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total


class Written(NamedTuple):
    """What one task wrote.

    Attributes:
        splits: of each of ``WRITTEN_SPLITS``.
        checksums: CRC-32 of each file by its path below the folder.
    """

    splits: list[PartStats]
    checksums: dict[str, int]


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


def tokenize_in_parts(
    table: pa.Table, *, processor: TextProcessor, unlabeled: bool = False
) -> Iterator[pa.Table]:
    """Does :func:`tokenize_rows` to about TABLE_BYTES at a time, and so in bounded memory."""
    step = max(1, table.num_rows * TABLE_BYTES // max(1, table.nbytes))
    for start in range(0, table.num_rows, step):
        part = table.slice(start, step)
        yield tokenize_rows(part, processor=processor, unlabeled=unlabeled)


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

    def write(self, part: int, assignment: Assignment, *tables: pa.Table) -> Written:
        """Writes the rows of some tables, one or two files for each split that has any.

        Args:
            part: number of the files.
            assignment: of the tables' rows.
            tables: of ``TOKENS_SCHEMA``.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        splits, checksums = zip(
            *(
                self._write_split(index, part, assignment, tables)
                for index in range(len(WRITTEN_SPLITS))
            ),
            strict=True,
        )
        return Written(list(splits), dict(ChainMap(*checksums)))

    def _write_split(
        self, index: int, part: int, assignment: Assignment, tables: Sequence[pa.Table]
    ) -> tuple[PartStats, dict[str, int]]:
        """What was written to one split, and the checksums of its files."""
        rows = np.flatnonzero(assignment.split == index)
        tokens = _column("tokens", tables, rows)
        token_ids = self.vocabulary.encode_column(tokens)
        lengths = token_ids.value_lengths()
        labels = assignment.labels[rows]
        checksums = {}
        if len(rows):
            unknown_keys = self.vocabulary.unknown_keys_column(tokens, token_ids)
            row_ids, labels_column = pa.array(assignment.row_ids[rows]), pa.array(labels)
            columns = [row_ids, labels_column, lengths, token_ids, unknown_keys]
            table = pa.table(columns, names=SPLIT_SCHEMA.names).cast(SPLIT_SCHEMA)
            name = f"part-{part:06d}.parquet"
            of_split = f"{WRITTEN_SPLITS[index]}/{name}"
            checksums[of_split] = _write(table, self.folder / of_split)
            if index in (VAL, TEST):
                held_out = _held_out(tables, rows, assignment)
                beside = f"{HELD_OUT}/{of_split}"
                checksums[beside] = _write(held_out, self.folder / beside)
        is_unknown = pc.equal(token_ids.values, UNKNOWN_ID)
        num_words, num_unknown_words = _count_words(tokens, is_unknown) if index == VAL else (0, 0)
        is_cut = [_column(column, tables, rows) for column in CUT_COLUMNS.values()]
        stats = PartStats(
            lengths=np.bincount(lengths.to_numpy()),
            class_counts=np.bincount(labels[labels >= 0]),
            num_unknown=pc.sum(is_unknown).as_py() or 0,
            num_words=num_words,
            num_unknown_words=num_unknown_words,
            num_cut=np.array([pc.sum(column).as_py() or 0 for column in is_cut]),
        )
        return stats, checksums


def _count_words(tokens: pa.ListArray, is_unknown: pa.BooleanArray) -> tuple[int, int]:
    """Tokens with a letter, and those of them that are unknown.

    Numbers and punctuation say nothing of whether the tokenizer suits the language.
    """
    is_word = pc.match_substring_regex(tokens.flatten().cast(pa.string()), r"\pL")
    return pc.sum(is_word).as_py() or 0, pc.sum(pc.and_(is_word, is_unknown)).as_py() or 0


def summarize(stats: PartStats, class_names: Sequence[str]) -> SplitStats:
    """One split in numbers, from all that was written to it; it has at least one row."""
    num_rows = int(stats.lengths.sum())
    num_tokens = int(stats.lengths @ np.arange(len(stats.lengths)))
    shares = {"min": 0.0, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    quantiles = {name: quantile(stats.lengths, share) for name, share in shares.items()}
    class_counts = _sum(stats.class_counts, np.zeros(len(class_names), dtype=np.int64)).tolist()
    return SplitStats(
        num_rows=num_rows,
        num_tokens=num_tokens,
        class_counts=dict(zip(class_names, class_counts, strict=True)),
        length_quantiles={**quantiles, "mean": num_tokens / num_rows},
        unknown_token_rate=stats.num_unknown / num_tokens,
    )


def quantile(counts: Ints, share: float) -> float:
    """A quantile of integers of which ``counts[n]`` are n, as ``np.quantile`` has it."""
    place = float(share * (counts.sum() - 1))
    # The two numbers that it lies between are enough.
    either = np.searchsorted(np.cumsum(counts), [np.floor(place), np.ceil(place)], side="right")
    return float(np.quantile(either, place - np.floor(place)))


def _held_out(tables: Sequence[pa.Table], rows: Ints, assignment: Assignment) -> pa.Table:
    keys, texts = assignment.row_keys[rows], _column("text", tables, rows)
    columns = [pa.array(assignment.row_ids[rows]), pa.array(keys), texts]
    return pa.table(columns, names=HELD_OUT_SCHEMA.names).cast(HELD_OUT_SCHEMA)


def _column(name: str, tables: Sequence[pa.Table], rows: Ints) -> pa.Array:
    """A column of some rows, by their position in the tables together."""
    column = pa.chunked_array([chunk for table in tables for chunk in table[name].chunks])
    taken = column.take(pa.array(rows))
    return taken.combine_chunks() if taken.num_chunks != 1 else taken.chunk(0)


def _write(table: pa.Table, file: StoragePath) -> int:
    """Writes a file; returns its CRC-32."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    content = sink.getvalue()
    with readable_errors(str(file)):
        file.filesystem.create_dir(file.path.rpartition("/")[0])
        with file.filesystem.open_output_stream(file.path, compression=None) as stream:
            stream.write(content)
    return zlib.crc32(content)
