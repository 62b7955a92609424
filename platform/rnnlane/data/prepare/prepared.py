"""Prepared data: encoded splits on disk, what they were made from, and how to read them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ArrowException
from pyarrow import fs as pafs
from pydantic import BaseModel, ConfigDict, ValidationError

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.file_cache import NO_COPIES, FileCache
from rnnlane.data.prepare.labels import counts_text
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID, Vocabulary
from rnnlane.data.storage import StoragePath, open_storage_path, readable_errors, storage_error
from rnnlane.errors import DataError
from rnnlane.records import html

SPLITS = ("train", "val", "test")
# Of the texts without labels, in the data of pretraining, which has no test.
UNLABELED_SPLIT = "unlabeled"
FORMAT_VERSION = 4
MANIFEST_NAME = "manifest.json"
VOCABULARY_NAME = "vocabulary.jsonl"

Ints = npt.NDArray[np.int64]

SPLIT_SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("label", pa.int32()),
        ("length", pa.int32()),
        ("token_ids", pa.list_(pa.int32())),
        ("unknown_keys", pa.list_(pa.uint32())),
    ]
)


# Of val and test, beside the encoded rows, which alone stay in memory.
HELD_OUT = "rows"
HELD_OUT_SCHEMA = pa.schema(
    [("row_id", pa.int64()), ("row_key", pa.uint64()), ("text", pa.string())]
)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceInfo(_Record):
    """Where the rows came from; ``fingerprint`` is the SHA-256 of the bytes."""

    kind: str
    fingerprint: str
    location: str


class SplitStats(_Record):
    """One split in numbers.

    Attributes:
        num_rows: rows.
        num_tokens: tokens after cutting.
        class_counts: rows by class name; empty of texts without labels.
        length_quantiles: tokens a row: min, p10, p50, p90, p99, max and mean.
        unknown_token_rate: share of tokens that have no id of their own, in [0, 1].
    """

    num_rows: int
    num_tokens: int
    class_counts: dict[str, int]
    length_quantiles: dict[str, float]
    unknown_token_rate: float


class GroupStats(_Record):
    """What became of the groups that must not stand in two splits.

    Attributes:
        num_groups: different groups.
        num_joined: groups that count as one with another, because they share a text.
        num_missing: rows without a group; each stands alone.
        num_in_test: groups that the official test has rows of, too.
        largest: rows of the largest group, equal ones counted once.
        asked: rows that val and, where it is dealt, test should have, by class.
        dealt: rows that they got, before those are taken out that look like rows of another split.
    """

    num_groups: int
    num_joined: int
    num_missing: int
    num_in_test: int
    largest: int
    asked: dict[str, dict[str, int]]
    dealt: dict[str, dict[str, int]]


class Manifest(_Record):
    """What prepared data is and came from. Written last: without it, the data is unfinished.

    Attributes:
        config: the data, text and seed settings as used, without paths.
        code_version: digest of the code that shaped the result.
        versions: of the libraries it was made with.
        num_rows_read: rows of the source; all but the dropped and the merged are in a split.
        dropped: rows left out, by reason.
        merged: see ``Selection.merged``.
        conflicts: see ``Selection.conflicts``.
        num_conflicts: texts with several labels.
        repaired: texts repaired, by reason: ``invalid_utf8``.
        cut: texts in a split that were cut, by limit: ``max_chars``, ``max_length``.
        warnings: what a person should know of the data, a sentence each.
        groups: None where rows have none.
        data_folder: name of the folder beside the manifest that holds the files.
        files: their sizes in bytes by path below it.
        checksums: their CRC-32 by path; empty in data of an earlier version.
        created_at: ISO 8601, UTC.
        seconds: how long it took.
    """

    format_version: int
    fingerprint: str
    source: SourceInfo
    config: dict[str, Any]
    code_version: str
    versions: dict[str, str]
    class_names: tuple[str, ...]
    vocabulary_size: int
    splits: dict[str, SplitStats]
    num_rows_read: int
    dropped: dict[str, int]
    merged: dict[str, int]
    conflicts: dict[str, int]
    num_conflicts: int
    repaired: dict[str, int]
    cut: dict[str, int]
    warnings: tuple[str, ...]
    data_folder: str
    files: dict[str, int]
    created_at: str
    seconds: float
    checksums: dict[str, int] = {}
    groups: GroupStats | None = None


class PreparedData:
    """Finished prepared data, for reading; see :func:`open_prepared`.

    Attributes:
        path: local folder or URI that holds the manifest.
        manifest: describes the content.
    """

    def __init__(self, path: str, manifest: Manifest):
        self.path = path
        self.manifest = manifest

    @property
    def fingerprint(self) -> str:
        """Identity of the content: equal for equal source, settings and code."""
        return self.manifest.fingerprint

    @property
    def class_names(self) -> tuple[str, ...]:
        """By label."""
        return self.manifest.class_names

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {one.num_rows:,}" for name, one in self.manifest.splits.items())
        return (
            f"PreparedData({self.fingerprint[:8]}, {len(self.class_names)} classes, rows: {rows})"
        )

    def _repr_html_(self) -> str:
        manifest = self.manifest
        rows = [
            [
                name,
                f"{one.num_rows:,}",
                counts_text(one.class_counts),
                f"{one.length_quantiles['p50']:.0f}",
                f"{one.length_quantiles['max']:.0f}",
                f"{one.unknown_token_rate:.2%}",
            ]
            for name, one in manifest.splits.items()
        ]
        header = ["split", "rows", "classes", "median tokens", "most", "unknown"]
        used = sum(one.num_rows for one in manifest.splits.values())
        notes = [
            f"{manifest.num_rows_read:,} rows read, {used:,} used; "
            f"vocabulary of {manifest.vocabulary_size:,} tokens",
            *manifest.warnings,
            self.path,
        ]
        return html.card("PreparedData", html.table(rows, header=header), html.paragraphs(notes))

    def vocabulary_text(self) -> str:
        """The vocabulary as JSON lines.

        Raises:
            DataError: the file cannot be read or is damaged.
        """
        return self._read(VOCABULARY_NAME).decode()

    def vocabulary(self) -> Vocabulary:
        """The vocabulary fitted on train.

        Raises:
            DataError: the file cannot be read or is damaged.
        """
        return Vocabulary.from_jsonl(self.vocabulary_text())

    def split(self, name: str) -> EncodedSplit:
        """All rows of ``train``, ``val`` or ``test``, in the order of their ids.

        Raises:
            DataError: a file cannot be read or is damaged, or rows are missing.
        """
        ((_, rows),) = self.pieces(name, piece_bytes=None)
        return rows

    def pieces(
        self,
        name: str,
        *,
        piece_bytes: int | None,
        numbers: Collection[int] | None = None,
        cache: FileCache = NO_COPIES,
    ) -> Iterator[tuple[Ints, EncodedSplit]]:
        """The rows of a split, those of some files at a time.

        Args:
            name: ``train``, ``val`` or ``test``.
            piece_bytes: of the files of a piece, about; None: all rows are one piece.
            numbers: of the pieces that are wanted, from 0; None: all.
            cache: has copies of the files.

        Yields:
            The ids of the rows, int64 [N], rising, and the rows in that order.

        Raises:
            DataError: a file cannot be read or is damaged, a row is there twice, or, at the end of
                all pieces, one is missing.
        """
        num_rows = self.manifest.splits[name].num_rows
        is_read = np.zeros(num_rows, dtype=bool)
        for number, parts in enumerate(self.parts_of_pieces(name, piece_bytes)):
            if numbers is not None and number not in numbers:
                continue
            tables = [self.read_part(part, SPLIT_SCHEMA, cache) for part in parts]
            row_ids = _joined(table["row_id"] for table in tables)
            order = np.argsort(row_ids)
            row_ids = row_ids[order]
            is_new = (row_ids >= 0) & (row_ids < num_rows)
            is_new[is_new] = ~is_read[row_ids[is_new]]
            if not is_new.all() or (np.diff(row_ids) == 0).any():
                raise self.wrong_rows(name)
            is_read[row_ids] = True
            yield row_ids, self._in_order(name, tables, row_ids, order)
        if numbers is None and not is_read.all():
            raise self.wrong_rows(name)

    def parts_of_pieces(self, name: str, piece_bytes: int | None) -> list[list[str]]:
        """The files of each piece; see :meth:`pieces`."""
        pieces: list[list[str]] = [[]]
        num_bytes = 0
        for part in self._parts(name):
            if piece_bytes is not None and num_bytes >= piece_bytes:
                pieces.append([])
                num_bytes = 0
            pieces[-1].append(part)
            num_bytes += self.manifest.files[part]
        return pieces

    def _in_order(
        self, name: str, tables: Sequence[pa.Table], row_ids: Ints, order: Ints
    ) -> EncodedSplit:
        """The rows of some files in the order of their ids; see :func:`_in_order`."""
        token_ids, offsets = _in_order("token_ids", tables, row_ids, order, np.dtype(np.int32))
        unknown_keys, _ = _in_order("unknown_keys", tables, row_ids, order, np.dtype(np.uint32))
        if len(unknown_keys) != np.count_nonzero(token_ids == UNKNOWN_ID):
            raise _damaged(self.path, f"each unknown token of {name} must have a key")
        labels = _joined(table["label"] for table in tables)[order]
        return EncodedSplit(token_ids, offsets, labels, unknown_keys)

    def row_keys(self, name: str) -> npt.NDArray[np.uint64]:
        """What names the rows of ``val`` or ``test`` in every run, by row id: uint64 [num_rows].

        Raises:
            DataError: a file cannot be read or is damaged, or rows are missing.
        """
        tables = [
            self.read_part(part, HELD_OUT_SCHEMA).select(["row_id", "row_key"])
            for part in self._parts(f"{HELD_OUT}/{name}")
        ]
        row_ids = _joined(table["row_id"] for table in tables)
        self._check_all(row_ids, name)
        keys = np.zeros(len(row_ids), dtype=np.uint64)
        keys[row_ids] = np.concatenate([table["row_key"].to_numpy() for table in tables])
        return keys

    def held_out_keys(self) -> dict[str, npt.NDArray[np.uint64]]:
        """The :meth:`row_keys` of val and of test."""
        return {name: self.row_keys(name) for name in SPLITS if name != "train"}

    def texts(self, name: str, row_keys: Iterable[int]) -> dict[int, str]:
        """The texts of some rows of ``val`` or ``test``, by key; of long ones an excerpt.

        Keys of no row are left out.

        Raises:
            DataError: a file cannot be read or is damaged.
        """
        wanted = pa.array(sorted({int(key) for key in row_keys}), pa.uint64())
        texts: dict[int, str] = {}
        for part in self._parts(f"{HELD_OUT}/{name}"):
            table = self.read_part(part, HELD_OUT_SCHEMA)
            table = table.filter(pc.is_in(table["row_key"], wanted))
            texts |= zip(table["row_key"].to_pylist(), table["text"].to_pylist(), strict=True)
        return texts

    def _check_all(self, row_ids: Ints, name: str) -> None:
        num_rows = self.manifest.splits[name].num_rows
        if not np.array_equal(np.sort(row_ids), np.arange(num_rows)):
            raise self.wrong_rows(name)

    def wrong_rows(self, name: str) -> DataError:
        """The error of a split that has other rows than its manifest says."""
        num_rows = self.manifest.splits[name].num_rows
        return _damaged(self.path, f"the rows of {name} must be 0 to {num_rows - 1}")

    def _parts(self, name: str) -> list[str]:
        return [part for part in sorted(self.manifest.files) if part.startswith(f"{name}/")]

    def read_part(self, part: str, schema: pa.Schema, cache: FileCache = NO_COPIES) -> pa.Table:
        """The rows of a file, as they were written.

        Args:
            part: its path below the data folder.
            schema: of its rows.
            cache: has copies of the files.

        Raises:
            DataError: the file cannot be read or is damaged.
        """
        content = self._read(part, cache)
        with readable_errors(f"{self.path}: {part}"):
            return pq.read_table(pa.BufferReader(content), schema=schema)

    def _read(self, name: str, cache: FileCache = NO_COPIES) -> bytes:
        """The content of a file, as it was written."""
        file = open_storage_path(self.path) / self.manifest.data_folder / name
        return cache.read(file, self.manifest.files.get(name, 0), partial(self._content, name=name))

    def _content(self, file: StoragePath, *, name: str) -> bytes:
        with readable_errors(str(file)):
            content = file.read_bytes()
        if zlib.crc32(content) != self.manifest.checksums.get(name, zlib.crc32(content)):
            raise _damaged(self.path, f"{name} is not as it was written")
        return content


def open_prepared(path: str) -> PreparedData:
    """Opens prepared data for reading.

    Args:
        path: local folder or URI, as ``prepared_path`` gives it.

    Raises:
        DataError: it is unfinished, damaged, or of a format that this release does not read.
    """
    home = open_storage_path(path)
    try:
        content = (home / MANIFEST_NAME).read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"there is no {MANIFEST_NAME}: the preparation did not finish, or wrote elsewhere",
            where=str(home),
            remedy="prepare the data again",
        ) from None
    except (OSError, ArrowException) as error:
        raise storage_error(error, where=str(home)) from None
    manifest = _parse_manifest(content, where=str(home))
    _check_files(home / manifest.data_folder, manifest)
    return PreparedData(path, manifest)


def _parse_manifest(content: bytes, *, where: str) -> Manifest:
    try:
        values = json.loads(content)
        version = values["format_version"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(where, f"{MANIFEST_NAME} is not a manifest") from None
    if version != FORMAT_VERSION:
        raise DataError(
            f"the format version must be {FORMAT_VERSION}, but got {version!r}",
            where=where,
            remedy="prepare the data again with this release",
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        raise _damaged(where, f"{MANIFEST_NAME}: {key}: {problem['msg']}") from None


def _check_files(folder: StoragePath, manifest: Manifest) -> None:
    with readable_errors(str(folder)):
        sizes = folder_files(folder)
    for name, size in sorted(manifest.files.items()):
        if sizes.get(name) != size:
            got = f"{sizes[name]} bytes" if name in sizes else "nothing"
            raise _damaged(str(folder), f"{name} must have {size} bytes, but there is {got}")


def folder_files(folder: StoragePath) -> dict[str, int]:
    """Sizes in bytes of the files below a folder, by path from it."""
    return {
        info.path[len(folder.path) + 1 :]: info.size
        for info in folder.children(recursive=True)
        if info.type == pafs.FileType.File
    }


def _joined(columns: Iterable[pa.ChunkedArray]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *(column.to_numpy() for column in columns)])


def _in_order(
    name: str, tables: Sequence[pa.Table], row_ids: Ints, order: Ints, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[Any], Ints]:
    """The lists of a column, one behind the other in the order of the row ids, and their bounds.

    Args:
        name: of a column of lists.
        tables: N rows in all.
        row_ids: int64 [N], their ids, rising.
        order: int64 [N], the rows by their ids.
        dtype: of the lists' values.

    Returns:
        [sum of the lengths] and int64 [N + 1].
    """
    lengths = _joined(pc.fill_null(pc.list_value_length(table[name]), 0) for table in tables)
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(lengths[order], out=offsets[1:])
    values = np.empty(int(offsets[-1]), dtype=dtype)
    for table in tables:
        for batch in table.to_batches():
            rows = np.searchsorted(row_ids, batch.column("row_id").to_numpy())
            lengths = np.diff(offsets)[rows]
            source_starts = np.cumsum(lengths) - lengths
            shift = np.repeat(offsets[rows] - source_starts, lengths)
            found = batch.column(name).flatten().to_numpy()
            values[shift + np.arange(len(found))] = found
    return values, offsets


def _damaged(where: str, message: str) -> DataError:
    return DataError(
        f"the prepared data is damaged: {message}",
        where=where,
        remedy="remove it and prepare the data again",
    )
