from __future__ import annotations

from pathlib import Path

import pytest

from support.source_rows import csv_file, error_of, read

ROWS = "".join(f"ham\tmessage {n}\n" for n in range(20))
STRAY = 'ham\t"Pete said hello\nspam\tbuy now\nham\tmy screen is 15"\n'


def test_a_quote_that_makes_one_row_of_several_is_refused_where_it_opens(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, f"label\ttext\nspam\twin\n{ROWS}{STRAY}", delimiter="\t"))
    assert "makes one row of 3 lines that look like rows" in error.message
    assert str(error.where).endswith("data.csv:23")
    assert str(error.remedy).endswith("set data.source.quoting: none")


def test_without_quoting_each_line_is_a_row(tmp_path: Path) -> None:
    content = f"label\ttext\nspam\twin\n{ROWS}{STRAY}"
    rows = read(csv_file(tmp_path, content, delimiter="\t", quoting="none"))
    assert len(rows) == 24
    assert [row.text for row in rows[-3:]] == [b'"Pete said hello', b"buy now", b'my screen is 15"']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_may_stand_in_any_column_and_lines_end_in_any_way(tmp_path: Path, end: str) -> None:
    rows = [f"text {n},{n % 2}" for n in range(20)]
    content = end.join(["text,label", *rows, '"an open quote,0', 'and its end",1', ""])
    error = error_of(csv_file(tmp_path, content))
    assert str(error.where).endswith("data.csv:22")


def test_a_stray_quote_is_found_before_any_other_row(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, f"label\ttext\n{STRAY}spam\twin\n{ROWS}", delimiter="\t"))
    assert str(error.where).endswith("data.csv:2")


def test_a_file_of_few_rows_separated_by_tabs(tmp_path: Path) -> None:
    error = error_of(csv_file(tmp_path, f"label\ttext\n{STRAY}eggs\tone\n", delimiter="\t"))
    assert "makes one row of 3 lines" in error.message


def test_texts_may_hold_line_ends(tmp_path: Path) -> None:
    texts = ["one,\ntwo", "I rate it, 1\nor so", "a\nb, c, d\ne", "good, 1\nbad, 0", "x\ny, 1"]
    content = "text,label\n" + "".join(f"plain {n},{n % 2}\n" for n in range(9))
    content += "".join(f'"{text}",{n % 2}\n' for n, text in enumerate(texts))
    assert len(read(csv_file(tmp_path, content))) == 14


def test_a_file_of_texts_with_line_ends_alone_is_read(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(f'"good, 1\nbad, 0",{n % 2}\n' for n in range(9))
    assert len(read(csv_file(tmp_path, content))) == 9
