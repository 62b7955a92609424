"""The texts that a language model reads: in memory, or in a file that a node's workers share."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit, appended
from rnnlane.data.batches.file_split import FileSplit, ScoredSplit
from rnnlane.data.batches.window_files import WindowFolder
from rnnlane.data.prepare.prepared import UNLABELED_SPLIT
from rnnlane.data.prepare.shards import GroupRows
from rnnlane.training.loop import TrainingData

Tokens = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]


class Corpus(NamedTuple):
    """Texts as token ids.

    Attributes:
        token_ids: int32 [all tokens].
        starts: int64 [N]: text n begins at token_ids[starts[n]].
        lengths: int64 [N], in tokens.
    """

    token_ids: Tokens
    starts: Ints
    lengths: Ints

    @property
    def num_texts(self) -> int:
        """N."""
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """Tokens to predict: those of the texts, and a separator after each."""
        return int(self.lengths.sum()) + self.num_texts

    def first(self, num_tokens: int) -> Corpus:
        """The first texts, as many as have at most so many tokens; at least one."""
        count = int(np.searchsorted(np.cumsum(self.lengths + 1), num_tokens, side="right"))
        return Corpus(self.token_ids, self.starts[: max(1, count)], self.lengths[: max(1, count)])


@contextlib.contextmanager
def read_corpora(data: TrainingData) -> Iterator[tuple[Corpus, Corpus]]:
    """The texts that are learned from, train and unlabeled ones, and those of val.

    Those that are not in memory are decoded into a file in the node's temporary folder, from which
    the system reads what is asked for, and which goes with the last of its readers.

    Raises:
        DataError: the prepared data cannot be read or is damaged.
        ResourceError: the disk of the temporary folder is full.
    """
    learned = [name for name in ("train", UNLABELED_SPLIT) if name in data.splits]
    with contextlib.ExitStack() as stack:
        texts, val = (
            _corpus([data.splits[name] for name in names], stack) for names in (learned, ["val"])
        )
        yield texts, val


def _corpus(splits: Sequence[ScoredSplit], stack: contextlib.ExitStack) -> Corpus:
    """The texts of some splits, in the order of their ids, those of one after the other's."""
    in_memory = [split for split in splits if isinstance(split, EncodedSplit)]
    in_files = [split for split in splits if isinstance(split, FileSplit)]
    if not in_files:
        rows = appended(*in_memory)
        return Corpus(rows.token_ids, rows.offsets[:-1], rows.lengths)
    assert not in_memory
    prepared = in_files[0].prepared
    read = [prepared.path, prepared.manifest.data_folder, *(split.name for split in in_files)]
    name = hashlib.sha256(repr(read).encode()).hexdigest()[:32]
    folder = stack.enter_context(WindowFolder(name))
    mapped = folder.window("texts", lambda: _decoded(in_files))
    order = np.argsort(mapped.row_ids)
    rows = mapped.split
    return Corpus(rows.token_ids, rows.offsets[:-1][order], rows.lengths[order])


def _decoded(splits: Sequence[FileSplit]) -> Iterator[tuple[int, GroupRows]]:
    first = 0
    for split in splits:
        for ids, rows in split.pieces():
            keys = np.zeros(0, dtype=np.uint32)  # which no language model reads
            yield 0, GroupRows(first + ids, rows.offsets, rows.token_ids, keys)
        first += len(split)
