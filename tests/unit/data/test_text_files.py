import gzip

import pytest

from rnnlane.data.text_files import decode_text, split_lines
from rnnlane.errors import DataError

LINES = ["naïve", "", "影 \u2028 x\x85y\x0cz\x0b", "last\rone"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("is_ended", [True, False])
def test_a_line_ends_where_a_file_has_a_line_end_and_nowhere_else(encoding, end, is_ended):
    content = (end.join(LINES) + end * is_ended).encode(encoding)
    text, num_broken = decode_text(content, where="x")
    assert num_broken == 0
    assert split_lines(text) == LINES


def test_blank_lines_keep_their_places():
    assert split_lines("\na\n\n\nb\n\n") == ["", "a", "", "", "b", ""]
    assert split_lines("") == []
    assert split_lines("\n") == [""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("un été\nà la mer\nok".encode("latin-1"), "2 of 3 lines are not; the first is line 1"),
        ("фильм\n".encode("cp1251"), "1 of 1 lines are not"),
        ("电影\n好\n".encode("gbk"), "2 of 2 lines are not"),
        ("a film".encode("utf-16-le"), "binary, or UTF-16 without a byte order mark"),
        (b"\xff\xfea\x00b", "encoding of the file is utf-16-le, by its mark"),
        (gzip.compress(b"a film", mtime=0), "zero bytes"),
        (b"PK\x03\x04\x14\x00\x00\x00", "zero bytes"),
    ],
)
def test_what_is_no_utf8_is_refused(content, message):
    with pytest.raises(DataError, match=message) as caught:
        decode_text(content, where="x.txt")
    assert caught.value.where == "x.txt"
    assert caught.value.remedy


def test_a_few_broken_lines_are_repaired_and_counted():
    lines = [b"a film"] * 199
    text, num_broken = decode_text(b"\n".join([*lines, b"caf\xe9"]), where="x")
    assert num_broken == 1
    assert split_lines(text)[-2:] == ["a film", "caf\ufffd"]


def test_another_encoding_holds_for_a_file_without_a_mark():
    for encoding in ("cp1251", "utf-16-le", "gbk"):
        assert decode_text("фильм".encode(encoding), where="x", encoding=encoding).text == "фильм"
    assert decode_text("é".encode("utf-16"), where="x", encoding="cp1251").text == "é"
    with pytest.raises(DataError, match="encoding of the file is gbk"):
        decode_text(b"\xff\xff", where="x", encoding="gbk")
