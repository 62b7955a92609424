from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from rnnlane.config.data import DataConfig
from rnnlane.data.sources.row_tables import RAW_SCHEMA
from rnnlane.data.sources.stream import SourceRows


def data_config(**source: Any) -> DataConfig:
    return DataConfig.model_validate({"source": source})


def read_all(config: DataConfig) -> pa.Table:
    tasks = SourceRows(config).get_read_tasks(1)
    return pa.concat_tables(table for task in tasks for table in task())


def test_small_files_share_a_read_task(tmp_path: Path) -> None:
    for n in range(50):
        (tmp_path / f"{n:02}.csv").write_text(f"text,label\nrow {n},1\n")
    config = data_config(kind="csv", path=str(tmp_path))
    assert SourceRows(config).num_tasks == 1
    assert read_all(config)["text"].to_pylist() == [f"row {n}".encode() for n in range(50)]


def test_large_files_have_a_read_task_each(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.csv").write_text("text,label\n" + f"{'x' * 5_000_000},1\n")
    assert SourceRows(data_config(kind="csv", path=str(tmp_path))).num_tasks == 3


def test_generated_rows_come_once_each_over_several_tasks() -> None:
    config = data_config(kind="generated", num_rows=9000)
    assert SourceRows(config).num_tasks == 3
    table = read_all(config)
    assert table.schema == RAW_SCHEMA
    assert table.num_rows == 9000
    assert set(table["label"].to_pylist()) == {"negative", "positive"}


def test_local_files_are_read_on_the_drivers_node_only(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nfine,1\n")
    for path in (str(tmp_path), f"file://{tmp_path}/rows.csv"):
        config = data_config(kind="csv", path=path)
        assert not SourceRows(config).supports_distributed_reads
    assert SourceRows(data_config(kind="generated", num_rows=10)).supports_distributed_reads
