"""The steps of the pipeline that run inside tasks: pure functions of Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnlane.config.experiment import TextConfig
from rnnlane.data.prepare.prepared import SPLIT_SCHEMA, SPLITS, SplitStats
from rnnlane.data.prepare.splits import KEY_BYTES, TRAIN, content_key
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID, Vocabulary, count_tokens
from rnnlane.data.storage import StoragePath, readable_errors

NULL_TEXT, NULL_LABEL, EMPTY_TEXT = "null_text", "null_label", "empty_text"

TOKENS_SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.string())),
        ("key", pa.binary()),
        ("label", pa.string()),
        ("id", pa.string()),
        ("official_test", pa.bool_()),
        ("dropped", pa.string()),
        ("invalid_utf8", pa.bool_()),
        ("cut", pa.bool_()),
    ]
)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Assignment:
    """Where the rows of some tables go; all arrays are of length N, the tables' rows together.

    Attributes:
        split: int8 [N]: index in ``SPLITS``, or -1 for a row that is left out.
        row_ids: int64 [N]: position in the split.
        labels: int64 [N].
    """

    split: npt.NDArray[np.int8]
    row_ids: Ints
    labels: Ints

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, rows: slice) -> Assignment:
        return Assignment(self.split[rows], self.row_ids[rows], self.labels[rows])


@dataclass(frozen=True)
class PartStats:
    """What one task wrote to one split.

    Attributes:
        lengths: int64 [rows]: tokens of each row.
        labels: int64 [rows].
        num_unknown: tokens without an id of their own.
        num_cut: rows that had more tokens than were kept.
    """

    lengths: Ints
    labels: Ints
    num_unknown: int
    num_cut: int


def tokenize_rows(table: pa.Table, *, processor: TextProcessor) -> pa.Table:
    """Cleans and tokenizes.

    Args:
        table: of ``RAW_SCHEMA``.
        processor: the text settings.

    Returns:
        Table of ``TOKENS_SCHEMA`` with the same rows; of a row that cannot be used, ``dropped``
        is the reason and ``tokens`` is NULL.
    """
    texts = table["text"].to_pylist()
    has_label = table["label"].is_valid().to_pylist()
    results = [
        _tokenize_text(text, labeled, processor)
        for text, labeled in zip(texts, has_label, strict=True)
    ]
    tokens, keys, dropped, invalid, cut = zip(*results, strict=True)
    columns = [tokens, keys, table["label"], table["id"], table["official_test"], dropped]
    arrays = [
        column.combine_chunks() if isinstance(column, pa.ChunkedArray) else pa.array(column, kind)
        for column, kind in zip([*columns, invalid, cut], TOKENS_SCHEMA.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=TOKENS_SCHEMA)


def _tokenize_text(
    text: bytes | None, has_label: bool, processor: TextProcessor
) -> tuple[list[str] | None, bytes, str | None, bool, bool]:
    """Tokens, key, why dropped, whether UTF-8 was broken, whether it was cut."""
    if text is None or not has_label:
        return None, bytes(KEY_BYTES), NULL_TEXT if text is None else NULL_LABEL, False, False
    decoded, invalid = _decode(text)
    max_chars = processor.config.max_chars
    cut = len(decoded) > max_chars
    decoded = decoded[:max_chars]
    tokens = processor(decoded)
    if not tokens:
        return None, bytes(KEY_BYTES), EMPTY_TEXT, invalid, cut
    # Texts that differ only in spacing are the same text to the model.
    return tokens, content_key("\0".join(tokens)), None, invalid, cut


def _decode(text: bytes) -> tuple[str, bool]:
    try:
        return text.decode(), False
    except UnicodeDecodeError:
        return text.decode(errors="replace"), True


def describe_rows(table: pa.Table) -> pa.Table:
    """All but the tokens: what the driver needs of each row."""
    return table.drop_columns(["tokens"])


def count_train_tokens(assignment: Assignment, *tables: pa.Table) -> pa.Table:
    """How often each token occurs in the train rows.

    Args:
        assignment: of the tables' rows.
        tables: of ``TOKENS_SCHEMA``.

    Returns:
        Columns token (string) and count (int64).
    """
    return count_tokens(_tokens(tables, np.flatnonzero(assignment.split == TRAIN)))


@dataclass(frozen=True)
class SplitWriter:
    """Encodes rows and writes them as Parquet.

    Attributes:
        folder: holds one folder for each split.
        vocabulary: fitted on train.
        config: max_length and keep.
    """

    folder: StoragePath
    vocabulary: Vocabulary
    config: TextConfig

    def write(self, part: int, assignment: Assignment, *tables: pa.Table) -> list[PartStats]:
        """Writes the rows of some tables, one file for each split that has any.

        Args:
            part: number of the files.
            assignment: of the tables' rows.
            tables: of ``TOKENS_SCHEMA``.

        Returns:
            The statistics of each split.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        return [self._write_split(index, part, assignment, tables) for index in range(len(SPLITS))]

    def _write_split(
        self, index: int, part: int, assignment: Assignment, tables: Sequence[pa.Table]
    ) -> PartStats:
        rows = np.flatnonzero(assignment.split == index)
        tokens = _tokens(tables, rows)
        max_length = self.config.max_length
        token_ids = self.vocabulary.encode_column(
            tokens, max_length=max_length, keep=self.config.keep
        )
        lengths = token_ids.value_lengths()
        labels = assignment.labels[rows]
        if len(rows):
            columns = [pa.array(assignment.row_ids[rows]), pa.array(labels), lengths, token_ids]
            table = pa.table(columns, names=SPLIT_SCHEMA.names).cast(SPLIT_SCHEMA)
            _write(table, self.folder / SPLITS[index] / f"part-{part:06d}.parquet")
        return PartStats(
            lengths=lengths.to_numpy().astype(np.int64),
            labels=labels,
            num_unknown=pc.sum(pc.equal(token_ids.values, UNKNOWN_ID)).as_py() or 0,
            num_cut=int(np.count_nonzero(tokens.value_lengths().to_numpy() > max_length)),
        )


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


def _tokens(tables: Sequence[pa.Table], rows: Ints) -> pa.ListArray:
    """The tokens of some rows, by their position in the tables together: list<string>."""
    column = pa.chunked_array([chunk for table in tables for chunk in table["tokens"].chunks])
    taken = column.take(pa.array(rows))
    return taken.combine_chunks() if taken.num_chunks != 1 else taken.chunk(0)


def _write(table: pa.Table, file: StoragePath) -> None:
    with readable_errors(str(file)):
        file.filesystem.create_dir(file.path.rpartition("/")[0])
        with file.filesystem.open_output_stream(file.path, compression=None) as stream:
            pq.write_table(table, stream, compression="zstd", use_dictionary=False)
