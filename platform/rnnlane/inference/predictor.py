"""Texts in, probabilities out, on the CPUs of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID
from rnnlane.inference.bundle import Bundle, load_bundle
from rnnlane.training.metrics import length_batches

TEXTS_PER_CHUNK = 2048


class Predictor:
    """Predicts the probability of each class for texts.

    Attributes:
        class_names: the classes, in the order of the probabilities.
    """

    def __init__(self, bundle: Bundle):
        self.class_names = bundle.class_names
        self._model = bundle.model.eval()
        self._vocabulary = bundle.vocabulary
        self._processor = bundle.processor
        self._text = bundle.text

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        """A predictor from the bundle in a folder.

        Raises:
            DataError: a file is missing, damaged or of another format.
        """
        return cls(load_bundle(folder))

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probability of each class for each text: float64 [len(texts), num_classes].

        A text without any token is treated as one unknown word.
        """
        # Chunks are classified, with one thread per core, while this thread encodes the next ones:
        # only encoding holds the GIL.
        with ThreadPoolExecutor(os.cpu_count(), initializer=_use_one_fast_thread) as executor:
            starts = range(0, len(texts), TEXTS_PER_CHUNK)
            chunks = (texts[start : start + TEXTS_PER_CHUNK] for start in starts)
            futures = [executor.submit(self._classify, self._encode(chunk)) for chunk in chunks]
        results = [future.result() for future in futures]
        return np.concatenate([np.zeros((0, len(self.class_names))), *results])

    @torch.inference_mode()
    def _classify(self, split: EncodedSplit) -> npt.NDArray[np.float64]:
        probabilities = np.zeros((len(split), len(self.class_names)))
        make_batch = BatchMaker(split, torch.device("cpu"))
        for rows in length_batches(split.lengths):
            batch = make_batch(rows)
            logits = self.logits(batch.token_ids, batch.lengths)
            probabilities[rows] = logits.double().softmax(dim=1).numpy()
        return probabilities

    def logits(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, C] of encoded rows; token_ids int64 [B, T], lengths int64 [B]."""
        logits: Tensor = self._model(token_ids, lengths)
        return logits

    def _encode(self, texts: Sequence[str]) -> EncodedSplit:
        encoded = [
            self._vocabulary.encode(
                self._processor(text), max_length=self._text.max_length, keep=self._text.keep
            )
            for text in texts
        ]
        unknown = np.array([UNKNOWN_ID], dtype=np.int32)
        rows = [row if len(row) else unknown for row in encoded]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        tokens = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
        return EncodedSplit(tokens, offsets, np.zeros(len(rows), dtype=np.int64))


def _use_one_fast_thread() -> None:
    """The settings of :func:`rnnlane.training.loop.cpu_settings`, which hold per thread."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
