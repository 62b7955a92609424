"""The pipeline from raw rows to prepared data: read, tokenize, split, count, encode, publish.

Ray is imported where it is used, because finding existing prepared data must be quick.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rnnlane.config import ExperimentConfig
from rnnlane.data.prepare.address import Identity, identify, prepared_path
from rnnlane.data.prepare.blocks import (
    CUT_COLUMNS,
    WRITTEN_SPLITS,
    Assignment,
    PartStats,
    SplitWriter,
    Written,
    count_train_tokens,
    summarize,
    tokenize_in_parts,
)
from rnnlane.data.prepare.chunks import CHUNK_BYTES, Block, Chunk, by_chunk, chunked
from rnnlane.data.prepare.described import Overview, Partition, describe
from rnnlane.data.prepare.limits import check_dropped, check_repaired, check_unknown
from rnnlane.data.prepare.prepared import (
    FORMAT_VERSION,
    UNLABELED_SPLIT,
    Manifest,
    PreparedData,
    SourceInfo,
    SplitStats,
)
from rnnlane.data.prepare.purpose import CLASSIFICATION, Purpose, errors_of_unlabeled
from rnnlane.data.prepare.row_selection import Selection, select_rows
from rnnlane.data.prepare.splits import VAL
from rnnlane.data.prepare.tasks import spread
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.prepare.unlabeled import add_unlabeled
from rnnlane.data.prepare.vocabulary import Vocabulary, merge_counts
from rnnlane.data.prepare.writer import (
    draft_folder,
    find_finished,
    publish,
    remove_abandoned,
    write_vocabulary,
)
from rnnlane.data.sources.base import source_of
from rnnlane.data.sources.row_tables import TABLE_BYTES
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError, RnnlaneError
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress

__all__ = ["check_source", "find_prepared", "prepare", "prepared_path"]

# Different shares keep Ray Data from fusing the two steps into one task, which would tokenize a
# single archive on a single core; together they fit one CPU.
_READ_CPUS, _TOKENIZE_CPUS = 0.25, 0.75
# Local files are read on the driver's node, which on a cluster often has no CPUs to reserve.
_LOCAL_READ_CPUS = 0.0

Ints = npt.NDArray[np.int64]


def find_prepared(
    config: ExperimentConfig, *, storage: str, purpose: Purpose = CLASSIFICATION
) -> PreparedData | None:
    """The experiment's prepared data if it exists, finished and undamaged.

    Args:
        config: the experiment.
        storage: local folder or pyarrow URI.
        purpose: what it is for.

    Raises:
        DataError: the source is missing or cannot be read.
        ConfigError: the file of stop words cannot be read.
    """
    if any(source.needs_fetch() for source, _ in purpose.reads(config.data)):
        return None
    return find_finished(prepared_path(config, storage=storage, purpose=purpose))


def check_source(config: ExperimentConfig, purpose: Purpose = CLASSIFICATION) -> None:
    """Reads the first rows of each split of the source, before anything is started.

    Raises:
        DataError: a column is missing, or the file is not what the experiment says it is.
    """
    data = config.data
    (source, columns), *others = purpose.reads(data)
    source.check_first_rows(columns, max_repaired=data.max_repaired)
    for unlabeled, text in others:
        with errors_of_unlabeled():
            unlabeled.check_first_rows(text, max_repaired=data.max_repaired)


def prepare(
    config: ExperimentConfig,
    *,
    storage: str,
    events: RunEvents | None = None,
    purpose: Purpose = CLASSIFICATION,
) -> PreparedData:
    """Prepares an experiment's data on the Ray cluster, unless it is prepared already.

    The caller initializes Ray. Several processes may prepare the same data at once.

    Args:
        config: the experiment.
        storage: local folder or pyarrow URI that every node reaches.
        events: receives the progress of ``download``, ``read``, ``count`` and ``encode``.
        purpose: what it is for.

    Raises:
        DataError: the source cannot be read or used, or the storage cannot be written.
        ConfigError: the file of stop words cannot be read.
    """
    started = time.monotonic()
    events = events or RunEvents()
    sources = [source for source, _ in purpose.reads(config.data)]
    for source in sources:
        source.fetch(
            lambda done, total: events.progress(Progress("download", done, total, unit="bytes"))
        )
    files = [source.list_files() for source in sources]
    identity = identify(config, purpose)
    path = identity.path(storage)
    remove_abandoned(path, now=datetime.now(UTC))
    existing = find_finished(path)
    if existing is not None:
        return existing
    with draft_folder(path) as folder, _errors_of_tasks():
        content = _build(config, purpose, folder, events)
        for source, before in zip(sources, files, strict=True):
            if source.list_files() != before:
                raise DataError(
                    "the source must stay as it is while it is read, but it changed",
                    where=source.location(),
                    remedy="run again when it is complete",
                )
        manifest = _manifest(config, identity, content, folder=folder, started=started)
        return publish(path, folder=folder, manifest=manifest)


@contextmanager
def _errors_of_tasks() -> Iterator[None]:
    """Raises the error that failed a task without Ray's wrapper."""
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RnnlaneError):
            raise error.cause from None
        raise
    except ray.exceptions.OutOfDiskError:
        raise DataError(
            "no space left for Ray's object store to spill to",
            where="the disk of Ray's temporary folder",
            remedy="free some space, or start Ray with another --temp-dir",
        ) from None


@dataclass(frozen=True)
class _Content:
    """What the manifest says of the files built."""

    num_rows_read: int
    selection: Selection
    vocabulary_size: int
    splits: dict[str, SplitStats]
    repaired: dict[str, int]
    cut: dict[str, int]
    checksums: dict[str, int]


def _build(
    config: ExperimentConfig, purpose: Purpose, folder: StoragePath, events: RunEvents
) -> _Content:
    import ray

    blocks = _tokenized_blocks(config, events)
    labeled = _described(blocks, config)
    _check_repaired(labeled.overview, config)
    partitions = Partition.all_for(labeled.overview.num_rows)
    selection = select_rows(
        labeled.tables, labeled.overview, config=config.data, partitions=partitions, spread=spread
    )
    overview = labeled.overview
    if purpose.reads_unlabeled:
        more: list[Block] = []
        with errors_of_unlabeled():
            if config.data.unlabeled is not None:
                more = _tokenized_blocks(config, events, unlabeled=True)
            unlabeled = _described(more, config, first_place=overview.num_rows)
            _check_repaired(unlabeled.overview, config)
            check_dropped(
                unlabeled.overview.dropped,
                num_rows=unlabeled.overview.num_rows,
                config=config.data,
            )
        selection = add_unlabeled(
            selection,
            labeled.tables,
            unlabeled.tables,
            unlabeled.overview,
            reads_test=purpose.reads_test,
            partitions=partitions,
            spread=spread,
        )
        blocks, overview = [*blocks, *more], Overview.sum([overview, unlabeled.overview])
    chunks = chunked(blocks)
    vocabulary = _vocabulary(config, purpose, chunks, selection, events)
    write_vocabulary(folder, vocabulary.to_jsonl())
    write = ray.put(SplitWriter(folder, vocabulary).write)
    parts = by_chunk(write, chunks, selection, stage="encode", events=events)
    splits, checksums = _sum_of_parts(parts)
    check_unknown(splits[VAL], config=config.data, text=config.text)
    num_cut = np.sum([split.num_cut for split in splits], axis=0).tolist()
    return _Content(
        num_rows_read=overview.num_rows,
        selection=selection,
        vocabulary_size=len(vocabulary),
        splits=_summaries(splits, purpose, selection.class_names),
        repaired={"invalid_utf8": overview.num_repaired},
        cut=dict(zip(CUT_COLUMNS, num_cut, strict=True)),
        checksums=checksums,
    )


def _check_repaired(overview: Overview, config: ExperimentConfig) -> None:
    check_repaired(overview.num_repaired, num_rows=overview.num_rows, config=config.data)


def _vocabulary(
    config: ExperimentConfig,
    purpose: Purpose,
    chunks: Sequence[Chunk],
    selection: Selection,
    events: RunEvents,
) -> Vocabulary:
    """The one that the purpose gives, or that of the rows that are learned from."""
    if purpose.vocabulary is not None:
        return Vocabulary.from_jsonl(purpose.vocabulary)
    counts = merge_counts(by_chunk(_count, chunks, selection, stage="count", events=events))
    return Vocabulary.fit(counts, config.text.vocabulary)


def _count(_: int, assignment: Assignment, *tables: pa.Table) -> pa.Table:
    return count_train_tokens(assignment, *tables)


def _sum_of_parts(parts: Iterable[Written]) -> tuple[list[PartStats], dict[str, int]]:
    """What was written to each split, and the checksums of all files."""
    splits: list[PartStats] = []
    checksums: dict[str, int] = {}
    for part in parts:
        both = zip(splits, part.splits, strict=True) if splits else ()
        splits = [one + other for one, other in both] or part.splits
        checksums |= part.checksums
    return splits, checksums


def _summaries(
    splits: Sequence[PartStats], purpose: Purpose, class_names: Sequence[str]
) -> dict[str, SplitStats]:
    summaries = {}
    for name in purpose.splits:
        stats = splits[WRITTEN_SPLITS.index(name)]
        if name != UNLABELED_SPLIT:
            summaries[name] = summarize(stats, class_names)
        elif stats.lengths.any():
            summaries[name] = summarize(stats, ())
    return summaries


@dataclass(frozen=True)
class _Described:
    """What ``describe`` says of some blocks: a table of each, where it is; and all in numbers."""

    tables: list[Any]
    overview: Overview


def _described(
    blocks: Sequence[Block], config: ExperimentConfig, *, first_place: int = 0
) -> _Described:
    places = first_place + np.cumsum([0, *(block.num_rows for block in blocks)])
    tables, told = spread(
        describe,
        [(b.ref, int(at), config.seed) for b, at in zip(blocks, places, strict=False)],
    )
    return _Described(tables, Overview.sum(told))


def _tokenized_blocks(
    config: ExperimentConfig, events: RunEvents, *, unlabeled: bool = False
) -> list[Block]:
    """Reads and tokenizes. The tokens stay in the object store, which spills to disk when full."""
    import ray.data

    from rnnlane.data.sources.stream import SourceRows

    source = SourceRows(config.data, unlabeled=unlabeled)
    is_local = not source.supports_distributed_reads
    dataset = ray.data.read_datasource(
        source,
        override_num_blocks=source.num_tasks,
        num_cpus=_LOCAL_READ_CPUS if is_local else _READ_CPUS,
        concurrency=min(os.cpu_count() or 1, source.num_tasks) if is_local else None,
    ).map_batches(
        tokenize_in_parts,
        fn_kwargs={
            "processor": TextProcessor.from_config(config.text),
            "unlabeled": unlabeled,
        },
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=_TOKENIZE_CPUS,
    )
    _configure(dataset.context, block_bytes(source.size_bytes))
    blocks: list[Block] = []
    num_rows = num_bytes = 0
    room = object_store_bytes()
    with _quiet_ray_data():
        for bundle in dataset.iter_internal_ref_bundles():
            for ref, metadata in zip(bundle.block_refs, bundle.metadata, strict=True):
                # Of a task that yields no row, Ray Data makes a block without columns.
                if metadata.num_rows:
                    blocks.append(Block(ref, metadata.num_rows, metadata.size_bytes))
            num_rows += bundle.num_rows()
            had_room, num_bytes = num_bytes <= room, num_bytes + bundle.size_bytes()
            events.progress(Progress("read", num_rows, None, num_bytes=num_bytes))
            if had_room and num_bytes > room:
                events.note(
                    f"texts and tokens fill Ray's object store ({room / 2**30:.1f} GiB): the rest "
                    "waits on the disk of Ray's temporary folder until the data is prepared"
                )
    return blocks


def object_store_bytes() -> float:
    """What all nodes' object stores hold together."""
    import ray

    return float(ray.cluster_resources().get("object_store_memory", 0.0))


def block_bytes(source_bytes: int) -> int:
    """How large a table in Ray's object store may become.

    Each costs the driver some 70 kB, so there are at least 64, for all cores to have work from the
    start, and not many more, until they are as large as a task can well hold.
    """
    return min(max(TABLE_BYTES, source_bytes // 64), CHUNK_BYTES)


def _configure(context: Any, most_bytes: int) -> None:
    """Settings of one dataset; the process's own do not change."""
    context.target_max_block_size = most_bytes
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Keeps Ray Data's log off the console; its file has it, and errors are raised anyway."""

    def refuse(_: logging.LogRecord) -> bool:
        return False

    handlers = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if not isinstance(handler, logging.FileHandler)
    ]
    for handler in handlers:
        handler.addFilter(refuse)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(refuse)


def _manifest(
    config: ExperimentConfig,
    identity: Identity,
    content: _Content,
    *,
    folder: StoragePath,
    started: float,
) -> Manifest:
    selection = content.selection
    return Manifest(
        format_version=FORMAT_VERSION,
        fingerprint=identity.fingerprint,
        source=SourceInfo(
            kind=config.data.source.kind,
            fingerprint=identity.source,
            location=source_of(config.data).location(),
        ),
        config=identity.settings,
        code_version=identity.code,
        versions=_versions(),
        class_names=selection.class_names,
        vocabulary_size=content.vocabulary_size,
        splits=content.splits,
        num_rows_read=content.num_rows_read,
        dropped=selection.dropped,
        merged=selection.merged,
        conflicts=selection.conflicts,
        num_conflicts=selection.num_conflicts,
        repaired=content.repaired,
        cut=content.cut,
        warnings=selection.warnings,
        groups=selection.groups,
        data_folder=folder.name,
        files={},
        checksums=content.checksums,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 3),
    )


def _versions() -> dict[str, str]:
    packages = ("nltk", "numpy", "pyarrow", "ray")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **versions}
