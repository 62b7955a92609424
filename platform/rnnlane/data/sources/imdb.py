"""The Large Movie Review Dataset (Maas et al., ACL 2011): its archive or its extracted folder.

The reviews of a film are a group: they share names and plot, and no film of train is in the
official test. ``train/urls_pos.txt`` and ``urls_neg.txt`` have the film of each review, by its
number. Where a copy lacks a list, the reviews of a film still have consecutive numbers within their
class, at most 30 of them, so that blocks of consecutive numbers are the groups: of 250, if the
class is complete. A film at the border of two blocks may then be in both: of 100 val reviews, 6 are
of a film that train has too, measured on the published list; 99 are where reviews are dealt one by
one.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple, cast

from pydantic import Field

from rnnlane.config.data import Columns
from rnnlane.data.sources.base import DownloadProgress, FileSource, ReadTask, Source, file_groups
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
UNLABELED_FOLDER = "train/unsup"

_REVIEW = re.compile(r"(?:\./)?(?:aclImdb/)?(train|test)/(neg|pos)/(?:([0-9]+)_)?[^/]+\.txt")
_UNLABELED = re.compile(r"(?:\./)?(?:aclImdb/)?train/unsup/[^/]+\.txt")
_FILMS = re.compile(r"(?:\./)?(?:aclImdb/)?train/urls_(neg|pos)\.txt")
_FILM_LISTS = ("train/urls_neg.txt", "train/urls_pos.txt")
_FILM = re.compile(r"\btt\d+")
# A fiftieth of a class, so that val can have its share of blocks, but not less than a film has.
_NUM_BLOCKS, _FEWEST_IN_BLOCK = 50, 30
_COMPLETE_CLASS = 12_500
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

    def without_labels(self) -> Source:
        """Its 50,000 reviews without a label."""
        return UnlabeledReviews.model_validate(self.model_dump())

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
            root = reviews_root(path)
            lists = [(root / name).info() for name in _FILM_LISTS]
            return [
                *(
                    source_file(info, root=root)
                    for folder in REVIEW_FOLDERS
                    for info in files_in(root / folder, lambda path: path.endswith(".txt"))
                ),
                *(source_file(info, root=root) for info in lists if info.is_file),
            ]

    def read_tasks(self, columns: Columns) -> list[ReadTask]:  # noqa: ARG002
        """One task for the archive, or some for the extracted folder; rows have their groups."""
        files = self.list_files()
        if not files[0].name:
            return [partial(read_grouped_archive, files[0].path)]
        films = _films_of_folder(files)
        return [partial(_read_folder, group, films) for group in file_groups(files)]

    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:  # noqa: ARG002
        """The rows of the archive, or the only row of a review's file; without their groups."""
        if not file.name:
            yield from read_archive(file.path)
        elif file.name not in _FILM_LISTS:
            with readable_errors(str(file.path)):
                yield read_review(file.path, name=file.name)


class UnlabeledReviews(ImdbSource):
    """The reviews without a label, which are beside those with one."""

    def files_at(self, key: str) -> list[SourceFile]:
        """The archive, or the files of its folder for these reviews."""
        path = open_storage_path(self.archive_or_folder())
        if not path.is_folder():
            return super().files_at(key)
        with readable_errors(str(path)):
            root = reviews_root(path, (UNLABELED_FOLDER,))
            folder = root / UNLABELED_FOLDER
            infos = files_in(folder, lambda name: name.endswith(".txt"))
            return [source_file(info, root=root) for info in infos]

    def read_tasks(self, columns: Columns) -> list[ReadTask]:
        """One task for the archive, or some for the extracted folder."""
        return FileSource.read_tasks(self, columns)

    def read_file(self, file: SourceFile, columns: Columns) -> Iterator[RawRow]:  # noqa: ARG002
        """The reviews of the archive, or the only one of a file."""
        if file.name:
            with readable_errors(str(file.path)):
                yield RawRow(file.path.read_bytes(), None)
        else:
            for member in _members(file.path, unlabeled=True):
                if isinstance(member, _Review):
                    yield member.row


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


@dataclass(frozen=True)
class Films:
    """The films of the reviews of one class of train.

    Attributes:
        prefix: of the names of blocks.
        num_in_block: reviews that are a group where the films are not known.
        names: the films by the numbers of their reviews; None where they are not known.
        where: the list of films, for errors.
    """

    prefix: str
    num_in_block: int
    names: tuple[str, ...] | None = None
    where: str = ""

    @classmethod
    def listed(cls, content: bytes, label: str, *, where: str) -> Films:
        """The films by a list of URLs such as http://www.imdb.com/title/tt0453418/usercomments."""
        lines = content.decode(errors="replace").splitlines()
        found = [(_FILM.search(line), line.strip()) for line in lines]
        names = tuple(line if match is None else match[0] for match, line in found)
        return cls(f"train/{label}", 1, names, f"{where}: train/urls_{label}.txt")

    @classmethod
    def blocks(cls, prefix: str, *, num_reviews: int) -> Films:
        """Blocks of consecutive numbers from 0 to ``num_reviews``."""
        return cls(prefix, max(num_reviews // _NUM_BLOCKS, _FEWEST_IN_BLOCK))

    def group_of(self, number: int | None) -> str | None:
        """The group of a review; None if its name has no number.

        Raises:
            DataError: the list has no film for it.
        """
        if number is None:
            return None
        if self.names is None:
            return f"{self.prefix}/{number // self.num_in_block}"
        if number >= len(self.names):
            raise DataError(
                f"the list must have a line for each review, but there is review {number} and "
                f"{len(self.names):,} lines",
                where=self.where,
                remedy="extract or download it again, or remove the list: consecutive reviews are "
                "then a group",
            )
        return self.names[number] or None


# The official test's reviews are only dealt where data.test is a share.
_TEST_FILMS = {
    label: Films.blocks(f"test/{label}", num_reviews=_COMPLETE_CLASS) for label in ("neg", "pos")
}


def _films_of_folder(files: Sequence[SourceFile]) -> dict[str, Films]:
    """The films of each class of train."""
    films = {}
    for label in ("neg", "pos"):
        listed = next((f for f in files if f.name == f"train/urls_{label}.txt"), None)
        if listed is not None:
            with readable_errors(str(listed.path)):
                root = str(listed.path).removesuffix(f"/{listed.name}")
                films[label] = Films.listed(listed.path.read_bytes(), label, where=root)
            continue
        names = [f.name for f in files if f.name.startswith(f"train/{label}/")]
        films[label] = _blocks(label, [_number(_REVIEW.fullmatch(name)) for name in names])
    return films


def _blocks(label: str, numbers: Iterable[int | None]) -> Films:
    last = max((number for number in numbers if number is not None), default=0)
    return Films.blocks(f"train/{label}", num_reviews=last + 1)


def _number(match: re.Match[str] | None) -> int | None:
    """The number of a review, by its name."""
    return None if match is None or match[3] is None else int(match[3])


def _read_folder(files: Sequence[SourceFile], films: Mapping[str, Films]) -> Iterator[RawRow]:
    for file in files:
        if file.name in _FILM_LISTS:
            continue
        with readable_errors(str(file.path)):
            row = read_review(file.path, name=file.name)
        known = _TEST_FILMS if row.official_test else films
        number = _number(_REVIEW.fullmatch(file.name))
        yield row._replace(group=known[str(row.label)].group_of(number))


def read_review(file: StoragePath, *, name: str) -> RawRow:
    """The review in one file, without its group.

    Args:
        file: of the extracted folder.
        name: its path below the folder that holds ``train`` and ``test``.

    Raises:
        OSError: it cannot be read.
    """
    split, label, _ = name.split("/")
    return RawRow(file.read_bytes(), label, official_test=split == "test")


def read_archive(file: StoragePath) -> Iterator[RawRow]:
    """The labeled reviews of the archive, in its order; nothing is written to disk.

    Their groups are left out, as the films may be listed after the reviews.

    Raises:
        DataError: it is not a tar archive, ends early, holds a path that leaves it, or no reviews.
    """
    for member in _members(file):
        if isinstance(member, _Review):
            yield member.row


def read_grouped_archive(file: StoragePath) -> Iterator[RawRow]:
    """The labeled reviews of the archive with their groups; those of train, 33 MB, in the end.

    Raises:
        DataError: as :func:`read_archive`, or a film is missing.
    """
    films: dict[str, Films] = {}
    waiting: dict[str, list[_Review]] = {"neg": [], "pos": []}
    for member in _members(file):
        if isinstance(member, _FilmList):
            films[member.label] = Films.listed(member.content, member.label, where=str(file))
        elif member.row.official_test:
            yield member.grouped(_TEST_FILMS[member.label])
        else:
            waiting[member.label].append(member)
    for label, reviews in waiting.items():
        known = films.get(label) or _blocks(label, [review.number for review in reviews])
        yield from (review.grouped(known) for review in reviews)


class _Review(NamedTuple):
    """A review of an archive."""

    row: RawRow
    label: str
    number: int | None

    def grouped(self, films: Films) -> RawRow:
        return self.row._replace(group=films.group_of(self.number))


class _FilmList(NamedTuple):
    """The URLs of the reviews of a class of train."""

    label: str
    content: bytes


def _members(file: StoragePath, *, unlabeled: bool = False) -> Iterator[_Review | _FilmList]:
    num_reviews = 0
    try:
        with file.filesystem.open_input_file(file.path) as stream:
            for member in _read_members(stream, where=str(file), unlabeled=unlabeled):
                num_reviews += isinstance(member, _Review)
                yield member
    except (EOFError, tarfile.ReadError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(error, where=str(file)) from None
    except OSError as error:
        raise storage_error(error, where=str(file)) from None
    if not num_reviews:
        raise DataError(
            "the archive holds no aclImdb/"
            f"{'train/unsup' if unlabeled else '{train,test}/{neg,pos}'}/*.txt",
            where=str(file),
            remedy=f"name the published archive ({URL})",
        )


def _read_members(
    stream: Any, *, where: str, unlabeled: bool = False
) -> Iterator[_Review | _FilmList]:
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
            rules = (_UNLABELED,) if unlabeled else (_REVIEW, _FILMS)
            review, films = [*(rule.fullmatch(member.name) for rule in rules), None][:2]
            if review is None and films is None:
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                kind = "a review" if films is None else "a list of films"
                raise DataError(
                    f"{kind} must be a plain file, but {member.name!r} is not", where=where
                )
            if review is not None and unlabeled:
                yield _Review(RawRow(content.read(), None), "", None)
            elif review is not None:
                row = RawRow(content.read(), review[2], official_test=review[1] == "test")
                yield _Review(row, review[2], _number(review))
            elif films is not None:
                yield _FilmList(films[1], content.read())
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
