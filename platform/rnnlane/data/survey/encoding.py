"""Which encoding a text file is in, by its bytes."""

from __future__ import annotations

import io
import re
from typing import NamedTuple

from rnnlane.data.sources.base import is_utf8
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.sources.text_files import marked_encoding, utf16_without_mark
from rnnlane.errors import DataError

_HEAD_BYTES = 1 << 16
_SAMPLE_BYTES = 1 << 18
_READ_BYTES = 64 << 20
_MAX_LINE_BYTES = 1 << 20
_MAX_BROKEN = 0.1  # share of the lines that are not ASCII: a few are damage, more another encoding

# Those that files are in, the commonest of each script first; others must be named.
_CANDIDATES = ("cp1252", "cp1251", "koi8_r", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256")
_MULTIBYTE = ("gb18030", "big5", "cp932", "euc_jp", "cp949")
_NAMES = {
    **{f"cp{number}": f"windows-{number}" for number in range(1250, 1257)},
    "gb18030": "gb18030",
    "koi8_r": "koi8-r",
    "euc_jp": "euc-jp",
}
# "нРГШБ": what a text in small letters becomes in another Cyrillic encoding.
_CAPITAL_INSIDE = re.compile(r"(?<=\w)[^\W\d_a-zà-öø-ÿа-я]")


class Encoding(NamedTuple):
    """What the bytes of a file tell.

    Attributes:
        name: as ``data.source.encoding`` takes it.
        is_guess: whether it is a guess by the letters, which a person should look at.
        others: encodings that are as likely, or nearly.
        marked: the encoding that a byte order mark tells; a source heeds it whatever the name is.
    """

    name: str
    is_guess: bool = False
    others: tuple[str, ...] = ()
    marked: str | None = None


def encoding_of(file: SourceFile) -> Encoding:
    """The encoding of a text file; a byte order mark counts, as it does for a source.

    Of a file that cannot be read it is UTF-8: what reads it says what is wrong.

    Raises:
        DataError: it is none of those that can be told by the bytes.
    """
    try:
        return _encoding_of(file)
    except OSError:
        return Encoding("utf-8")


def _encoding_of(file: SourceFile) -> Encoding:
    with file.path.filesystem.open_input_stream(file.path.path, compression="detect") as stream:
        buffered = io.BufferedReader(stream, _HEAD_BYTES)
        head = buffered.peek(_HEAD_BYTES)
        mark, marked = marked_encoding(head, "")
        if mark:
            return Encoding("utf-8", marked=marked)
        if b"\0" in head:
            return Encoding(utf16_without_mark(head) or "utf-8")
        telling = _lines_beyond_ascii(buffered)
    num_broken = sum(not is_utf8(line) for line in telling)
    if num_broken <= _MAX_BROKEN * len(telling):
        return Encoding("utf-8")
    return _guessed(b"".join(telling), where=str(file.path))


def _lines_beyond_ascii(stream: io.BufferedReader) -> list[bytes]:
    found: list[bytes] = []
    num_read = num_kept = 0
    while num_read < _READ_BYTES and num_kept < _SAMPLE_BYTES:
        line = stream.readline(_MAX_LINE_BYTES)
        if not line:
            break
        num_read += len(line)
        if not line.isascii():
            found.append(line)
            num_kept += len(line)
    return found


def _guessed(sample: bytes, *, where: str) -> Encoding:
    from charset_normalizer import from_bytes

    candidates = [*_CANDIDATES, *_MULTIBYTE]
    # What is longer than this many bytes is only looked at in places.
    found = from_bytes(sample[:_HEAD_BYTES], cp_isolation=candidates, threshold=0.35)
    ranked = sorted(
        (round(match.chaos, 1), _share_of_capitals(str(match)), candidates.index(name), name)
        for match in found
        for name in {match.encoding, *match.could_be_from_charset} & set(candidates)
    )
    if not ranked:
        raise DataError(
            "the encoding must be known, but the file is not UTF-8 and its letters tell none",
            where=where,
            remedy="give --encoding, such as windows-1251, latin-1 or gbk",
        )
    best = ranked[0]
    text = sample.decode(best[-1], "replace")
    others = [
        name
        for chaos, capitals, _, name in ranked[1:]
        if chaos <= best[0] + 0.1
        and capitals <= best[1] + 0.1
        and sample.decode(name, "replace") != text
    ]
    names = [_NAMES.get(name, name) for name in (best[-1], *others)]
    return Encoding(names[0], is_guess=True, others=tuple(names[1:3]))


def _share_of_capitals(text: str) -> float:
    """Capitals within words, by the letter beyond ASCII."""
    letters = sum(char.isalpha() and not char.isascii() for char in text)
    return round(len(_CAPITAL_INSIDE.findall(text)) / max(1, letters), 1)
