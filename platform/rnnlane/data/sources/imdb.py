"""The Large Movie Review Dataset (Maas et al., ACL 2011): its archive or its extracted folder."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, cast

from pydantic import Field, PrivateAttr

from rnnlane.config.data import Columns
from rnnlane.data.sources.base import DownloadProgress, FileSource
from rnnlane.data.sources.files import SourceFile, files_in, not_found, source_file
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.storage import (
    StoragePath,
    open_storage_path,
    readable_errors,
    storage_error,
    user_cache,
)
from rnnlane.errors import DataError, redact

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
PATH_VARIABLE = "RNNLANE_IMDB"
REVIEW_FOLDERS = ("test/neg", "test/pos", "train/neg", "train/pos")
UNLABELED_FOLDERS = ("train/unsup",)

_REVIEW = re.compile(r"(?:\./)?(?:aclImdb/)?((?:train|test)/\w+)/[^/]+\.txt")
_DRAIN_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_TAR_MAGIC, _TAR_MAGIC_AT, _TAR_BLOCK_BYTES = b"ustar", 257, 512


class ImdbSource(FileSource):
    """The Large Movie Review Dataset (Maas et al., ACL 2011): 50,000 reviews, two classes."""

    kind: Literal["imdb"]
    path: str | None = Field(
        None,
        description="The published archive or its extracted folder. Without it RNNLANE_IMDB is "
        "used; without that the archive is downloaded once to the user's cache and verified.",
    )

    location_keys: ClassVar[tuple[str, ...]] = ("path",)
    _folders: tuple[str, ...] = PrivateAttr(REVIEW_FOLDERS)

    def without_labels(self) -> ImdbSource:
        """The 50,000 reviews without a label, which are beside those with one."""
        other = self.model_copy()
        other._folders = UNLABELED_FOLDERS
        return other

    @property
    def has_official_test(self) -> bool:
        """Half of the reviews."""
        return True

    def archive_or_folder(self) -> str:
        """The configured path, RNNLANE_IMDB, or the user's cache."""
        return self.path or os.environ.get(PATH_VARIABLE) or str(cached_archive())

    def location(self) -> str:
        """The absolute path or the URI."""
        return str(open_storage_path(self.archive_or_folder()))

    def needs_fetch(self) -> bool:
        """Whether no local copy is named, and none is in the cache."""
        archive = cached_archive()
        return self.archive_or_folder() == str(archive) and not archive.exists()

    def fetch(self, progress: DownloadProgress | None = None) -> None:
        """Downloads the archive to the user's cache if needed."""
        from rnnlane.data.sources.download import download

        if self.needs_fetch():
            download(URL, cached_archive(), md5=MD5, progress=progress)

    def list_files(self) -> list[SourceFile]:
        """The archive, or the reviews of its extracted folder, wherever it is."""
        return self.files_at("path")

    def files_at(self, key: str) -> list[SourceFile]:
        """See :meth:`Source.files_at`."""
        location = self.archive_or_folder()
        path = open_storage_path(location)
        with readable_errors(redact(location)):
            info = path.info()
            if info.is_file:
                return [source_file(info, root=path)]
            if not path.is_folder():
                raise not_found(location, path, key=f"data.source.{key}")
            root = reviews_root(path, self._folders)
            return [
                source_file(info, root=root)
                for folder in self._folders
                for info in files_in(root / folder, lambda path: path.endswith(".txt"))
            ]

    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:  # noqa: ARG002
        """The rows of the archive, or the only row of a file of the extracted folder."""
        if file.name:
            with readable_errors(str(file.path)):
                yield read_review(file.path, name=file.name)
        else:
            yield from read_archive(file.path, self._folders)


def cached_archive() -> Path:
    """Where :meth:`ImdbSource.fetch` puts the archive."""
    return user_cache() / "aclImdb_v1.tar.gz"


def reviews_root(folder: StoragePath, folders: Sequence[str] = REVIEW_FOLDERS) -> StoragePath:
    """The folder that holds ``train`` and ``test``: the one given, or ``aclImdb`` in it.

    Raises:
        DataError: one of the folders of reviews is missing.
    """
    root = folder / "aclImdb" if (folder / "aclImdb").is_folder() else folder
    missing = [name for name in folders if not (root / name).is_folder()]
    if missing:
        raise DataError(
            f"an extracted IMDB folder holds {', '.join(folders)}, but these are missing: "
            f"{', '.join(missing)}",
            where=str(root),
            remedy=f"extract the archive again, or name the archive itself ({URL})",
        )
    return root


def read_review(file: StoragePath, *, name: str) -> RawRow:
    """The review in one file.

    Args:
        file: of the extracted folder.
        name: its path below the folder that holds ``train`` and ``test``.

    Raises:
        OSError: it cannot be read.
    """
    return _review(file.read_bytes(), name.rpartition("/")[0])


def read_archive(file: StoragePath, folders: Sequence[str] = REVIEW_FOLDERS) -> Iterator[RawRow]:
    """The reviews of some folders of the archive, in its order; nothing is written to disk.

    Raises:
        DataError: it is not a tar archive, ends early, holds a path that leaves it, or no reviews.
    """
    num_reviews = 0
    try:
        with file.filesystem.open_input_file(file.path) as stream:
            for row in _reviews(stream, folders, where=str(file)):
                num_reviews += 1
                yield row
    except (EOFError, tarfile.ReadError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(error, where=str(file)) from None
    except OSError as error:
        raise storage_error(error, where=str(file)) from None
    if not num_reviews:
        raise DataError(
            f"the archive holds no review in {', '.join(f'aclImdb/{name}' for name in folders)}",
            where=str(file),
            remedy=f"name the published archive ({URL})",
        )


def _review(text: bytes, folder: str) -> RawRow:
    split, _, label = folder.partition("/")
    is_labeled = folder in REVIEW_FOLDERS
    return RawRow(text, label if is_labeled else None, official_test=split == "test")


def _reviews(stream: Any, folders: Sequence[str], *, where: str) -> Iterator[RawRow]:
    start = stream.read(_TAR_BLOCK_BYTES)
    stream.seek(0)
    compressed = start.startswith(_GZIP_MAGIC)
    if start and not compressed and not start[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        raise tarfile.ReadError("it begins like no archive")
    # gzip.open() raises if the file ends early; tarfile's own "r|gz" takes that for the end.
    plain = cast(BinaryIO, gzip.open(stream)) if compressed else stream  # noqa: SIM115
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        for member in archive:
            # A TarFile keeps every member that it has seen: 100,000 here.
            archive.members.clear()  # type: ignore[attr-defined]
            _refuse_unsafe(member, where=where)
            match = _REVIEW.fullmatch(member.name)
            if match is None or match[1] not in folders:
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                raise DataError(
                    f"a review must be a plain file, but {member.name!r} is not", where=where
                )
            yield _review(content.read(), match[1])
    # tarfile stops at its own end mark; gzip's checksum comes after it.
    while plain.read(_DRAIN_BYTES):
        pass


def _refuse_unsafe(member: tarfile.TarInfo, *, where: str) -> None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise DataError(
            f"a path in an archive must stay inside it, but got {member.name!r}",
            where=where,
            remedy="do not use this archive; the published one holds no such path",
        )


def _damaged(error: Exception, *, where: str) -> DataError:
    text = str(error)
    if isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text:
        message = "the archive ends early: it is truncated"
    elif "empty" in text:
        message = "the archive is an empty file"
    else:
        message = f"not a readable tar archive: {text}"
    return DataError(message, where=where, remedy="download or copy it again")
