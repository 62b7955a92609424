"""Text files in any encoding, and how to tell that a file is no text at all."""

from __future__ import annotations

import codecs
import difflib
import io
import re
from collections.abc import Iterator
from encodings.aliases import aliases
from typing import Annotated

from pydantic import AfterValidator, Field

from rnnlane.data.sources.column_files import ColumnFileSource
from rnnlane.data.storage import StoragePath
from rnnlane.errors import DataError

# A file name may end in a suffix of compression; such a file is decompressed.
COMPRESSED = r"(?:\.(?:gz|bz2|zst|lz4))?$"

_PEEK_BYTES = 1 << 16
_MAX_NULS = 5  # one in so many bytes
_ESCAPE = "rnnlane.escape"
# The marks of UTF-32 begin with those of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Codecs of Python that are for something else than files.
_NOT_FOR_FILES = {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined"}
_COMPRESS_NAME = "give its name the suffix {}, or decompress it"
_UNPACK = "unpack it and name the files in it"
_KIND = "set data.source.kind"
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive, such as an Excel file", f"{_UNPACK}, or export the sheet"),
    b"\x1f\x8b": ("compressed by gzip", _COMPRESS_NAME.format(".gz")),
    b"BZh": ("compressed by bzip2", _COMPRESS_NAME.format(".bz2")),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", _COMPRESS_NAME.format(".zst")),
    b"\x04\x22\x4d\x18": ("compressed by lz4", _COMPRESS_NAME.format(".lz4")),
    b"\xfd7zXZ\x00": ("compressed by xz", "decompress it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!\x1a\x07": ("a rar archive", _UNPACK),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel or Word file", "export it as csv in UTF-8"),
    b"PAR1": ("a Parquet file", f"{_KIND}: parquet"),
    b"ARROW1": ("an Arrow file", "convert it to Parquet"),
    b"SQLite format 3\x00": ("a SQLite database", "export the table as csv"),
    b"%PDF-": ("a PDF", "give the table as csv"),
    b"version https://git-lfs": ("a pointer of Git LFS", "run `git lfs pull`"),
    b"<!DOCTYPE html": ("a web page", "download the file itself"),
    b"<!doctype html": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
}


def _known_encoding(name: str) -> str:
    """Python's name of an encoding of text files."""
    plain = name.strip()
    if known := _python_name(plain):
        return known
    names = {"latin-1", *(each.replace("_", "-") for each in (*aliases, *aliases.values()))}
    near = difflib.get_close_matches(plain.lower().replace("_", "-"), sorted(names), n=5)
    similar = next(filter(_python_name, near), None)
    hint = f"did you mean {similar!r}?" if similar else "examples are utf-16, windows-1251, gbk"
    raise ValueError(f"must be an encoding of text that Python knows, but got {name!r}; {hint}")


def _python_name(encoding: str) -> str | None:
    """None where it is no encoding of text files."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        return None
    if name.replace("-", "_") in _NOT_FOR_FILES:
        return None
    return "utf-8" if name == "utf-8-sig" else name


class TextFileSource(ColumnFileSource):
    """Files of text; a byte order mark at the start of one tells its encoding."""

    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        "utf-8",
        description="Encoding of files without a byte order mark, such as windows-1251, latin-1, "
        "gbk or utf-16-le.",
    )

    def text_encoding(self) -> tuple[str, str]:
        """See :meth:`FileSource.text_encoding`."""
        near = "windows-1251, latin-1 or gbk"
        near = near if self.encoding == "utf-8" else f"utf-8, {near}"
        return self.encoding, f"set data.source.encoding, for example to {near}"

    def lines(self, file: StoragePath) -> Iterator[str]:
        """The lines of a file, line ends kept, without a byte order mark.

        Bytes that cannot be decoded become lone surrogates; :func:`encoded` makes invalid UTF-8
        of them, which is counted where texts are cleaned.

        Raises:
            DataError: the file is no text, or UTF-16 without a mark that should be UTF-8.
            OSError: it cannot be read.
        """
        codecs.register_error(_ESCAPE, _escape)
        with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
            buffered = io.BufferedReader(stream, _PEEK_BYTES)
            head = buffered.peek(_PEEK_BYTES)
            mark, encoding = marked_encoding(head, self.encoding)
            buffered.read(len(mark))
            _check_is_text(head, encoding, where=str(file))
            if head and not mark and encoding in ("utf-16", "utf-32"):
                raise DataError(
                    f"a {encoding} file must begin with a byte order mark, but this one does not",
                    where=str(file),
                    remedy=f"set data.source.encoding: {encoding}-le, {encoding}-be or another one",
                )
            yield from io.TextIOWrapper(buffered, encoding, errors=_ESCAPE, newline="")


def marked_encoding(head: bytes, default: str) -> tuple[bytes, str]:
    """The byte order mark that a file begins with, and its encoding; without one the default."""
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    return mark, _MARKS.get(mark, default)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """An error handler like surrogateescape, also for bytes that are ASCII."""
    assert isinstance(error, UnicodeDecodeError)
    try:
        text, stop = codecs.lookup_error("surrogateescape")(error)
        return str(text), stop
    except UnicodeDecodeError:
        return "\udcff", error.end


def encoded(text: str | None) -> bytes | None:
    """The text as UTF-8; with a lone surrogate, which JSON can express too, as invalid UTF-8."""
    if text is None:
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        # Bytes that are no ASCII may be valid UTF-8 all the same: then they will not do.
        text.encode("utf-8", "surrogateescape").decode()
    except UnicodeDecodeError as damage:
        return damage.object
    except UnicodeEncodeError:
        pass
    return text.encode("utf-8", "surrogatepass")


def _check_is_text(head: bytes, encoding: str, *, where: str) -> None:
    """Refuses a file by its first bytes.

    Raises:
        DataError: they are those of another format, or of UTF-16.
    """
    for start, (what, remedy) in _FOREIGN.items():
        if head.startswith(start):
            raise DataError(f"the file must be text, but is {what}", where=where, remedy=remedy)
    if b"\0" not in head or encoding.startswith(("utf-16", "utf-32")):
        return
    if actual := utf16_without_mark(head):
        raise DataError(
            f"the file must be {encoding}, but looks like UTF-16 without a byte order mark",
            where=where,
            remedy=f"set data.source.encoding: {actual}",
        )
    if _MAX_NULS * head.count(b"\0") > len(head):
        raise DataError(
            "the file must be text, but has many zero bytes",
            where=where,
            remedy="set data.source.encoding if it is text, such as utf-16-le or utf-32-le",
        )


def utf16_without_mark(head: bytes) -> str | None:
    """The encoding, if the bytes look like UTF-16.

    Its ASCII characters have a NUL as their first or second byte; line ends are among them, even
    where the text is Chinese. A NUL in other text stands anywhere.
    """
    nuls = [match.start() % 2 for match in re.finditer(b"\0", head)]
    if len(nuls) < 2 or len(set(nuls)) > 1:
        return None
    encoding = "utf-16-le" if nuls[0] else "utf-16-be"
    text = head[: len(head) // 2 * 2].decode(encoding, "replace")
    return encoding if "\n" in text or "\r" in text or 4 * len(nuls) > len(head) else None
