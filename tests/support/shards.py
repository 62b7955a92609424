"""Splits as shards, in memory and on disk."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.streamed import StepRows, StreamedSplit
from rnnlane.data.file_cache import FileCache
from rnnlane.data.prepare.prepared import SPLIT_SCHEMA, SPLITS, PreparedData
from rnnlane.data.prepare.shards import GroupRows, ShardInfo, Shards, ShardsManifest
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID
from support.run_facts import manifest, split_stats


class MemoryShards(Shards):
    """Shards of a split that is in memory; ``reads`` has what was read, in order."""

    def __init__(
        self, split: EncodedSplit, num_classes: int, *, rows_of_shard: int, rows_of_group: int
    ):
        self.split = split
        self.reads: list[tuple[int, int, int]] = []
        classes = []
        self._groups: dict[tuple[int, int, int], np.ndarray] = {}
        for label in range(num_classes):
            rows = np.flatnonzero(split.labels == label)
            shards = []
            for number, first in enumerate(range(0, len(rows), rows_of_shard)):
                of_shard = rows[first : first + rows_of_shard]
                groups = np.split(of_shard, range(rows_of_group, len(of_shard), rows_of_group))
                for group, ids in enumerate(groups):
                    self._groups[label, number, group] = ids
                lengths = tuple(map(len, groups))
                shards.append(ShardInfo(file="", num_bytes=0, rows=lengths, checksums=()))
            classes.append(tuple(shards))
        manifest = ShardsManifest(
            format_version=1,
            fingerprint="f",
            data_folder=f"data-{id(self)}",
            tokens_a_row=len(split.token_ids) / len(split),
            classes=tuple(classes),
            created_at="2026-01-01T00:00:00+00:00",
        )
        super().__init__("memory", manifest)

    def read(self, label: int, shard: int, group: int, *, cache: FileCache) -> GroupRows:
        del cache
        self.reads.append((label, shard, group))
        ids = self._groups[label, shard, group]
        rows = self.split.take(ids)
        keys = np.zeros(0, np.uint32) if rows.unknown_keys is None else rows.unknown_keys
        return GroupRows(ids, rows.offsets, rows.token_ids, keys)


def streamed(
    split: EncodedSplit,
    num_classes: int = 2,
    *,
    rows_of_shard: int = 20,
    rows_of_group: int = 6,
    window_steps: int = 2,
    **changes: Any,
) -> StreamedSplit:
    """A split as shards in memory, read in windows of so many steps."""
    shards = MemoryShards(
        split, num_classes, rows_of_shard=rows_of_shard, rows_of_group=rows_of_group
    )
    return Windowed(shards, window_tokens=window_steps, **changes)


class Windowed(StreamedSplit):
    """``window_tokens`` counts the steps of a window."""

    def window_steps(self, global_batch_size: int) -> int:
        return self.window_tokens


def read_steps(
    split: StreamedSplit,
    *,
    global_batch_size: int,
    epoch: int = 1,
    start: int = 0,
    seen: Callable[[], object] = lambda: None,
) -> list[StepRows]:
    """The steps of an epoch; ``seen`` is called after each window."""
    found = []
    settings = {"seed": 3, "epoch": epoch, "max_buckets": 50}
    with split.epoch(global_batch_size=global_batch_size, **settings) as windows:
        for name, steps in windows.windows(start):
            # Copies: the window's memory goes.
            found += [
                StepRows(step.split.take(step.rows), np.arange(len(step.rows)), step.row_ids)
                for step in steps
            ]
            windows.forget(name)
            seen()
    return found


def prepared_of(
    path: Path, split: EncodedSplit, num_classes: int, num_files: int = 3, name: str = "train"
) -> Any:
    """Prepared data that has one split, this one; its files have the rows in any order."""
    names = tuple(f"class {label}" for label in range(num_classes))
    counts = np.bincount(split.labels[split.labels >= 0], minlength=num_classes).tolist()
    stats = split_stats(counts, names, num_tokens=len(split.token_ids))
    stats = stats.model_copy(update={"num_rows": len(split)})  # those without a label too
    folder = path / "data" / name
    folder.mkdir(parents=True)
    files = {}
    order = np.random.default_rng(0).permutation(len(split))
    for number, ids in enumerate(np.array_split(order, num_files)):
        rows = split.take(ids)
        bounds = np.searchsorted(np.flatnonzero(rows.token_ids == UNKNOWN_ID), rows.offsets)
        table = pa.table(
            [
                pa.array(ids),
                pa.array(rows.labels),
                pa.array(rows.lengths),
                pa.ListArray.from_arrays(pa.array(rows.offsets, pa.int32()), rows.token_ids),
                pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), rows.unknown_keys),
            ],
            names=SPLIT_SCHEMA.names,
        ).cast(SPLIT_SCHEMA)
        file = folder / f"part-{number:06d}.parquet"
        pq.write_table(table, file)
        files[f"{name}/{file.name}"] = file.stat().st_size
    checksums = {file: zlib.crc32((path / "data" / file).read_bytes()) for file in files}
    splits = dict.fromkeys((*SPLITS, name), stats)
    return PreparedData(str(path), manifest(names, splits=splits, files=files, checksums=checksums))


def damaged(file: Path, how: str) -> None:
    """Deletes a file, cuts it short, or alters a byte in its middle."""
    content = bytearray(file.read_bytes())
    if how == "deleted":
        file.unlink()
        return
    if how == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 3] ^= 255
    file.write_bytes(content)
