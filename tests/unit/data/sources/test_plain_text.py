from pathlib import Path

import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.data import DataConfig
from rnnlane.data.sources.base import unlabeled_source_of
from rnnlane.data.sources.rows import RawRow
from rnnlane.errors import ConfigError


def unlabeled(source: dict[str, object], **columns: object) -> list[RawRow]:
    values = {"source": source, "columns": columns}
    config = DataConfig.model_validate({"source": {"kind": "generated"}, "unlabeled": values})
    found = unlabeled_source_of(config)
    assert found is not None
    assert config.unlabeled is not None
    to_read = config.unlabeled.columns.to_read
    found.check_first_rows(to_read)
    return [row for task in found.read_tasks(to_read) for row in task()]


def texts(rows: list[RawRow]) -> list[bytes | None]:
    assert all(row.label is None for row in rows)
    return [row.text for row in rows]


def test_a_text_is_a_line_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\n \ntwo caf\xe9\n")
    (tmp_path / "b.txt").write_text("three")
    (tmp_path / "c.md").write_text("no text")
    source = {"kind": "text", "path": str(tmp_path), "encoding": "latin-1"}
    lines = texts(unlabeled(source))
    assert lines == [b"one\n", "two caf\u00e9\n".encode(), b"three"]
    whole = texts(unlabeled({**source, "per": "file"}))
    assert whole == ["one\n\n \ntwo caf\u00e9\n".encode(), b"three"]


def test_other_kinds_need_no_label_column(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "x.csv").write_text('id,body\n1,"a, b"\n2,c\n')
    (tmp_path / "x.jsonl").write_text('{"body": "a, b"}\n{"body": "c"}\n')
    pq.write_table(pa.table({"body": ["a, b", "c"]}), tmp_path / "x.parquet")
    for kind in ("csv", "jsonl", "parquet"):
        rows = unlabeled({"kind": kind, "path": str(tmp_path / f"x.{kind}")}, text="body")
        assert texts(rows) == [b"a, b", b"c"], kind


def test_labeled_data_cannot_come_from_texts_nor_unlabeled_ones_from_a_test() -> None:
    source = {"kind": "text", "path": "x.txt"}
    with pytest.raises(ConfigError, match="kind text has none; it is for data"):
        experiment_from_mapping({"name": "x", "data": {"source": source}})
    values = {"source": {"kind": "csv", "path": "x.csv", "test_path": "y.csv"}}
    data = {"source": {"kind": "generated"}, "unlabeled": values}
    with pytest.raises(ConfigError, match="unlabeled texts have no test"):
        experiment_from_mapping({"name": "x", "data": data})
