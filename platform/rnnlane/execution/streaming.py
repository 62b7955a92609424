"""Whether what is trained on is held in memory or read from shards, and the shards."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial

import pyarrow as pa

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.data.file_cache import FileCache
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.data.prepare.sharding import (
    Layout,
    Part,
    cut_rows,
    parts_of,
    publish_shards,
    runs_of_files,
    write_shards,
)
from rnnlane.data.prepare.shards import JoinedShards, ShardInfo, Shards, find_shards, shards_home
from rnnlane.data.prepare.tasks import results_in_order
from rnnlane.data.prepare.writer import draft_folder
from rnnlane.data.storage import StoragePath
from rnnlane.errors import RnnlaneError
from rnnlane.ray_cluster.capacity import least_memory
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.training.loop import TRAIN_AND_VAL

_logger = logging.getLogger(__name__)

# Of the memory of the smallest node, what encoded splits may take to be held in it.
RESIDENT_SHARE = 0.25
# Less than this is held in memory however little there is.
ALWAYS_RESIDENT_BYTES = 256 << 20
LAYOUT = Layout()


def streamed_splits(
    config: ExperimentConfig, prepared: PreparedData, *, refits: bool, events: RunEvents
) -> dict[str, StreamedSplit]:
    """What is trained on as shards, where ``data.feed`` wants that; else nothing.

    Args:
        config: the experiment.
        prepared: its data; the shards are made if there are none.
        refits: whether train and val are trained on too.
        events: told why, and how far they are.

    Raises:
        DataError: the prepared data cannot be read or is damaged, or the disk is full.
    """
    if not is_streamed(config, prepared, events, how="train is streamed from shards"):
        return {}
    train, cache = made_shards(prepared, "train", events), copies(config)
    streamed = {"train": StreamedSplit(train, cache=cache)}
    if refits:
        both = JoinedShards(train, made_shards(prepared, "val", events))
        streamed[TRAIN_AND_VAL] = StreamedSplit(both, cache=cache)
    return streamed


def copies(config: ExperimentConfig) -> FileCache:
    """Where each node keeps copies of what is streamed from an object store."""
    return FileCache(int(config.runtime.cache_gb * 1e9))


def is_streamed(
    config: ExperimentConfig, prepared: PreparedData, events: RunEvents, *, how: str
) -> bool:
    """Whether what is trained on is not held in memory.

    Args:
        config: the experiment, whose ``data.feed`` may leave it to the size.
        prepared: its data.
        events: told so, and why.
        how: what is done instead.
    """
    if config.data.feed == "resident":
        return False
    if config.data.feed == "streaming":
        events.note(f"{how} (data.feed: streaming)")
        return True
    size = encoded_bytes(prepared)
    if size < ALWAYS_RESIDENT_BYTES:
        return False
    most = RESIDENT_SHARE * (memory := least_memory())
    if size <= most:
        _logger.info("the texts are held in memory: %d bytes of at most %d", size, most)
        return False
    events.note(
        f"{size / 2**30:.1f} GiB of encoded rows are more than {RESIDENT_SHARE:.0%} of the "
        f"smallest node's {memory / 2**30:.1f} GiB: {how} (data.feed: auto)"
    )
    return True


def encoded_bytes(prepared: PreparedData) -> int:
    """Memory that the encoded splits take, about."""
    return sum(
        int(4 * one.num_tokens * (1 + one.unknown_token_rate)) + 16 * one.num_rows
        for one in prepared.manifest.splits.values()
    )


def made_shards(prepared: PreparedData, split: str, events: RunEvents) -> Shards:
    """The shards of a split; laid out now, by tasks where Ray is connected, if there are none.

    Raises:
        DataError: the prepared data cannot be read or is damaged, or the disk is full.
    """
    found = find_shards(prepared, split)
    if found is not None:
        return found
    events.stage("laying out shards")
    tasks = parts_of(prepared, split, LAYOUT)
    with (
        draft_folder(shards_home(prepared, split)) as folder,
        closing(_results(prepared, split, folder, tasks)) as results,
    ):
        written: list[tuple[Part, ShardInfo]] = []
        for done, infos in enumerate(results, start=1):
            written += infos
            events.progress(Progress("laying out shards", done, len(tasks), unit="tasks"))
        return publish_shards(prepared, split, folder, written)


def _results(
    prepared: PreparedData, split: str, folder: StoragePath, tasks: Sequence[Sequence[Part]]
) -> Generator[list[tuple[Part, ShardInfo]]]:
    """Cuts the files' rows by task, and has each task write its own."""
    import ray
    import ray.exceptions

    runs = runs_of_files(prepared, split, LAYOUT)
    if not ray.is_initialized():
        # One process reads the files once for each task, and never holds more than one's rows.
        for parts in tasks:
            tables = [cut_rows(prepared, split, files, [parts])[0] for files in runs]
            yield write_shards(prepared, split, folder, parts, LAYOUT, *tables)
        return
    cut = ray.remote(num_returns=len(tasks))(_cut)
    refs = [cut.remote(prepared, split, files, tasks) for files in runs]
    by_task = zip(*([ref] if len(tasks) == 1 else ref for ref in refs), strict=True)
    write = ray.remote(write_shards)
    starts = [
        partial(write.remote, prepared, split, folder, parts, LAYOUT, *tables)
        for parts, tables in zip(tasks, by_task, strict=True)
    ]
    try:
        yield from results_in_order(starts)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RnnlaneError):
            raise error.cause from None
        raise


def _cut(
    prepared: PreparedData, split: str, files: Sequence[str], tasks: Sequence[Sequence[Part]]
) -> pa.Table | tuple[pa.Table, ...]:
    """A task: the rows of some files by the task that writes them, as Ray hands them on."""
    tables = cut_rows(prepared, split, files, tasks)
    return tables if len(tasks) > 1 else tables[0]
