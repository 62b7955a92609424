from __future__ import annotations

import json
from pathlib import Path

import pytest

from rnnlane.data.sources.jsonl import JsonlSource
from support.source_rows import error_of, read


def jsonl_file(path: Path, content: str) -> JsonlSource:
    (path / "data.jsonl").write_text(content)
    return JsonlSource(kind="jsonl", path=str(path / "data.jsonl"))


def test_jsonl_values_of_any_label_type_and_missing_keys(tmp_path: Path) -> None:
    records = [{"text": "a", "label": 1.0}, {"text": "b", "label": True}, {"label": "x"}, {}]
    rows = read(jsonl_file(tmp_path, "\n".join(map(json.dumps, records)) + "\n\n"))
    assert [(row.text, row.label) for row in rows] == [
        (b"a", "1"),
        (b"b", "true"),
        (None, "x"),
        (None, None),
    ]


@pytest.mark.parametrize("line", ['{"text": "b"', "[1]", "3", "[" * 100_000])
def test_a_broken_json_line_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    error = error_of(jsonl_file(tmp_path, f'{{"text": "a", "label": 1}}\n{line}\n'))
    assert error.where is not None
    assert error.where.endswith("data.jsonl:2")


def test_a_json_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    error = error_of(jsonl_file(tmp_path, '{"text": 5, "label": 1}\n'))
    assert "'text' must hold text, but got int" in error.message


def test_a_lone_surrogate_in_json_becomes_invalid_utf8(tmp_path: Path) -> None:
    (row,) = read(jsonl_file(tmp_path, '{"text": "a\\ud800b", "label": 1}\n'))
    assert row.text is not None
    with pytest.raises(UnicodeDecodeError):
        row.text.decode()


def test_an_empty_jsonl_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in error_of(jsonl_file(tmp_path, "")).message
