"""Any source as a Ray Data stream of raw rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from rnnlane.config.experiment import DataConfig, GeneratedSource, ImdbSource
from rnnlane.data.sources.files import SourceFile, list_source
from rnnlane.data.sources.generated import generate_reviews
from rnnlane.data.sources.imdb import read_archive, read_review
from rnnlane.data.sources.readers import read_file
from rnnlane.data.sources.rows import RAW_SCHEMA, RawRow, tables_of
from rnnlane.data.storage import readable_errors

_TASK_BYTES = 8 << 20
_TASK_ROWS = 4096


class SourceRows(Datasource):
    """A :class:`DataConfig`'s source: tables of ``RAW_SCHEMA``, each of bounded size.

    A large file is one task and streams; small files share one.

    Args:
        config: names the source; its files are listed here, in the driver.

    Raises:
        DataError: nothing is there.
    """

    def __init__(self, config: DataConfig):
        super().__init__()  # type: ignore[no-untyped-call]
        self._reads = _planned_reads(config)

    @property
    def num_tasks(self) -> int:
        """Read tasks there will be."""
        return len(self._reads)

    def get_name(self) -> str:
        """How Ray Data calls the operator."""
        return "Reviews"

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown before reading."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002 - the files decide
        per_task_row_limit: int | None = None,
        data_context: Any = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One for each group of files or range of generated rows."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(read, unknown, schema=RAW_SCHEMA, per_task_row_limit=per_task_row_limit)
            for read in self._reads
        ]


def _planned_reads(config: DataConfig) -> list[Callable[[], Iterator[pa.Table]]]:
    source = config.source
    if isinstance(source, GeneratedSource):
        starts = range(0, source.num_rows, _TASK_ROWS)
        return [partial(_read_generated, source, start) for start in starts]
    return [partial(_read_files, config, group) for group in _grouped(list_source(config))]


def _grouped(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Runs of files of some _TASK_BYTES each: a task for every small file would cost more to
    start than to run."""
    group: list[SourceFile] = []
    num_bytes = 0
    for file in files:
        if group and num_bytes + file.size > _TASK_BYTES:
            yield group
            group, num_bytes = [], 0
        group.append(file)
        num_bytes += file.size
    if group:
        yield group


def _read_generated(source: GeneratedSource, start: int) -> Iterator[pa.Table]:
    stop = min(start + _TASK_ROWS, source.num_rows)
    return tables_of(
        RawRow(text.encode(), class_name)
        for text, class_name in generate_reviews(source, start, stop)
    )


def _read_files(config: DataConfig, files: Sequence[SourceFile]) -> Iterator[pa.Table]:
    return tables_of(row for file in files for row in _rows_of(config, file))


def _rows_of(config: DataConfig, file: SourceFile) -> Iterator[RawRow]:
    source = config.source
    if isinstance(source, ImdbSource):
        if file.name:
            with readable_errors(str(file.place)):
                yield read_review(file.place, name=file.name)
        else:
            yield from read_archive(file.place)
    elif not isinstance(source, GeneratedSource):
        yield from read_file(
            source, file.place, columns=config.columns, official_test=file.official_test
        )
