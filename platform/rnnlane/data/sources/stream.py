"""Any source as a Ray Data stream of raw rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from rnnlane.config.data import DataConfig
from rnnlane.data.sources.base import source_of, unlabeled_source_of
from rnnlane.data.sources.row_tables import RAW_SCHEMA, tables_of
from rnnlane.data.sources.rows import RawRow


class SourceRows(Datasource):
    """A :class:`DataConfig`'s source: tables of ``RAW_SCHEMA``, each of bounded size.

    Args:
        config: names the source; its files are listed at once, in the driver.
        unlabeled: read ``data.unlabeled``, which there must be, instead of ``data.source``.

    Raises:
        DataError: the source is missing or cannot be listed.
    """

    def __init__(self, config: DataConfig, *, unlabeled: bool = False):
        super().__init__()  # type: ignore[no-untyped-call]
        source, columns = source_of(config), config.columns
        if unlabeled:
            other = unlabeled_source_of(config)
            assert other is not None
            assert config.unlabeled is not None
            source, columns = other, config.unlabeled.columns.to_read
        self._reads = [partial(_tables, read) for read in source.read_tasks(columns)]
        self._is_local = source.is_local()
        self._size_bytes = source.size_bytes()

    @property
    def supports_distributed_reads(self) -> bool:
        """Ray Data runs the read tasks on the driver's node if this is false."""
        return not self._is_local

    @property
    def num_tasks(self) -> int:
        """Number of read tasks."""
        return len(self._reads)

    @property
    def size_bytes(self) -> int:
        """About how much there is to read."""
        return self._size_bytes

    def get_name(self) -> str:
        """The operator's name in Ray Data."""
        return "Reviews"

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown before reading."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002 - the source decides
        per_task_row_limit: int | None = None,
        data_context: Any = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One task for each of the source's."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(read, unknown, schema=RAW_SCHEMA, per_task_row_limit=per_task_row_limit)
            for read in self._reads
        ]


def _tables(read: Callable[[], Iterator[RawRow]]) -> Iterator[pa.Table]:
    return tables_of(read())
