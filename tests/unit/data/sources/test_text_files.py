from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path

import pytest

from rnnlane.config import experiment_from_mapping
from rnnlane.config.data import Columns
from rnnlane.data.sources.csv import CsvSource
from rnnlane.data.sources.jsonl import JsonlSource
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.sources.text_files import TextFileSource, encoded
from rnnlane.errors import ConfigError, DataError
from support.source_rows import csv_file, error_of, read

WORDS = {
    "windows-1251": "Фильм хороший",
    "gbk": "电影很好",
    "latin-1": "Café déjà vu",
    "shift_jis": "映画は良い",
    "utf-16-le": "电影很好",
    "utf-16-be": "Café",
}


@pytest.mark.parametrize("encoding", [*WORDS, "utf-32-le"])
def test_csv_and_jsonl_are_read_in_their_encoding(tmp_path: Path, encoding: str) -> None:
    text = WORDS.get(encoding, "Café")
    source = csv_file(tmp_path, f"text,label\n{text},{text}\n".encode(encoding), encoding=encoding)
    expected = [RawRow(text.encode(), text)]
    assert read(source) == expected
    line = json.dumps({"text": text, "label": text}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_bytes(f"{line}\n".encode(encoding))
    path = str(tmp_path / "a.jsonl")
    assert read(JsonlSource(kind="jsonl", path=path, encoding=encoding)) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("setting", ["utf-8", "windows-1251", "utf-16"])
def test_a_byte_order_mark_wins(tmp_path: Path, encoding: str, setting: str) -> None:
    source = csv_file(tmp_path, "text,label\nCafé,1\n".encode(encoding), encoding=setting)
    assert read(source) == [RawRow("Café".encode(), "1")]
    (tmp_path / "data.csv").write_bytes(codecs.BOM_UTF16_BE + "text,label\né,1".encode("utf-16-be"))
    assert read(source) == [RawRow("é".encode(), "1")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("word", ["good film", "电影很好"])
def test_utf16_without_a_mark_is_refused_with_its_name(
    tmp_path: Path, encoding: str, word: str
) -> None:
    content = "text,label\n" + f"{word},好\n" * 50
    error = error_of(csv_file(tmp_path, content.encode(encoding)))
    assert "UTF-16 without a byte order mark" in error.message
    assert error.remedy == f"set data.source.encoding: {encoding}"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "gbk"])
def test_zero_bytes_are_no_text_whatever_the_encoding(tmp_path: Path, encoding: str) -> None:
    content = "text,label\na,1\n" * 9
    source = csv_file(tmp_path, content.encode("utf-32-be"), encoding=encoding, header=False)
    assert "many zero bytes" in error_of(source).message
    source = csv_file(tmp_path, content.encode("utf-16-be"), encoding=encoding, header=False)
    assert "UTF-16" in error_of(source).message


@pytest.mark.parametrize("rows", [b"a\0b,1\ncd\0e,1\n", b"ab,1\0\na,1\0\n"])
def test_a_nul_in_a_text_is_no_utf16(tmp_path: Path, rows: bytes) -> None:
    read_rows = read(csv_file(tmp_path, b"text,label\n" + rows * 9))
    assert [row.label for row in read_rows] == ["1"] * 18


@pytest.mark.parametrize("encoding", ["windows-1251", "gbk", "latin-1"])
def test_an_undecodable_file_is_refused_before_anything_starts(
    tmp_path: Path, encoding: str
) -> None:
    content = "text,label\n" + "".join(f"{WORDS[encoding]} {n},1\n" for n in range(50))
    source = csv_file(tmp_path, content.encode(encoding))
    with pytest.raises(DataError, match="50 of the first 50 are not") as caught:
        source.check_first_rows(Columns())
    assert "data.source.encoding" in str(caught.value.remedy)


def test_a_few_damaged_rows_come_through_to_be_counted(tmp_path: Path) -> None:
    content = b"text,label\n" + b"fine,1\n" * 99 + b"caf\xe9,1\n"
    source = csv_file(tmp_path, content)
    source.check_first_rows(Columns())
    assert read(source)[-1].text == b"caf\xe9"
    with pytest.raises(DataError, match="1 of the first 100 are not"):
        source.check_first_rows(Columns(), max_repaired=0.005)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gbk", b"text,label\na\xff\xffb,1\n"),
        ("utf-16-le", "text,label\na\ud83db,1\n".encode("utf-16-le", "surrogatepass")),
        ("utf-16-le", "text,label\n1,a".encode("utf-16-le") + b"b"),
        ("cp1252", b"text,label\na\x81b,1\n"),
        ("ascii", b"text,label\na\xe9b,1\n"),
        ("ascii", "text,label\nфильм,1\n".encode()),
        ("shift_jis", "text,label\nфильм,1\n".encode()),
        ("cp1253", "text,label\nфильм \u0112,1\n".encode()),
    ],
)
def test_bytes_that_the_encoding_does_not_know_are_damage_and_no_crash(
    tmp_path: Path, encoding: str, content: bytes
) -> None:
    columns = Columns(text="label", label="text") if content[-1:] == b"b" else Columns()
    (row,) = read(csv_file(tmp_path, content, encoding=encoding), columns=columns)
    with pytest.raises(UnicodeDecodeError):
        (row.text or b"").decode()


@pytest.mark.parametrize("kind", [CsvSource, JsonlSource])
def test_utf8_is_not_ascii(tmp_path: Path, kind: type[TextFileSource]) -> None:
    name = kind.__name__.removesuffix("Source").lower()
    line = json.dumps({"text": "фильм", "label": "1"}, ensure_ascii=False)
    content = f"{line}\n" if name == "jsonl" else "text,label\nфильм,1\n"
    (tmp_path / "data").write_text(content, encoding="utf-8")
    source = kind(kind=name, path=str(tmp_path / "data"), encoding="ascii")
    with pytest.raises(DataError, match="texts must be ascii, but 1 of the first 1 are not") as e:
        source.check_first_rows(Columns())
    assert "for example to utf-8" in str(e.value.remedy)


def refusal(encoding: object) -> ConfigError:
    source = {"kind": "csv", "path": "x", "encoding": encoding}
    with pytest.raises(ConfigError) as caught:
        experiment_from_mapping({"name": "x", "data": {"source": source}})
    assert str(caught.value.where).endswith("data.source.encoding")
    return caught.value


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("windows1251x", "windows-1251'"),
        ("utf-61", "utf-16'"),
        ("utf-9", "utf-8'"),
        ("utf8x", "utf8'"),
        ("latn-1", "latin-1'"),
        ("shift_jiss", "shift-jis'"),
        ("gkb", "gbk'"),
    ],
)
def test_an_unknown_encoding_is_refused_with_a_similar_one(wrong: str, near: str) -> None:
    assert f"got {wrong!r}; did you mean '{near}" in refusal(wrong).message


@pytest.mark.parametrize("wrong", ["", "base64", "rot13", "idna", "undefined", "zip", "a\0", 3])
def test_a_codec_that_is_no_encoding_of_files_is_refused(wrong: object) -> None:
    refusal(wrong)


def test_one_encoding_has_one_name() -> None:
    names = ("UTF8", "utf-8", "utf_8_sig", " U8 ")
    assert {CsvSource(kind="csv", path="x", encoding=name).encoding for name in names} == {"utf-8"}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04\x14\x00", "a zip archive, such as an Excel file"),
        (gzip.compress(b"text,label\n", mtime=0), "compressed by gzip"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or Word file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
@pytest.mark.parametrize("kind", [CsvSource, JsonlSource])
def test_a_file_that_is_no_text_is_named(
    tmp_path: Path, content: bytes, what: str, kind: type[TextFileSource]
) -> None:
    name = kind.__name__.removesuffix("Source").lower()
    (tmp_path / "data").write_bytes(content)
    error = error_of(kind(kind=name, path=str(tmp_path / "data")))
    assert error.message == f"the file must be text, but is {what}"
    assert error.remedy


def test_a_plain_file_with_the_name_of_a_compressed_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_text("text,label\na,1\n")
    error = error_of(CsvSource(kind="csv", path=str(tmp_path / "data.csv.gz")))
    assert "the name says that the file is compressed" in error.message


def test_lone_surrogates_become_bytes_that_are_not_utf8() -> None:
    assert encoded(None) is None
    assert encoded("é") == "é".encode()
    assert encoded("caf\udce9") == b"caf\xe9"
    assert encoded("a\ud83d") == b"a\xed\xa0\xbd"
    assert encoded("\udcc3\udca9") == b"\xed\xb3\x83\xed\xb2\xa9"
