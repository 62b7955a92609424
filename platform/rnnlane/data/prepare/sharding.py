"""Lays out a split of finished prepared data as shards, beside it, and does not change it.

The rows of a class stand in the order of their ids, which is that of a hash of their texts; a shard
has those of a range of ids. Files are cut into what each task writes, and the manifest is written
last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnlane.data.prepare.prepared import SPLIT_SCHEMA, PreparedData
from rnnlane.data.prepare.shards import (
    SHARD_SCHEMA,
    SHARDS_FORMAT,
    SHARDS_MANIFEST,
    GroupRows,
    ShardInfo,
    Shards,
    ShardsManifest,
    damaged,
    shards_home,
)
from rnnlane.data.storage import StoragePath, open_storage_path, readable_errors

# Token ids take 2.3 to 3.0 times as many bytes in memory as in a file (movie reviews, small texts).
_COMPRESSION = 3


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


def parts_of(prepared: PreparedData, split: str, layout: Layout) -> list[list[Part]]:
    """The shards of a split in the order of labels and ids, those of one task together."""
    stats = prepared.manifest.splits[split]
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


def runs_of_files(prepared: PreparedData, split: str, layout: Layout) -> list[list[str]]:
    """The files of a split, those that one task cuts together."""
    sizes = prepared.manifest.files
    runs: list[list[str]] = [[]]
    room = layout.task_bytes // _COMPRESSION
    for name in sorted(name for name in sizes if name.startswith(f"{split}/")):
        if room <= 0:
            runs.append([])
            room = layout.task_bytes // _COMPRESSION
        runs[-1].append(name)
        room -= sizes[name]
    return runs


def cut_rows(
    prepared: PreparedData, split: str, files: Sequence[str], tasks: Sequence[Sequence[Part]]
) -> tuple[pa.Table, ...]:
    """Cuts the rows of some files: for each task of :func:`parts_of` those that it writes.

    Returns:
        Of each task a table of ``SHARD_SCHEMA`` and a column ``place``: the order of labels and
        ids.

    Raises:
        DataError: the prepared data is damaged.
    """
    num_rows = prepared.manifest.splits[split].num_rows
    tables = []
    for file in files:
        table = prepared.read_part(file, SPLIT_SCHEMA)
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
    split: str,
    folder: StoragePath,
    parts: Sequence[Part],
    layout: Layout,
    *tables: pa.Table,
) -> list[tuple[Part, ShardInfo]]:
    """Writes some shards; holds their rows.

    Args:
        prepared, split: what is laid out.
        folder: of the shards.
        parts: one task of :func:`parts_of`.
        layout: sizes.
        tables: its rows, from :func:`cut_rows` of all files.

    Returns:
        The shards that have a row.

    Raises:
        DataError: the disk is full or cannot be written.
    """
    stats = prepared.manifest.splits[split]
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


def publish_shards(
    prepared: PreparedData,
    split: str,
    folder: StoragePath,
    written: Iterable[tuple[Part, ShardInfo]],
) -> Shards:
    """Finishes a draft of shards.

    Args:
        prepared, split: what is laid out.
        folder: the draft.
        written: all shards.

    Raises:
        DataError: rows are missing, or the disk is full or cannot be written.
    """
    stats = prepared.manifest.splits[split]
    classes: list[list[ShardInfo]] = [[] for _ in prepared.class_names]
    for part, info in sorted(written):
        classes[part.label].append(info)
    for name, infos in zip(prepared.class_names, classes, strict=True):
        found, expected = sum(sum(one.rows) for one in infos), stats.class_counts.get(name, 0)
        if found != expected:
            message = f"class {name!r} of {split} must have {expected} rows, but got {found}"
            raise damaged(prepared.path, message)
    manifest = ShardsManifest(
        format_version=SHARDS_FORMAT,
        fingerprint=prepared.fingerprint,
        data_folder=folder.name,
        tokens_a_row=stats.num_tokens / stats.num_rows,
        classes=tuple(tuple(infos) for infos in classes),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    home = open_storage_path(shards_home(prepared, split))
    with readable_errors(str(home)):
        content = manifest.model_dump_json().encode()
        (home / SHARDS_MANIFEST).publish(content, draft=folder / SHARDS_MANIFEST)
    return Shards(shards_home(prepared, split), manifest)
