from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rnnlane.config.data import DataConfig
from rnnlane.data.prepare.pipeline import block_bytes
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


def test_tasks_do_not_grow_with_generated_rows() -> None:
    assert SourceRows(data_config(kind="generated", num_rows=50_000_000)).num_tasks == 256


def test_the_size_of_a_source_is_about_that_of_its_texts(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na film,1\n")
    file = data_config(kind="csv", path=str(tmp_path))
    assert SourceRows(file).size_bytes == len("text,label\na film,1\n")
    for mean_clauses in (1, 2, 8):
        config = data_config(kind="generated", num_rows=3000, mean_clauses=mean_clauses)
        texts = read_all(config)["text"].to_pylist()
        assert SourceRows(config).size_bytes == pytest.approx(sum(map(len, texts)), rel=0.35)


def test_tables_in_the_object_store_grow_with_the_source_up_to_a_bound() -> None:
    assert block_bytes(80 << 20) == 2 << 20, "as small as a table of a source"
    assert block_bytes(512 << 20) == 8 << 20
    assert block_bytes(1 << 50) == 16 << 20


def test_local_files_are_read_on_the_drivers_node_only(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nfine,1\n")
    for path in (str(tmp_path), f"file://{tmp_path}/rows.csv"):
        config = data_config(kind="csv", path=path)
        assert not SourceRows(config).supports_distributed_reads
    assert SourceRows(data_config(kind="generated", num_rows=10)).supports_distributed_reads
