"""The text of a file whose encoding nobody named: UTF-8, or UTF-16 and UTF-32 by their marks."""

from __future__ import annotations

from typing import NamedTuple

from rnnlane.data.sources.base import is_utf8
from rnnlane.data.sources.text_files import marked_encoding
from rnnlane.errors import DataError

MAX_BROKEN_SHARE = 0.01
"""Share of lines that may hold bytes that are not UTF-8; with more, it is another encoding."""


class DecodedText(NamedTuple):
    """The text of a file.

    Attributes:
        text: without a byte order mark; line ends as they were.
        num_broken: lines with bytes that are not UTF-8, which U+FFFD replaces.
    """

    text: str
    num_broken: int = 0


def decode_text(
    content: bytes, *, where: str, encoding: str = "utf-8", remedy: str | None = None
) -> DecodedText:
    """Decodes a file.

    Args:
        content: of the file.
        where: names it, for errors.
        encoding: of a file without a mark.
        remedy: what to do with a binary file.

    Raises:
        DataError: it is binary, or in another encoding.
    """
    mark, encoding = marked_encoding(content, encoding)
    content = content.removeprefix(mark)
    if encoding != "utf-8":
        try:
            return DecodedText(content.decode(encoding))
        except UnicodeDecodeError as error:
            raise DataError(
                f"the encoding of the file is {encoding}, by its mark or the run's experiment, but "
                f"byte {len(mark) + error.start} is not in it",
                where=where,
                remedy="make the file again, as UTF-8 with a byte order mark",
            ) from None
    if b"\0" in content:
        raise DataError(
            f"a text file holds no zero bytes, but byte {content.index(0)} is one: it is binary, "
            "or UTF-16 without a byte order mark",
            where=where,
            remedy=remedy or "give text in UTF-8",
        )
    try:
        return DecodedText(content.decode())
    except UnicodeDecodeError:
        return _repaired(content, where=where)


def _repaired(content: bytes, *, where: str) -> DecodedText:
    lines = content.removesuffix(b"\n").split(b"\n")
    broken = [number for number, line in enumerate(lines, start=1) if not is_utf8(line)]
    if len(broken) > MAX_BROKEN_SHARE * len(lines):
        raise DataError(
            f"text must be UTF-8, but {len(broken)} of {len(lines)} lines are not; "
            f"the first is line {broken[0]}",
            where=where,
            remedy="convert the file, for example: iconv -f latin1 -t utf-8 OLD > NEW",
        )
    return DecodedText(content.decode(errors="replace"), len(broken))


def split_lines(text: str) -> list[str]:
    r"""The lines of a text, blank ones too. Only ``\n`` and ``\r\n`` end a line."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
