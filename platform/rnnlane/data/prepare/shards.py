"""A split laid out for reading from front to back: a run of shards for each class.

Shards are Parquet files of row groups that are read whole; the manifest has the rows of each and a
checksum of what they decode to. :mod:`rnnlane.data.prepare.sharding` makes them.
"""

from __future__ import annotations

import logging
import zlib
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ArrowException
from pydantic import BaseModel, ConfigDict, ValidationError

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.file_cache import FileCache
from rnnlane.data.prepare.prepared import PreparedData, folder_files
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID
from rnnlane.data.prepare.writer import abandoned_drafts
from rnnlane.data.storage import (
    StoragePath,
    joined,
    open_storage_path,
    readable_errors,
    storage_error,
)
from rnnlane.errors import DataError

_logger = logging.getLogger(__name__)

SHARDS_MANIFEST = "shards.json"
SHARDS_FORMAT = 2

SHARD_SCHEMA = pa.schema(
    [
        ("row_id", pa.int64()),
        ("token_ids", pa.list_(pa.int32())),
        ("unknown_keys", pa.list_(pa.uint32())),
    ]
)

Ints = npt.NDArray[np.int64]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardInfo(_Record):
    """A shard.

    Attributes:
        file: its path below the data folder.
        num_bytes: of the file.
        rows: of each row group.
        checksums: of the rows of each row group, see :attr:`GroupRows.checksum`.
    """

    file: str
    num_bytes: int
    rows: tuple[int, ...]
    checksums: tuple[int, ...]


class ShardsManifest(_Record):
    """What the shards of a split are.

    Attributes:
        fingerprint: of the prepared data.
        data_folder: name of the folder beside the manifest that holds the files.
        tokens_a_row: mean number.
        classes: by label, the shards of each class in the order of their rows' ids.
        created_at: ISO 8601, UTC.
    """

    format_version: int
    fingerprint: str
    data_folder: str
    tokens_a_row: float
    classes: tuple[tuple[ShardInfo, ...], ...]
    created_at: str


class GroupRows(NamedTuple):
    """The rows of a row group, or some of them.

    Attributes:
        row_ids: int64 [N], rising.
        offsets: int64 [N + 1], where in ``token_ids`` each row begins, and the last ends.
        token_ids: int32 [num_tokens].
        unknown_keys: uint32 [num_unknown], see :attr:`EncodedSplit.unknown_keys`.
    """

    row_ids: Ints
    offsets: Ints
    token_ids: npt.NDArray[np.int32]
    unknown_keys: npt.NDArray[np.uint32]

    @property
    def checksum(self) -> int:
        """CRC-32 of the ids, lengths, tokens and keys of the rows."""
        value = 0
        for array in (self.row_ids, np.diff(self.offsets), self.token_ids, self.unknown_keys):
            value = zlib.crc32(np.ascontiguousarray(array).data, value)
        return value

    def cut(self, start: int, stop: int) -> GroupRows:
        """The rows from ``start`` to ``stop``, without a copy of their tokens."""
        at = self.offsets[start : stop + 1]
        tokens = self.token_ids[at[0] : at[-1]]
        first = _num_unknown(self.token_ids[: at[0]])
        keys = self.unknown_keys[first : first + _num_unknown(tokens)]
        return GroupRows(self.row_ids[start:stop], at - at[0], tokens, keys)

    def as_split(self, label: int) -> EncodedSplit:
        """The rows, which are of one class."""
        labels = np.full(len(self.row_ids), label, dtype=np.int64)
        return EncodedSplit(self.token_ids, self.offsets, labels, self.unknown_keys)

    @classmethod
    def of(cls, table: pa.Table) -> GroupRows:
        """The rows of a table of ``SHARD_SCHEMA``."""
        lists = table["token_ids"].combine_chunks()
        lengths = pc.fill_null(lists.value_lengths(), 0).to_numpy(zero_copy_only=False)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        token_ids = lists.flatten().to_numpy().astype(np.int32, copy=False)
        keys = table["unknown_keys"].combine_chunks().flatten().to_numpy()
        return cls(table["row_id"].to_numpy(), offsets, token_ids, keys)


def _num_unknown(token_ids: npt.NDArray[np.int32]) -> int:
    return int(np.count_nonzero(token_ids == UNKNOWN_ID))


class Shards:
    """The finished shards of a split; see :func:`find_shards`. Few numbers, and picklable.

    Attributes:
        path: folder or URI that holds the manifest.
        manifest: describes the content.
    """

    def __init__(self, path: str, manifest: ShardsManifest):
        self.path = path
        self.manifest = manifest

    @property
    def name(self) -> str:
        """Tells these shards from all others."""
        return f"{self.path} {self.manifest.data_folder}"

    @property
    def tokens_a_row(self) -> float:
        """Mean number."""
        return self.manifest.tokens_a_row

    @cached_property
    def group_rows(self) -> list[list[tuple[int, ...]]]:
        """By label, and of each shard: the rows of its row groups."""
        return [[shard.rows for shard in shards] for shards in self.manifest.classes]

    @cached_property
    def class_counts(self) -> Ints:
        """Rows by label: int64 [C]."""
        return np.array([sum(map(sum, shards)) for shards in self.group_rows], dtype=np.int64)

    def read(self, label: int, shard: int, group: int, *, cache: FileCache) -> GroupRows:
        """Decodes a row group.

        Args:
            label, shard, group: which one.
            cache: has copies of shards.

        Raises:
            DataError: the file cannot be read, or is not as it was written.
        """
        info = self.manifest.classes[label][shard]
        file = open_storage_path(self.path) / self.manifest.data_folder / info.file
        return cache.read(file, info.num_bytes, partial(self._decoded, info=info, group=group))

    def _decoded(self, file: StoragePath, *, info: ShardInfo, group: int) -> GroupRows:
        """A row group of a shard, or of its copy."""
        try:
            with file.filesystem.open_input_file(file.path) as stream:
                table = pq.ParquetFile(stream).read_row_group(group, use_threads=False)
            rows = GroupRows.of(table)
        except FileNotFoundError:
            raise damaged(str(file), "the file is missing") from None
        except (OSError, ArrowException, KeyError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise storage_error(error, where=str(file)) from None
            raise damaged(str(file), f"row group {group} cannot be decoded") from None
        if rows.checksum != info.checksums[group]:
            raise damaged(str(file), f"row group {group} is not as it was written")
        return rows


class JoinedShards:
    """The shards of one split, and then those of another, with the row ids that follow.

    Attributes:
        path: of the first ones.
    """

    def __init__(self, first: Shards, second: Shards):
        self.path = first.path
        self._first, self._second = first, second

    @property
    def name(self) -> str:
        """Tells these shards from all others."""
        return f"{self._first.name} {self._second.name}"

    @property
    def tokens_a_row(self) -> float:
        """Mean number."""
        parts = (self._first, self._second)
        sizes = [int(part.class_counts.sum()) for part in parts]
        tokens = [part.tokens_a_row * size for part, size in zip(parts, sizes, strict=True)]
        return sum(tokens) / sum(sizes)

    @cached_property
    def group_rows(self) -> list[list[tuple[int, ...]]]:
        """See :attr:`Shards.group_rows`."""
        pairs = zip(self._first.group_rows, self._second.group_rows, strict=True)
        return [first + second for first, second in pairs]

    @cached_property
    def class_counts(self) -> Ints:
        """Rows by label: int64 [C]."""
        counts: Ints = self._first.class_counts + self._second.class_counts
        return counts

    def read(self, label: int, shard: int, group: int, *, cache: FileCache) -> GroupRows:
        """See :meth:`Shards.read`."""
        if shard < (num_first := len(self._first.group_rows[label])):
            return self._first.read(label, shard, group, cache=cache)
        rows = self._second.read(label, shard - num_first, group, cache=cache)
        return rows._replace(row_ids=rows.row_ids + int(self._first.class_counts.sum()))


AnyShards = Shards | JoinedShards


def shards_home(prepared: PreparedData, split: str) -> str:
    """Folder or URI of the shards of a split of prepared data."""
    return joined(prepared.path, f"shards-{split}")


def find_shards(prepared: PreparedData, split: str) -> Shards | None:
    """The finished shards of a split, or None: there are none, or files of another size.

    Removes drafts that are a day old: their writers died.

    Raises:
        DataError: the storage cannot be reached.
    """
    path = shards_home(prepared, split)
    home = open_storage_path(path)
    with readable_errors(str(home)):
        found = _manifest_at(home)
        used = None if found is None else found.data_folder
        for folder in abandoned_drafts(path, used=used, now=datetime.now(UTC)):
            folder.remove_folder()
        if found is None or found.fingerprint != prepared.fingerprint:
            return None
        sizes = folder_files(home / found.data_folder)
    for info in (info for infos in found.classes for info in infos):
        if sizes.get(info.file) != info.num_bytes:
            got = f"{sizes[info.file]} bytes" if info.file in sizes else "nothing"
            _logger.warning(
                "laying out the shards again: %s must have %d bytes, but there is %s",
                home / info.file,
                info.num_bytes,
                got,
            )
            return None
    return Shards(path, found)


def _manifest_at(home: StoragePath) -> ShardsManifest | None:
    file = home / SHARDS_MANIFEST
    if not file.info().is_file:
        return None
    try:
        manifest = ShardsManifest.model_validate_json(file.read_bytes())
    except ValidationError:
        _logger.warning("laying out the shards again: %s is not their manifest", file)
        return None
    return manifest if manifest.format_version == SHARDS_FORMAT else None


def damaged(where: str, message: str) -> DataError:
    """Prepared data, or shards of it, that is not what was written."""
    return DataError(
        f"the prepared data is damaged: {message}",
        where=where,
        remedy="remove its folder and prepare the data again",
    )
