"""What prepared data is for, where that decides what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rnnlane.config.data import Columns, DataConfig
from rnnlane.data.prepare.prepared import SPLITS, UNLABELED_SPLIT
from rnnlane.data.sources.base import Source, source_of, unlabeled_source_of
from rnnlane.errors import DataError


@dataclass(frozen=True)
class Purpose:
    """What is prepared; by default what a classifier is trained and tested with.

    Attributes:
        reads_unlabeled: whether ``data.unlabeled`` is prepared too.
        reads_test: whether test is.
        vocabulary: the tokens with an id, as ``Vocabulary.to_jsonl`` writes them; None: those of
            train, and of the unlabeled texts if there are any.
    """

    reads_unlabeled: bool = False
    reads_test: bool = True
    vocabulary: str | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that are written; that of unlabeled texts may have no row."""
        labeled = tuple(name for name in SPLITS if name != "test" or self.reads_test)
        return (*labeled, UNLABELED_SPLIT) if self.reads_unlabeled else labeled

    def reads(self, config: DataConfig) -> list[tuple[Source, Columns]]:
        """The sources that are read, and their columns: that of labeled texts first."""
        sources = [(source_of(config), config.columns)]
        unlabeled = unlabeled_source_of(config) if self.reads_unlabeled else None
        if unlabeled is not None and config.unlabeled is not None:
            sources.append((unlabeled, config.unlabeled.columns.to_read))
        return sources


CLASSIFICATION = Purpose()
PRETRAINING = Purpose(reads_unlabeled=True, reads_test=False)


@contextmanager
def errors_of_unlabeled() -> Iterator[None]:
    """Makes errors of reading texts without labels name the keys of ``data.unlabeled``."""
    try:
        yield
    except DataError as error:
        raise DataError(
            _renamed(error.message),
            where=None if error.where is None else _renamed(error.where),
            remedy=None if error.remedy is None else _renamed(error.remedy),
        ) from error


def _renamed(text: str) -> str:
    for section in ("source", "columns"):
        text = text.replace(f"data.{section}", f"data.unlabeled.{section}")
    return text
