"""What a run answered on the rows of its val and test: the artifact ``predictions/SPLIT.parquet``.

Rows are named by keys that do not depend on any setting of the text (see
``data.prepare.keys.row_keys``), so that runs which read their texts in different ways can be
compared row by row. The texts themselves stay in the prepared data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnnlane.errors import DataError

FOLDER = "predictions"
"""Path of the files in a run's artifacts."""

# With two classes this is 8 million rows; with 1,000 it is 16,777.
MAX_VALUES = 2**24
_CLASSES, _ROWS = b"rnnlane.class_names", b"rnnlane.num_split_rows"
_COLUMNS = ("row_key", "label", "probabilities")


@dataclass(frozen=True, eq=False)
class Predictions:
    """The probabilities that a model gave to N rows of a split.

    Attributes:
        row_keys: uint64 [N], all different; see ``data.prepare.keys.row_keys``.
        labels: int64 [N], the true labels.
        probabilities: float32 [N, C]; NaN where the model computes nothing else.
        class_names: by label, C of them.
        num_split_rows: rows of the whole split; more than N if only a sample is kept, see
            :func:`kept_rows`. 0 stands for N.
    """

    row_keys: npt.NDArray[np.uint64]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    class_names: tuple[str, ...]
    num_split_rows: int = 0

    def __post_init__(self) -> None:
        if not self.num_split_rows:
            object.__setattr__(self, "num_split_rows", len(self))

    def __len__(self) -> int:
        return len(self.row_keys)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The most probable class of each row, the first of several: int64 [N]."""
        predicted: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return predicted

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Which rows are classified correctly: bool [N]."""
        is_right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return is_right

    @property
    def of_truth(self) -> npt.NDArray[np.float32]:
        """The probability of each row's true class: float32 [N]."""
        return self.probabilities[np.arange(len(self)), self.labels]

    def take(self, rows: npt.NDArray[np.int64]) -> Predictions:
        """Some rows, in the order given."""
        return Predictions(
            row_keys=self.row_keys[rows],
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            class_names=self.class_names,
            num_split_rows=self.num_split_rows,
        )

    def write(self, path: Path) -> None:
        """Writes a Parquet file: ``row_key``, ``label`` (a number) and ``probabilities``.

        The class names, by number, are JSON in the schema's metadata.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        num_classes = len(self.class_names)
        flat = pa.array(np.ascontiguousarray(self.probabilities, dtype=np.float32).ravel())
        columns = [
            pa.array(self.row_keys.astype(np.uint64)),
            pa.array(self.labels.astype(np.int32)),
            pa.FixedSizeListArray.from_arrays(flat, num_classes),
        ]
        names = json.dumps(self.class_names, ensure_ascii=True).encode()
        table = pa.table(columns, names=_COLUMNS).replace_schema_metadata(
            {_CLASSES: names, _ROWS: str(self.num_split_rows).encode()}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", use_dictionary=False)

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Reads a file that :meth:`write` has written.

        Raises:
            DataError: it cannot be read, or is no such file.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path).combine_chunks()
            metadata = table.schema.metadata or {}
            names = tuple(map(str, json.loads(metadata[_CLASSES])))
            num_split_rows = int(metadata[_ROWS])
            keys, labels, lists = (table[name] for name in _COLUMNS)
            flat = pa.concat_arrays([chunk.flatten() for chunk in lists.chunks] or [_no_floats()])
            read = cls(
                row_keys=keys.to_numpy().astype(np.uint64),
                labels=labels.to_numpy().astype(np.int64),
                probabilities=flat.to_numpy().astype(np.float32).reshape(-1, len(names)),
                class_names=names,
                num_split_rows=num_split_rows,
            )
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
            raise _damaged(path) from None
        if len(read.probabilities) != len(read) or not _is_sound(read):
            raise _damaged(path)
        return read


def kept_rows(row_keys: npt.NDArray[np.uint64], *, num_classes: int) -> npt.NDArray[np.int64]:
    """The rows of a split whose probabilities are kept, in ascending order: int64 [M].

    All, unless the probabilities would be more than 2**24 numbers (64 MiB): then the rows with the
    smallest keys. As keys are digests, these are a random sample, and the same one in every run.
    """
    most = max(1, MAX_VALUES // num_classes)
    if len(row_keys) <= most:
        return np.arange(len(row_keys))
    return np.sort(np.argpartition(row_keys, most)[:most]).astype(np.int64)


def _is_sound(read: Predictions) -> bool:
    in_range = (read.labels >= 0) & (read.labels < len(read.class_names))
    return bool(in_range.all()) and len(np.unique(read.row_keys)) == len(read)


def _no_floats() -> object:
    import pyarrow as pa

    return pa.array([], pa.float32())


def _damaged(path: Path) -> DataError:
    return DataError(
        "a file of predictions must hold row_key, label and probabilities as rnnlane writes them, "
        "but this one does not",
        where=str(path),
        remedy="train the run again",
    )
