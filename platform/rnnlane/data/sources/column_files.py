"""Files whose rows have named columns: what csv, jsonl and parquet sources share."""

from __future__ import annotations

import difflib
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import Field

from rnnlane.config.class_names import visible_form
from rnnlane.config.data import Columns
from rnnlane.config.section import Location
from rnnlane.data.sources.base import FileSource
from rnnlane.data.sources.files import SourceFile, list_location
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import StoragePath, open_storage_path, storage_error
from rnnlane.errors import DataError, first_line

Text = TypeVar("Text", str, bytes)

_SHOWN_NAMES, _SHOWN_CHARS = 12, 40


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

    @abstractmethod
    def records_of(self, file: StoragePath) -> Iterator[Mapping[str, Any]]:
        """The rows of one file with the values of all columns by name; some may be missing."""

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
            rows = self.rows_of(file.path, columns)
            if file.official_test:
                rows = (row._replace(official_test=True) for row in rows)
            yield from rows

    def read_records(self, file: SourceFile) -> Iterator[Mapping[str, Any]]:
        """The rows of one file with all their columns, as :meth:`records_of`.

        Raises:
            DataError: the file is empty, damaged, missing or of another format.
        """
        with _readable_errors(str(file.path), kind=self.kind):
            yield from self.records_of(file.path)


@contextmanager
def _readable_errors(where: str, *, kind: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeError) as error:
        raise DataError(
            f"not a readable {kind} file: {first_line(error).rstrip('.')}",
            where=where,
            remedy="check data.source.kind, or make the file again",
        ) from None
    except (OSError, EOFError) as error:
        if _COMPRESSED_NAME.search(where) and not getattr(error, "errno", None):
            raise DataError(
                f"the name says that the file is compressed, but decompressing it failed: "
                f"{first_line(error)}",
                where=where,
                remedy="copy it again if it is not complete; rename it if it is not compressed",
            ) from None
        raise storage_error(error, where=where) from None


_COMPRESSED_NAME = re.compile(r"\.(?:gz|bz2|zst|lz4)$")


class Positions(NamedTuple):
    """Where the columns to read are among those of a file, counted from 0."""

    texts: tuple[int, ...]
    label: int | None
    id: int | None
    group: int | None


def columns_named(name: str, present: Sequence[str]) -> list[int]:
    """The positions of the columns that a name stands for; those that look alike if none is it."""
    found = [n for n, other in enumerate(present) if other == name]
    form = visible_form(name)
    return found or [n for n, other in enumerate(present) if visible_form(other) == form]


def positions_of(
    columns: Columns, present: Sequence[str], *, where: str, hint: str = "set data.columns.{role}"
) -> Positions:
    """Finds the columns to read among those that a file has.

    Args:
        columns: their names.
        present: those of the file. Invisible characters, blanks around a name and Unicode's
            several ways to write a letter make no difference.
        where: the file, for errors.
        hint: the remedy where no name is similar.

    Raises:
        DataError: one is missing, or is there twice.
    """

    def find(role: str, name: str) -> int:
        found = columns_named(name, present)
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"a column to read must be there once, but {name!r} is there {len(found)} times",
                where=where,
                remedy=f"rename or remove the others, or set data.columns.{role}",
            )
        near = difflib.get_close_matches(name, present, n=1, cutoff=0.4)
        raise DataError(
            f"there is no column {name!r}; the columns are {shown_names(present)}",
            where=where,
            remedy=f"did you mean {near[0]!r}? set data.columns.{role}"
            if near
            else hint.format(role=role),
        )

    return Positions(
        texts=tuple(find("text", name) for name in columns.texts),
        label=None if columns.label is None else find("label", columns.label),
        id=None if columns.id is None else find("id", columns.id),
        group=None if columns.group is None else find("group", columns.group),
    )


def shown_names(names: Sequence[str]) -> str:
    """Names of columns as an error lists them: the first ones, each of them cut."""
    shown = [
        repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}...")
        for name in names[:_SHOWN_NAMES]
    ]
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(shown) + more


def joined_text(parts: Iterable[Text | None], separator: Text) -> Text | None:
    """The texts of several columns as one; None where all are NULL."""
    present = [part for part in parts if part is not None]
    return separator.join(present) if present else None


def not_text(name: str, actual: str, *, where: str) -> DataError:
    """The error of a text column that holds values of another type."""
    return DataError(
        f"column {name!r} must hold text, but got {actual}",
        where=where,
        remedy="name the right column in data.columns.text",
    )
