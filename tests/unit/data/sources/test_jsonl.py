from __future__ import annotations

import json
from pathlib import Path

import pytest

from rnnlane.config.data import Columns
from rnnlane.data.sources.jsonl import JsonlSource
from rnnlane.errors import DataError
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


def test_half_an_emoji_in_a_label_is_refused(tmp_path: Path) -> None:
    error = error_of(jsonl_file(tmp_path, '{"text": "a", "label": "\\ud83d"}\n'))
    assert "a label must be valid text" in error.message
    assert str(error.where).endswith("data.jsonl:1 label")


def test_several_labels_in_a_row_are_not_supported(tmp_path: Path) -> None:
    error = error_of(jsonl_file(tmp_path, '{"text": "a", "label": ["x", "y"]}\n'))
    assert "several are not supported" in error.message


def test_nested_keys_are_read_and_a_literal_one_wins(tmp_path: Path) -> None:
    records = [
        {"body": {"text": "a", "more": {"x": "b"}}, "label": 1},
        {"body.text": "c", "body": {"text": "d"}, "label": 1},
        {"body.text": None, "body": {"text": "e"}, "label": 1},
        {"body": "no object", "label": 1},
    ]
    source = jsonl_file(tmp_path, "\n".join(map(json.dumps, records)))
    rows = read(source, columns=Columns(text="body.text"))
    assert [row.text for row in rows] == [b"a", b"c", None, None]
    rows = read(source, columns=Columns(text=("body.text", "body.more.x")))
    assert [row.text for row in rows] == [b"a\nb", b"c", None, None]


def test_a_key_that_no_line_has_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    source = jsonl_file(tmp_path, '{"body": {"txt": "a"}, "label": 1}\n' * 3)
    for columns, remedy in (
        (Columns(text="body.text"), "did you mean 'body.txt'? set data.columns.text"),
        (Columns(text="body.txt", id="number"), "set data.columns.id"),
    ):
        with pytest.raises(DataError, match=r"the keys are 'body', 'body.txt', 'label'") as caught:
            source.check_first_rows(columns)
        assert caught.value.remedy == remedy
    source.check_first_rows(Columns(text="body.txt"))


def test_a_key_that_only_a_late_line_has_is_fine(tmp_path: Path) -> None:
    lines = '{"text": "a"}\n' * 2000 + '{"text": "a", "label": 1}\n'
    jsonl_file(tmp_path, lines).check_first_rows(Columns())


def test_a_text_that_is_not_a_number_is_null(tmp_path: Path) -> None:
    (row,) = read(jsonl_file(tmp_path, '{"text": NaN, "label": 1}\n'))
    assert row.text is None


def test_an_empty_jsonl_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in error_of(jsonl_file(tmp_path, "")).message
