"""Texts without labels for the steps of a training: so many a step, each once before any again.

A step takes as long as its longest text, so texts of similar length are in one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.plan import random_bits

Ints = npt.NDArray[np.int64]

UNLABELED_STREAM = 3
# Steps whose texts are sorted by length together, and then put into a random order.
STEPS_SORTED = 50


class UnlabeledRows:
    """Which texts a step has: a pure function of seed, epoch and step.

    Args:
        split: the texts; at least one.
        rows_a_step: over all workers.
        num_steps: of an epoch.
        seed: of the batch plan.
    """

    def __init__(self, split: EncodedSplit, *, rows_a_step: int, num_steps: int, seed: int):
        self._split, self._size = split, rows_a_step
        self._num_steps, self._seed = num_steps, seed
        self._order: tuple[int, Ints] = (-1, np.zeros(0, np.int64))

    def of_step(self, epoch: int, step: int) -> EncodedSplit:
        """The texts of a step."""
        first = (epoch * self._num_steps + step) * self._size
        places = first + np.arange(self._size)
        passes = places // len(self._split)
        rows = np.empty(self._size, dtype=np.int64)
        for number in range(int(passes[0]), int(passes[-1]) + 1):
            of_pass = passes == number
            rows[of_pass] = self._order_of(number)[places[of_pass] % len(self._split)]
        return self._split.take(rows)

    def _order_of(self, number: int) -> Ints:
        """The order of a pass over all texts."""
        if self._order[0] != number:
            num_texts, size = len(self._split), STEPS_SORTED * self._size
            bits = random_bits(
                2 * num_texts, seed=self._seed, epoch=number, stream=UNLABELED_STREAM
            )
            order, deal = np.argsort(bits[:num_texts], kind="stable"), bits[num_texts:]
            runs = [
                self._by_length(order[at : at + size], deal[at : at + size])
                for at in range(0, num_texts, size)
            ]
            self._order = (number, np.concatenate(runs))
        return self._order[1]

    def _by_length(self, texts: Ints, bits: npt.NDArray[np.uint64]) -> Ints:
        """Some texts so that those of a step are alike in length; the bits decide which is when."""
        num_steps = len(texts) // self._size
        deal = np.argsort(bits[:num_steps], kind="stable")
        by_length = texts[np.argsort(self._split.lengths[texts], kind="stable")]
        whole = by_length[: num_steps * self._size].reshape(num_steps, self._size)
        return np.concatenate([whole[deal].ravel(), by_length[num_steps * self._size :]])
