"""Labels, lengths and plans that tests of batches share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from rnnlane.data.batches.apportionment import step_class_counts
from rnnlane.data.batches.plan import ROW_STREAM, STEP_STREAM, _buckets, plan, random_bits

Labels = npt.NDArray[np.int64]


@st.composite
def imbalanced_labels(draw: st.DrawFn) -> Labels:
    """1 to 18 classes, from balanced to 1:200, in random order; down to a single row."""
    class_counts = draw(
        st.lists(st.integers(1, 20), min_size=1, max_size=18)
        | st.lists(st.integers(1, 200), min_size=2, max_size=3)
    )
    labels = np.repeat(np.arange(len(class_counts)), class_counts)
    return labels[np.random.default_rng(draw(st.integers(0, 99))).permutation(len(labels))]


def lengths_like(labels: Labels, seed: int = 0) -> Labels:
    """Lengths as reviews have them: a mean near 230, a long tail."""
    return np.random.default_rng(seed).lognormal(5.2, 0.6, len(labels)).astype(np.int64) + 1


def plan_of(labels: Labels, **changes: Any) -> list[npt.NDArray[np.int64]]:
    settings = {"global_batch_size": 8, "seed": 0, "epoch": 0} | changes
    return plan(labels, settings.pop("lengths", lengths_like(labels)), **settings)


def sorted_plainly(
    labels: Labels,
    lengths: Labels,
    *,
    global_batch_size: int,
    seed: int,
    epoch: int,
    max_buckets: int,
) -> Labels:
    """The plan by its definition: whole sorts of all rows."""
    _, classes, class_counts = np.unique(labels, return_inverse=True, return_counts=True)
    counts = step_class_counts(class_counts, global_batch_size=global_batch_size)
    num_steps, num_classes = counts.shape
    deal = np.argsort(random_bits(num_steps, seed=seed, epoch=epoch, stream=STEP_STREAM))
    row_keys = random_bits(len(labels), seed=seed, epoch=epoch, stream=ROW_STREAM)
    rows = np.lexsort((row_keys, lengths, classes))
    places = np.repeat(np.tile(np.arange(num_steps), num_classes), counts[deal].T.ravel())
    edges = np.full(num_steps + 1, lengths.min(), dtype=np.int64)
    np.maximum.at(edges, places + 1, lengths[rows])
    buckets = _buckets(edges, epoch=epoch, max_buckets=max_buckets)
    rows = rows[np.lexsort((row_keys[rows], buckets[places], classes[rows]))]
    return rows[np.lexsort((lengths[rows], classes[rows], deal[places]))]


def counts_per_step(steps: list[npt.NDArray[np.int64]], labels: Labels) -> Labels:
    return np.array([np.bincount(labels[rows], minlength=labels.max() + 1) for rows in steps])


def padding(steps: list[npt.NDArray[np.int64]], lengths: Labels) -> float:
    """Share of the positions of an epoch's padded batches that hold no token."""
    return float(1 - lengths.sum() / sum(len(rows) * lengths[rows].max() for rows in steps))


def together_again(
    before: list[npt.NDArray[np.int64]], steps: list[npt.NDArray[np.int64]], num_rows: int
) -> float:
    """The largest share of a batch's rows that were in one batch before; mean over batches."""
    batch_before = np.empty(num_rows, dtype=np.int64)
    for index, rows in enumerate(before):
        batch_before[rows] = index
    return float(np.mean([np.bincount(batch_before[rows]).max() / len(rows) for rows in steps]))
