"""Scores of every row of a split, and the metrics computed from them.

Each worker scores its share of the rows, and one tensor per split is summed over the workers. The
metrics are then computed from the same rows in the same order for any number of workers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rnnlane.data.batches.file_split import FileSplit, ScoredSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.tensors import Batch, BatchMaker, send
from rnnlane.records.predictions import Predictions, kept_rows
from rnnlane.training.ahead import made_ahead
from rnnlane.training.group import WorkerGroup

# On CPUs, batches four times as large take a fifth longer: the gates no longer fit the caches.
TOKENS_PER_BATCH = 16_384
# On a GPU the time of a batch is that of its longest row, nearly however many rows there are.
TOKENS_PER_BATCH_ON_GPUS = 131_072


LogitsOf = Callable[..., Tensor]


@dataclass(frozen=True)
class Scores:
    """A model's predictions for each row of a split.

    Attributes:
        labels: int64 [N], the true labels.
        predicted: int64 [N].
        losses: float64 [N], cross-entropy.
        last_class: float64 [N], probability of the last class; the score of ROC AUC.
        probabilities: float32 [M, C], of the rows that they were asked of; else None.
    """

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    losses: npt.NDArray[np.float64]
    last_class: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32] | None = None


def length_batches(
    lengths: npt.NDArray[np.int64], *, device: torch.device
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in order of length, in batches of as many padded tokens as suit the device."""
    num_tokens, max_rows = TOKENS_PER_BATCH, 1024
    if device.type == "cuda":
        num_tokens, max_rows = TOKENS_PER_BATCH_ON_GPUS, 8192
    order = np.argsort(lengths, kind="stable")[::-1]
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, min(max_rows, num_tokens // longest))
        yield order[start:stop]
        start = stop


def score_and_keep(
    logits_of: LogitsOf,
    split: ScoredSplit,
    *,
    row_keys: npt.NDArray[np.uint64],
    class_names: tuple[str, ...],
    group: WorkerGroup,
    hasher: NgramHasher | None = None,
) -> tuple[Scores, Predictions]:
    """As :func:`score`, with the predictions that a run keeps; both are of the same pass.

    Args:
        logits_of, split, group, hasher: see :func:`score`.
        row_keys: uint64 [N].
        class_names: by label.
    """
    kept = kept_rows(row_keys, num_classes=len(class_names))
    num_classes = len(class_names)
    scores = score(logits_of, split, group=group, hasher=hasher, kept=kept, num_classes=num_classes)
    assert scores.probabilities is not None
    return scores, Predictions(
        row_keys=row_keys[kept],
        labels=scores.labels[kept],
        probabilities=scores.probabilities,
        class_names=class_names,
        num_split_rows=len(split),
    )


@torch.inference_mode()
def score(
    logits_of: LogitsOf,
    split: ScoredSplit,
    *,
    group: WorkerGroup,
    hasher: NgramHasher | None = None,
    temperature: float = 1.0,
    kept: npt.NDArray[np.int64] | None = None,
    num_classes: int = 0,
) -> Scores:
    """Scores a split on all workers; every worker must call it and gets the same result.

    Args:
        logits_of: ``Batch.inputs`` -> logits [B, C].
        split: the rows, the same on every worker; of those that are not in memory, the next ones
            are read while some are scored.
        group: the workers that take the batches in turn.
        hasher: finds the n-grams for a model that reads them.
        kept: int64 [M], rows whose probabilities are wanted; None for none.
        num_classes: C, if there are any.
        temperature: divides the logits of losses and of ``last_class``; the predicted classes and
            the probabilities that are kept are those of the logits as they are.
    """
    table, slots = None, np.zeros(0, dtype=np.int64)
    if kept is not None:
        table = torch.zeros(len(kept), num_classes, device=group.device)
        slots = np.full(len(split), -1, dtype=np.int64)
        slots[kept] = np.arange(len(kept))
    scores = torch.zeros(3, len(split), dtype=torch.float64, device=group.device)
    # Labels from 1, as 0 says that no worker has read the row.
    labels = np.zeros(len(split) + 1, dtype=np.int64)
    for ids, batch in _own_batches(split, labels, group, hasher):
        logits = logits_of(*batch.inputs).float()
        scaled = logits / temperature
        losses = functional.cross_entropy(scaled, batch.labels, reduction="none")
        positions = send(torch.from_numpy(ids), group.device)
        scores[0, positions] = losses.double()
        probabilities = logits.softmax(dim=1)
        # As in a served answer: of classes with equal probabilities the first.
        scores[1, positions] = probabilities.argmax(dim=1).double()
        scores[2, positions] = scaled.softmax(dim=1)[:, -1].double()
        if table is not None:
            inside = np.flatnonzero(slots[ids] >= 0)
            targets, sources = (torch.from_numpy(part) for part in (slots[ids[inside]], inside))
            table[send(targets, group.device)] = probabilities[send(sources, group.device)]
    per_row, predicted, last_class = group.sum_(scores).cpu().numpy()
    summed = None if table is None else group.sum_(table).cpu().numpy()
    return Scores(
        _labels(split, labels, group), predicted.astype(np.int64), per_row, last_class, summed
    )


def _own_batches(
    split: ScoredSplit,
    labels: npt.NDArray[np.int64],
    group: WorkerGroup,
    hasher: NgramHasher | None,
) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
    """This worker's batches, and the ids of their rows.

    As many pieces as can be dealt to all workers alike are read by one of them each; the rest by
    all, who take their batches in turn.

    Args:
        split, group, hasher: see :func:`score`.
        labels: int64 [N + 1]; gets, from 1, the labels of the rows that this worker answers for,
            and at the end their number.
    """
    rank, size, num_pieces = group.rank, group.world_size, split.num_pieces
    num_dealt = num_pieces // size * size
    own = range(rank, num_dealt, size)
    numbers = itertools.count()
    wanted = {*own, *range(num_dealt, num_pieces)}
    with closing(made_ahead(split.pieces(wanted), depth=1)) as pieces:
        for piece_number, (row_ids, piece) in zip(sorted(wanted), pieces, strict=True):
            is_own = piece_number < num_dealt
            if is_own or rank == 0:
                labels[row_ids] = piece.labels + 1
                labels[-1] += len(row_ids)
            make_batch = BatchMaker(piece, group.device, hasher=hasher)
            for rows in length_batches(piece.lengths, device=group.device):
                if is_own or next(numbers) % size == rank:
                    yield row_ids[rows], make_batch(rows)


def _labels(
    split: ScoredSplit, labels: npt.NDArray[np.int64], group: WorkerGroup
) -> npt.NDArray[np.int64]:
    """The labels that all workers have read: int64 [N].

    Args:
        split, group: see :func:`score`.
        labels: int64 [N + 1], what :func:`_own_batches` of this worker left there.

    Raises:
        DataError: a row was read by none of them, or by several.
    """
    summed = group.sum_(send(torch.from_numpy(labels), group.device)).cpu().numpy()
    found, num_read = summed[:-1], summed[-1]
    if isinstance(split, FileSplit) and (num_read != len(found) or not found.all()):
        raise split.prepared.wrong_rows(split.name)
    return found - 1


def scores_of(probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> Scores:
    """The scores of rows whose probabilities [N, C] are known."""
    smallest = np.finfo(np.float32).tiny
    of_truth = np.maximum(
        probabilities[np.arange(len(labels)), labels].astype(np.float64), smallest
    )
    return Scores(
        labels=labels,
        predicted=probabilities.argmax(axis=1).astype(np.int64),
        losses=-np.log(of_truth),
        last_class=probabilities[:, -1].astype(np.float64),
    )


def summarize(scores: Scores, *, num_classes: int) -> dict[str, float]:
    """loss, accuracy, macro_f1, and roc_auc for two classes.

    macro_f1 is the mean over the classes that have a row in the split. roc_auc is left out where
    one of the two classes does not occur or a score is not finite.
    """
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    present = np.unique(scores.labels)
    summary = {
        "loss": float(scores.losses.mean()),
        "accuracy": float(accuracy_score(scores.labels, scores.predicted)),
        "macro_f1": float(
            f1_score(
                scores.labels, scores.predicted, labels=present, average="macro", zero_division=0
            )
        ),
    }
    measurable = len(present) == 2 and bool(np.isfinite(scores.last_class).all())
    if num_classes == 2 and measurable:
        summary["roc_auc"] = float(roc_auc_score(scores.labels, scores.last_class))
    return summary


def confusion(scores: Scores, *, num_classes: int) -> npt.NDArray[np.int64]:
    """Counts of (true, predicted): int64 [C, C]."""
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (scores.labels, scores.predicted), 1)
    return matrix


class ClassMetrics(NamedTuple):
    """How well one class is told from the others in a split.

    Attributes:
        precision: share of the rows predicted as the class that are of it; 0 if there are none.
        recall: share of the class's rows that are predicted as it; NaN for a class without rows.
        f1: harmonic mean of the two; NaN for a class without rows.
        num_rows: rows of the class.
    """

    precision: float
    recall: float
    f1: float
    num_rows: int


def per_class(confusion: npt.NDArray[np.int64]) -> list[ClassMetrics]:
    """The metrics of each class; ``macro_f1`` is the mean of those f1 that are not NaN.

    Args:
        confusion: counts of (true, predicted), int [C, C].
    """
    correct, num_rows = np.diagonal(confusion), confusion.sum(axis=1)
    num_predicted = confusion.sum(axis=0)
    precision = correct / np.maximum(num_predicted, 1)
    recall = np.where(num_rows > 0, correct / np.maximum(num_rows, 1), np.nan)
    f1 = np.where(num_rows > 0, 2 * correct / np.maximum(num_rows + num_predicted, 1), np.nan)
    columns = (values.tolist() for values in (precision, recall, f1, num_rows))
    return [ClassMetrics(*values) for values in zip(*columns, strict=True)]


class ConfusedPair(NamedTuple):
    """Rows of one class that are predicted as another.

    Attributes:
        true: label of the rows.
        predicted: label that they got.
        num_rows: how many.
        share: of all rows of the true class, in (0, 1].
    """

    true: int
    predicted: int
    num_rows: int
    share: float


def most_confused(
    confusion: npt.NDArray[np.int64], *, limit: int | None = None
) -> list[ConfusedPair]:
    """The pairs of classes that are confused, those with most rows first.

    Args:
        confusion: counts of (true, predicted), int [C, C].
        limit: most pairs returned; None for all.
    """
    true, predicted = np.nonzero(confusion)
    is_wrong = true != predicted
    true, predicted = true[is_wrong], predicted[is_wrong]
    counts, num_rows = confusion[true, predicted], confusion.sum(axis=1)
    order = np.lexsort((predicted, true, -counts))[:limit]
    return [
        ConfusedPair(int(t), int(p), int(count), float(count / num_rows[t]))
        for t, p, count in zip(true[order], predicted[order], counts[order], strict=True)
    ]
