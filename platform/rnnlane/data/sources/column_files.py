"""Files whose rows have named columns: what csv, jsonl and parquet sources share."""

from __future__ import annotations

import difflib
import io
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from pydantic import Field

from rnnlane.config.experiment import Columns
from rnnlane.config.section import Location
from rnnlane.data.sources.base import FileSource
from rnnlane.data.sources.files import SourceFile, list_location
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import StoragePath, open_storage_path, storage_error
from rnnlane.errors import DataError, first_line

# The end of a file name; a file with one of these suffixes is decompressed.
COMPRESSED = r"(?:\.(?:gz|bz2|zst|lz4))?$"

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Bytes that are not UTF-8 pass through a str unharmed, to be counted where texts are cleaned.
_KEEP_BYTES = "surrogateescape"


class ColumnFileSource(FileSource):
    """Files of one format; ``data.columns`` names the columns to read.

    Attributes:
        file_names: the names of this format's files in a folder.
    """

    path: Location = Field(
        description="A file, a folder, a glob (data/part-*.csv) or a URI of a filesystem that "
        "pyarrow knows (s3://, gs://, hdfs://). Relative to the working directory."
    )
    test_path: Location | None = Field(
        None, description="Where the official test rows are; read the same way. For test: official."
    )

    location_keys: ClassVar[tuple[str, ...]] = ("path", "test_path")
    file_names: ClassVar[re.Pattern[str]]

    @abstractmethod
    def rows_of(self, file: StoragePath, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file, without ``official_test``."""

    @property
    def has_official_test(self) -> bool:
        """Whether there is a ``test_path``."""
        return self.test_path is not None

    def location(self) -> str:
        """The absolute path or the URI."""
        return str(open_storage_path(self.path))

    def files_at(self, key: str) -> list[SourceFile]:
        """See :meth:`Source.files_at`."""
        return list_location(
            self.locations[key],
            kind=self.kind,
            file_names=self.file_names,
            key=f"data.source.{key}",
            official_test=key == "test_path",
        )

    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file, in its order.

        Raises:
            DataError: a column is missing or of a wrong type, or the file is empty, damaged,
                missing or of another format; names file and line or column.
        """
        with _readable_errors(str(file.path), kind=self.kind):
            for row in self.rows_of(file.path, columns):
                yield row._replace(official_test=file.official_test)

    def check_first_rows(self, columns: Columns) -> None:
        """Reads the first row of ``path`` and of ``test_path``."""
        first_files = {file.official_test: file for file in reversed(self.list_files())}
        for _, file in sorted(first_files.items()):
            next(self.read_file(file, columns), None)


@contextmanager
def _readable_errors(where: str, *, kind: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"not a readable {kind} file: {first_line(error)}",
            where=where,
            remedy="check data.source.kind, or make the file again",
        ) from None
    except (OSError, EOFError) as error:
        raise storage_error(error, where=where) from None


def text_lines(file: StoragePath) -> Iterator[str]:
    """The lines of a text file, line ends kept, without a byte order mark.

    Raises:
        DataError: the file is UTF-16.
        OSError: it cannot be read.
    """
    with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
        buffered = io.BufferedReader(stream)
        if buffered.peek(2)[:2] in _UTF16_MARKS:
            raise DataError("text must be UTF-8, but this is UTF-16", where=str(file))
        yield from io.TextIOWrapper(buffered, "utf-8-sig", errors=_KEEP_BYTES, newline="")


def encoded(text: str | None) -> bytes | None:
    """The text as UTF-8; a lone surrogate, which JSON can express, becomes bytes that are not."""
    if text is None:
        return None
    try:
        return text.encode("utf-8", _KEEP_BYTES)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def named_columns(columns: Columns) -> dict[str, str]:
    """The columns to read: role (text, label, id) -> name."""
    names = {"text": columns.text, "label": columns.label, "id": columns.id}
    return {role: name for role, name in names.items() if name is not None}


def check_columns(columns: Columns, present: Sequence[str], *, where: str) -> None:
    """Compares the columns to read with those that a file has.

    Raises:
        DataError: one is missing.
    """
    for role, name in named_columns(columns).items():
        if name not in present:
            near = difflib.get_close_matches(name, present, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataError(
                f"there is no column {name!r}; the columns are {', '.join(map(repr, present))}",
                where=where,
                remedy=f"{hint}set data.columns.{role}",
            )


def not_text(name: str, actual: str, *, where: str) -> DataError:
    """The error of a text column that holds values of another type."""
    return DataError(
        f"column {name!r} must hold text, but got {actual}",
        where=where,
        remedy="name the right column in data.columns.text",
    )
