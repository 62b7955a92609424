"""Prepared data laid out for reading from front to back: a run of shards for each class.

It is made of finished prepared data, beside it, and does not change it. The rows of a class stand
in the order of their ids, which is that of a hash of their texts; a shard has those of a range of
ids. Shards are Parquet files of row groups that are read whole; the manifest, written last, has the
rows of each and a checksum of what they decode to.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ArrowException
from pydantic import BaseModel, ConfigDict, ValidationError

from rnnlane.data.file_cache import FileCache
from rnnlane.data.prepare.prepared import SPLIT_SCHEMA, PreparedData, folder_files
from rnnlane.data.prepare.writer import abandoned_drafts
from rnnlane.data.storage import (
    StoragePath,
    joined,
    open_storage_path,
    readable_errors,
    storage_error,
)
from rnnlane.errors import DataError

_logger = logging.getLogger(__name__)

SHARDS = "shards"
"""The folder beside the prepared data's manifest."""
SHARDS_MANIFEST = "shards.json"
SHARDS_FORMAT = 1

SHARD_SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("token_ids", pa.list_(pa.int32())),
    ]
)

# Token ids take 2.3 to 3.0 times as many bytes in memory as in a file (movie reviews, small texts).
_COMPRESSION = 3

Ints = npt.NDArray[np.int64]


class Layout(NamedTuple):
    """How large shards and row groups are, in bytes of token ids.

    A reader holds one row group of every class, so there are smaller ones of many classes.
    """

    shard_bytes: int = 96 << 20
    group_bytes: int = 2 << 20
    all_groups_bytes: int = 64 << 20
    least_group_bytes: int = 64 << 10
    task_bytes: int = 192 << 20

    def rows_of_group(self, num_classes: int, tokens_a_row: float) -> int:
        """Rows of a row group."""
        most = max(self.least_group_bytes, self.all_groups_bytes // num_classes)
        return max(1, int(min(self.group_bytes, most) / (4 * tokens_a_row)))

    def rows_of_shard(self, tokens_a_row: float) -> int:
        """Rows of a shard, about."""
        return max(1, int(self.shard_bytes / (4 * tokens_a_row)))

    def rows_of_task(self, tokens_a_row: float) -> int:
        """Rows that one task lays out, at least those of one shard."""
        return max(1, int(self.task_bytes / (4 * tokens_a_row)))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardInfo(_Record):
    """A shard.

    Attributes:
        file: its path below the data folder.
        num_bytes: of the file.
        rows: of each row group.
        checksums: of the rows of each row group, see :attr:`GroupRows.checksum`.
    """

    file: str
    num_bytes: int
    rows: tuple[int, ...]
    checksums: tuple[int, ...]


class ShardsManifest(_Record):
    """What the shards of a split are.

    Attributes:
        fingerprint: of the prepared data.
        data_folder: name of the folder beside the manifest that holds the files.
        tokens_a_row: mean number.
        classes: by label, the shards of each class in the order of their rows' ids.
        created_at: ISO 8601, UTC.
    """

    format_version: int
    fingerprint: str
    data_folder: str
    tokens_a_row: float
    classes: tuple[tuple[ShardInfo, ...], ...]
    created_at: str


class GroupRows(NamedTuple):
    """The rows of a row group, or some of them.

    Attributes:
        row_ids: int64 [N], rising.
        offsets: int64 [N + 1], where in ``token_ids`` each row begins, and the last ends.
        token_ids: int32 [num_tokens].
    """

    row_ids: Ints
    offsets: Ints
    token_ids: npt.NDArray[np.int32]

    @property
    def checksum(self) -> int:
        """CRC-32 of the ids, lengths and tokens of the rows."""
        value = 0
        for array in (self.row_ids, np.diff(self.offsets), self.token_ids):
            value = zlib.crc32(np.ascontiguousarray(array).data, value)
        return value

    def cut(self, start: int, stop: int) -> GroupRows:
        """The rows from ``start`` to ``stop``, without a copy of their tokens."""
        at = self.offsets[start : stop + 1]
        return GroupRows(self.row_ids[start:stop], at - at[0], self.token_ids[at[0] : at[-1]])

    @classmethod
    def of(cls, table: pa.Table) -> GroupRows:
        """The rows of a table of ``SHARD_SCHEMA``."""
        lists = table["token_ids"].combine_chunks()
        lengths = pc.fill_null(lists.value_lengths(), 0).to_numpy(zero_copy_only=False)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        token_ids = lists.flatten().to_numpy().astype(np.int32, copy=False)
        return cls(table["row_id"].to_numpy(), offsets, token_ids)


class Shards:
    """The finished shards of the train split; see :func:`find_shards`. Few numbers, and picklable.

    Attributes:
        path: folder or URI that holds the manifest.
        manifest: describes the content.
    """

    def __init__(self, path: str, manifest: ShardsManifest):
        self.path = path
        self.manifest = manifest

    @cached_property
    def group_rows(self) -> list[list[tuple[int, ...]]]:
        """By label, and of each shard: the rows of its row groups."""
        return [[shard.rows for shard in shards] for shards in self.manifest.classes]

    @cached_property
    def class_counts(self) -> Ints:
        """Rows by label: int64 [C]."""
        return np.array([sum(map(sum, shards)) for shards in self.group_rows], dtype=np.int64)

    def read(self, label: int, shard: int, group: int, *, cache: FileCache) -> GroupRows:
        """Decodes a row group.

        Args:
            label, shard, group: which one.
            cache: has copies of shards.

        Raises:
            DataError: the file cannot be read, or is not as it was written.
        """
        info = self.manifest.classes[label][shard]
        file = open_storage_path(self.path) / self.manifest.data_folder / info.file
        return cache.read(file, info.num_bytes, partial(self._decoded, info=info, group=group))

    def _decoded(self, file: StoragePath, *, info: ShardInfo, group: int) -> GroupRows:
        """A row group of a shard, or of its copy."""
        try:
            with file.filesystem.open_input_file(file.path) as stream:
                table = pq.ParquetFile(stream).read_row_group(group, use_threads=False)
            rows = GroupRows.of(table)
        except FileNotFoundError:
            raise _damaged(str(file), "the file is missing") from None
        except (OSError, ArrowException, KeyError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise storage_error(error, where=str(file)) from None
            raise _damaged(str(file), f"row group {group} cannot be decoded") from None
        if rows.checksum != info.checksums[group]:
            raise _damaged(str(file), f"row group {group} is not as it was written")
        return rows


class Part(NamedTuple):
    """A shard that is to be written: the rows of a class whose ids are in a range."""

    label: int
    number: int
    first_id: int
    end_id: int

    def first_place(self, num_rows: int) -> int:
        """Of its first row in the order of labels and ids; ids are below ``num_rows``."""
        return self.label * num_rows + self.first_id

    def end_place(self, num_rows: int) -> int:
        """One after its last row's."""
        return self.label * num_rows + self.end_id


def parts_of(prepared: PreparedData, layout: Layout) -> list[list[Part]]:
    """The shards of train in the order of labels and ids, those of one task together."""
    stats = prepared.manifest.splits["train"]
    tokens_a_row = stats.num_tokens / stats.num_rows
    rows_of_shard = layout.rows_of_shard(tokens_a_row)
    tasks: list[list[Part]] = [[]]
    room = layout.rows_of_task(tokens_a_row)
    for label, name in enumerate(prepared.class_names):
        num_rows = stats.class_counts.get(name, 0)
        num_shards = -(-num_rows // rows_of_shard)
        for number in range(num_shards):
            if room <= 0:
                tasks.append([])
                room = layout.rows_of_task(tokens_a_row)
            first, end = (stats.num_rows * one // num_shards for one in (number, number + 1))
            tasks[-1].append(Part(label, number, first, end))
            room -= num_rows // num_shards
    return tasks


def runs_of_files(prepared: PreparedData, layout: Layout) -> list[list[str]]:
    """The files of train, those that one task cuts together."""
    sizes = prepared.manifest.files
    runs: list[list[str]] = [[]]
    room = layout.task_bytes // _COMPRESSION
    for name in sorted(name for name in sizes if name.startswith("train/")):
        if room <= 0:
            runs.append([])
            room = layout.task_bytes // _COMPRESSION
        runs[-1].append(name)
        room -= sizes[name]
    return runs


def cut_rows(
    prepared: PreparedData, files: Sequence[str], tasks: Sequence[Sequence[Part]]
) -> tuple[pa.Table, ...]:
    """Cuts the rows of some files: for each task of :func:`parts_of` those that it writes.

    Returns:
        Of each task a table of ``SHARD_SCHEMA`` and a column ``place``: the order of labels and
        ids.

    Raises:
        DataError: the prepared data is damaged.
    """
    num_rows = prepared.manifest.splits["train"].num_rows
    tables = []
    for table in _tables(prepared, files):
        place = table["label"].to_numpy().astype(np.int64) * num_rows
        place += table["row_id"].to_numpy()
        rows = table.select(SHARD_SCHEMA.names).append_column("place", pa.array(place))
        tables.append(rows.sort_by("place"))
    cut = []
    for parts in tasks:
        bounds = parts[0].first_place(num_rows), parts[-1].end_place(num_rows)
        slices = []
        for table in tables:
            start, stop = np.searchsorted(table["place"].to_numpy(), bounds)
            slices.append(table.slice(start, stop - start))
        cut.append(pa.concat_tables(slices).combine_chunks())
    return tuple(cut)


def write_shards(
    prepared: PreparedData,
    folder: StoragePath,
    parts: Sequence[Part],
    layout: Layout,
    *tables: pa.Table,
) -> list[tuple[Part, ShardInfo]]:
    """Writes some shards; holds their rows.

    Args:
        prepared: the data.
        folder: of the shards.
        parts: one task of :func:`parts_of`.
        layout: sizes.
        tables: its rows, from :func:`cut_rows` of all files.

    Returns:
        The shards that have a row.

    Raises:
        DataError: the disk is full or cannot be written.
    """
    stats = prepared.manifest.splits["train"]
    rows_of_group = layout.rows_of_group(
        len(prepared.class_names), stats.num_tokens / stats.num_rows
    )
    rows = pa.concat_tables(tables)
    place = rows["place"].to_numpy()
    order = np.argsort(place, kind="stable")
    firsts = [part.first_place(stats.num_rows) for part in parts]
    edges = np.searchsorted(place[order], [*firsts, parts[-1].end_place(stats.num_rows)])
    written = []
    for part, first, last in zip(parts, edges, edges[1:], strict=False):
        if last > first:
            name = f"class-{part.label:05d}/shard-{part.number:05d}.parquet"
            taken = rows.select(SHARD_SCHEMA.names).take(pa.array(order[first:last]))
            written.append((part, _write(taken, folder, name, rows_of_group)))
    return written


def _tables(prepared: PreparedData, files: Sequence[str]) -> Iterator[pa.Table]:
    """Some files of the prepared data, one after the other."""
    manifest = prepared.manifest
    home = open_storage_path(prepared.path) / manifest.data_folder
    for name in files:
        file = home / name
        with readable_errors(str(file)):
            content = file.read_bytes()
            if zlib.crc32(content) != manifest.checksums.get(name, zlib.crc32(content)):
                raise _damaged(prepared.path, f"{name} is not as it was written")
            yield pq.read_table(pa.BufferReader(content), schema=SPLIT_SCHEMA)


def _write(rows: pa.Table, folder: StoragePath, name: str, rows_of_group: int) -> ShardInfo:
    file = folder / name
    groups = [rows.slice(at, rows_of_group) for at in range(0, rows.num_rows, rows_of_group)]
    with readable_errors(str(file)):
        file.filesystem.create_dir(file.path.rpartition("/")[0])
        with (
            file.filesystem.open_output_stream(file.path, compression=None) as stream,
            pq.ParquetWriter(
                stream, SHARD_SCHEMA, compression="zstd", use_dictionary=False
            ) as writer,
        ):
            for group in groups:
                writer.write_table(group, row_group_size=rows_of_group)
        num_bytes = file.info().size
    return ShardInfo(
        file=name,
        num_bytes=num_bytes,
        rows=tuple(group.num_rows for group in groups),
        checksums=tuple(GroupRows.of(group).checksum for group in groups),
    )


def shards_home(prepared: PreparedData) -> str:
    """Folder or URI of the shards of prepared data."""
    return joined(prepared.path, SHARDS)


def publish_shards(
    prepared: PreparedData, folder: StoragePath, written: Iterable[tuple[Part, ShardInfo]]
) -> Shards:
    """Finishes a draft of shards.

    Args:
        prepared: the data.
        folder: the draft.
        written: all shards.

    Raises:
        DataError: rows are missing, or the disk is full or cannot be written.
    """
    stats = prepared.manifest.splits["train"]
    classes: list[list[ShardInfo]] = [[] for _ in prepared.class_names]
    for part, info in sorted(written):
        classes[part.label].append(info)
    for name, infos in zip(prepared.class_names, classes, strict=True):
        found, expected = sum(sum(one.rows) for one in infos), stats.class_counts.get(name, 0)
        if found != expected:
            message = f"class {name!r} of train must have {expected} rows, but got {found}"
            raise _damaged(prepared.path, message)
    manifest = ShardsManifest(
        format_version=SHARDS_FORMAT,
        fingerprint=prepared.fingerprint,
        data_folder=folder.name,
        tokens_a_row=stats.num_tokens / stats.num_rows,
        classes=tuple(tuple(infos) for infos in classes),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    home = open_storage_path(shards_home(prepared))
    with readable_errors(str(home)):
        content = manifest.model_dump_json().encode()
        (home / SHARDS_MANIFEST).publish(content, draft=folder / SHARDS_MANIFEST)
    return Shards(shards_home(prepared), manifest)


def find_shards(prepared: PreparedData) -> Shards | None:
    """The finished shards of prepared data, or None: there are none, or files of another size.

    Removes drafts that are a day old: their writers died.

    Raises:
        DataError: the storage cannot be reached.
    """
    path = shards_home(prepared)
    home = open_storage_path(path)
    with readable_errors(str(home)):
        found = _manifest_at(home)
        used = None if found is None else found.data_folder
        for folder in abandoned_drafts(path, used=used, now=datetime.now(UTC)):
            folder.remove_folder()
        if found is None or found.fingerprint != prepared.fingerprint:
            return None
        sizes = folder_files(home / found.data_folder)
    for info in (info for infos in found.classes for info in infos):
        if sizes.get(info.file) != info.num_bytes:
            got = f"{sizes[info.file]} bytes" if info.file in sizes else "nothing"
            _logger.warning(
                "laying out the shards again: %s must have %d bytes, but there is %s",
                home / info.file,
                info.num_bytes,
                got,
            )
            return None
    return Shards(path, found)


def _manifest_at(home: StoragePath) -> ShardsManifest | None:
    file = home / SHARDS_MANIFEST
    if not file.info().is_file:
        return None
    try:
        manifest = ShardsManifest.model_validate_json(file.read_bytes())
    except ValidationError:
        _logger.warning("laying out the shards again: %s is not their manifest", file)
        return None
    return manifest if manifest.format_version == SHARDS_FORMAT else None


def _damaged(where: str, message: str) -> DataError:
    return DataError(
        f"the prepared data is damaged: {message}",
        where=where,
        remedy="remove its folder and prepare the data again",
    )
