"""What every kind of source is: settings in an experiment that find, identify and read their rows.

A new kind is one module with a subclass of :class:`Source`, or of one that reads files, and one
line in ``rnnlane.config.sources.SOURCES``. Validating an experiment imports the module of its
kind, so these modules import pyarrow and the like only inside functions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import cast

from rnnlane.config.data import Columns, DataConfig
from rnnlane.config.sources import SourceConfig
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.sources.fingerprint import files_fingerprint
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import user_cache
from rnnlane.errors import DataError

DownloadProgress = Callable[[int, int | None], None]
ReadTask = Callable[[], Iterator[RawRow]]

_TASK_BYTES = 8 << 20
_CHECKED_ROWS, _CHECKED_BYTES = 1000, 1 << 20
MAX_REPAIRED = 0.02  # share of the rows checked


class Source(SourceConfig):
    """A source of labeled texts."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of all that the rows depend on, in hex.

        Raises:
            DataError: the source is missing or cannot be read.
        """

    @abstractmethod
    def read_tasks(self, columns: Columns) -> list[ReadTask]:
        """Picklable functions that together yield every row once; each runs as a task of its own.

        Raises:
            DataError: the source is missing or cannot be listed.
        """

    def without_labels(self) -> Source:
        """What ``data.unlabeled`` reads of this source: of most kinds the same rows."""
        return self

    def location(self) -> str:
        """Where the rows are, for people: absolute, and without secrets that a URI may hold."""
        return self.kind

    def needs_fetch(self) -> bool:
        """Whether :meth:`fetch` must run before anything else can."""
        return False

    def fetch(self, progress: DownloadProgress | None = None) -> None:
        """Downloads what the source needs, unless it is present.

        Args:
            progress: called with the bytes so far and in all (None if unknown).

        Raises:
            DataError: the download failed.
        """

    def list_files(self) -> list[SourceFile]:
        """The files that hold the rows, sorted; none where rows do not come from files.

        Raises:
            DataError: there is no such file, or it cannot be listed.
        """
        return [file for key in self.locations for file in self.files_at(key)]

    def files_at(self, key: str) -> list[SourceFile]:
        """The files that one of ``locations`` stands for.

        Raises:
            DataError: there is no such file, or it cannot be listed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no files at {key}")

    def size_bytes(self) -> int:
        """About how much there is to read; of compressed files their size as they are.

        Raises:
            DataError: there is no such file, or it cannot be listed.
        """
        return sum(file.size for file in self.list_files())

    def is_local(self) -> bool:
        """Whether rows are in files of this machine, which the other nodes need not have.

        Raises:
            DataError: there is no such file, or it cannot be listed.
        """
        return any(file.path.is_local for file in self.list_files())

    def check_first_rows(self, columns: Columns, *, max_repaired: float = MAX_REPAIRED) -> None:
        """Reads the first rows of each split, so that a mistake shows before any task starts.

        Args:
            columns: to read.
            max_repaired: largest share of them whose text may have bytes that cannot be decoded.

        Raises:
            DataError: a column is missing, a file is not of the source's kind or encoding, or it
                cannot be found.
        """


class FileSource(Source):
    """A source that is a set of files: a subclass defines which ones and how one is read."""

    @abstractmethod
    def files_at(self, key: str) -> list[SourceFile]:
        """See :meth:`Source.files_at`."""

    @abstractmethod
    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:
        """The rows of one file, in its order; memory must not grow with the file.

        Raises:
            DataError: the file cannot be read.
        """

    def text_encoding(self) -> tuple[str, str]:
        """The encoding of the texts, and what to do if it is another one."""
        return "utf-8", "make the files again, with their texts as UTF-8"

    def fingerprint(self) -> str:
        """SHA-256 of the files: of one, its content; of several, their names and contents."""
        return files_fingerprint(self.list_files(), cache=user_cache() / "digests")

    def read_tasks(self, columns: Columns) -> list[ReadTask]:
        """One task for each large file; small files share tasks."""
        return [
            partial(self._read_files, group, columns) for group in file_groups(self.list_files())
        ]

    def check_first_rows(self, columns: Columns, *, max_repaired: float = MAX_REPAIRED) -> None:
        """Checks the first file of each split that holds a row; there must be one."""
        by_split: dict[bool, list[SourceFile]] = {}
        for file in self.list_files():
            by_split.setdefault(file.official_test, []).append(file)
        for _, files in sorted(by_split.items()):
            if not any(self.check_file(file, columns, max_repaired=max_repaired) for file in files):
                none = f"none of the {len(files):,} files holds one"
                raise DataError(
                    f"there must be rows, but {none if len(files) > 1 else 'the file holds none'}",
                    where=str(files[0].path),
                    remedy="write them again, or name other files",
                )

    def check_file(self, file: SourceFile, columns: Columns, *, max_repaired: float) -> int:
        """Reads the first rows of a file.

        Returns:
            How many rows were read; 0 of a file without any.

        Raises:
            DataError: they cannot be read, or too many of them hold damaged text.
        """
        num_rows = num_damaged = num_bytes = 0
        for row in self.read_file(file, columns):
            num_rows += 1
            num_damaged += not is_utf8(row.text)
            num_bytes += len(row.text or b"")
            if num_rows == _CHECKED_ROWS or num_bytes >= _CHECKED_BYTES:
                break
        if num_damaged > max_repaired * num_rows:
            encoding, remedy = self.text_encoding()
            raise DataError(
                f"texts must be {encoding}, but {num_damaged} of the first {num_rows} are not",
                where=str(file.path),
                remedy=f"{remedy}; or raise data.max_repaired",
            )
        return num_rows

    def _read_files(self, files: Sequence[SourceFile], columns: Columns) -> Iterator[RawRow]:
        for file in files:
            yield from self.read_file(file, columns)


def is_utf8(text: bytes | None) -> bool:
    """Whether bytes are UTF-8; none are."""
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def source_of(config: DataConfig) -> Source:
    """The source of an experiment; every registered class is a :class:`Source`."""
    return cast(Source, config.source)


def unlabeled_source_of(config: DataConfig) -> Source | None:
    """The source of an experiment's texts without labels; None if it names none."""
    unlabeled = config.unlabeled
    return None if unlabeled is None else cast(Source, unlabeled.source).without_labels()


def file_groups(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Runs of files of about _TASK_BYTES: a task costs more to start than a small file to read."""
    group: list[SourceFile] = []
    num_bytes = 0
    for file in files:
        if group and num_bytes + file.size > _TASK_BYTES:
            yield group
            group, num_bytes = [], 0
        group.append(file)
        num_bytes += file.size
    if group:
        yield group
