"""Texts in, probabilities out, on the CPUs of this machine or on a GPU."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.ngrams import NgramHasher
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.data.prepare.keys import word_keys
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID, EncodedText, Vocabulary, kept_tokens
from rnnlane.inference.bundle import Bundle, load_bundle
from rnnlane.inference.explain import token_shares
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.models.linear import LinearClassifier
from rnnlane.models.naive_bayes import NaiveBayesClassifier
from rnnlane.records.explanation import Explanation
from rnnlane.training.memory import readable_memory_errors
from rnnlane.training.metrics import length_batches
from rnnlane.training.precision import served_precision

TEXTS_PER_CHUNK = 2048
_CPU = torch.device("cpu")
# See :func:`is_sure`.
SURE_FROM, MOST_UNKNOWN = 0.2, 0.5


@dataclass(frozen=True)
class Predictions:
    """What a model says about N texts.

    Attributes:
        class_names: the classes, in the order of the probabilities.
        probabilities: of each class: float64 [N, num_classes].
        num_known_tokens: int64 [N], how many of a text's tokens, of those that are kept, are in the
            vocabulary. Where it is 0, the text is empty for the model: its probabilities are those
            of any other such text.
        num_tokens: int64 [N], how many tokens of a text are kept; at least 1.
    """

    class_names: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    num_known_tokens: npt.NDArray[np.int64]
    num_tokens: npt.NDArray[np.int64]

    @property
    def labels(self) -> list[str]:
        """The most probable class of each text."""
        return [self.class_names[index] for index in self.probabilities.argmax(axis=1)]

    @property
    def is_sure(self) -> npt.NDArray[np.bool_]:
        """Whether each answer is more than a guess; see :func:`is_sure`: bool [N]."""
        return is_sure(self.probabilities, self.unknown_share)

    @property
    def unknown_share(self) -> npt.NDArray[np.float64]:
        """Share of each text's tokens that the model does not know, in [0, 1]: float64 [N]."""
        share: npt.NDArray[np.float64] = 1 - self.num_known_tokens / self.num_tokens
        return share

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """For each text an answer as plain values.

        It has ``text``, ``label``, ``probabilities`` by class, ``num_known_tokens``,
        ``num_tokens``, and ``is_sure``.
        """
        return [
            {
                "text": text,
                "label": label,
                "probabilities": dict(zip(self.class_names, row, strict=True)),
                "num_known_tokens": num_known,
                "num_tokens": num_tokens,
                "is_sure": sure,
            }
            for text, label, row, num_known, num_tokens, sure in zip(
                texts,
                self.labels,
                self.probabilities.tolist(),
                self.num_known_tokens.tolist(),
                self.num_tokens.tolist(),
                self.is_sure.tolist(),
                strict=True,
            )
        ]

    def columns(self) -> dict[str, list[Any]]:
        """The columns that a table of the texts gets."""
        probabilities = {
            f"probability_{name}": self.probabilities[:, index].tolist()
            for index, name in enumerate(self.class_names)
        }
        return {
            "predicted_label": self.labels,
            **probabilities,
            "num_known_tokens": self.num_known_tokens.tolist(),
            "num_tokens": self.num_tokens.tolist(),
            "is_sure": self.is_sure.tolist(),
        }


class Predictor:
    """Predicts the probability of each class for texts.

    Attributes:
        class_names: the classes, in the order of the probabilities.
        temperature: divides the logits before the softmax.
        device: what classifies.
        hasher: finds the n-grams for a model that reads them.
    """

    def __init__(self, bundle: Bundle, *, device: torch.device = _CPU):
        """A predictor.

        Args:
            bundle: the classifier.
            device: where to classify; a linear baseline stays on the CPU.
        """
        self.class_names = bundle.class_names
        self.temperature = bundle.temperature
        # Stays on the CPU, where it is explained: cuDNN has no gradients of a model that is served.
        self._model = bundle.model.eval()
        self.device = _CPU if isinstance(bundle.model, LinearClassifier) else device
        with self.as_served():
            is_here = self.device == _CPU
            self._on_device = self._model if is_here else copy.deepcopy(self._model).to(self.device)
        self._vocabulary = bundle.vocabulary
        self.hasher = hasher_of(bundle.model, bundle.vocabulary)
        self._processor = bundle.processor
        self._text = bundle.text

    @classmethod
    def load(cls, folder: Path, *, device: torch.device = _CPU) -> Predictor:
        """A predictor from the bundle in a folder.

        Args:
            folder: as :func:`rnnlane.inference.bundle.save_bundle` wrote it.
            device: where to classify. A model that MLflow serves is loaded without: it stays on the
                CPU, as each of a server's processes would hold a share of a GPU.

        Raises:
            DataError: a file is missing, damaged or of another format.
        """
        return cls(load_bundle(folder), device=device)

    @contextlib.contextmanager
    def as_served(self) -> Iterator[None]:
        """The arithmetic of a served model: float32, on a GPU too.

        Raises:
            ResourceError: there is not enough memory for what the block does.
        """
        remedy = "give fewer texts at a time" if self.device == _CPU else "set the device to cpu"
        with served_precision(), readable_memory_errors("classifying", remedy=remedy):
            yield

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probability of each class for each text: float64 [len(texts), num_classes]."""
        return self.predict(texts).probabilities

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Classifies texts; one without any token is treated as one unknown word."""
        # Chunks are classified, with one thread per core, while this thread encodes the next ones:
        # only encoding holds the GIL.
        nothing = np.zeros(0, dtype=np.int64)
        known, lengths, futures = [nothing], [nothing], []
        num_threads = os.cpu_count() if self.device == _CPU else 1
        with self.as_served():
            with ThreadPoolExecutor(num_threads, initializer=_use_one_fast_thread) as executor:
                for start in range(0, len(texts), TEXTS_PER_CHUNK):
                    encoded = self._encode(texts[start : start + TEXTS_PER_CHUNK])
                    known.append(_num_known(encoded))
                    lengths.append(encoded.lengths)
                    futures.append(executor.submit(self._classify, encoded))
            results = [future.result() for future in futures]
        none = np.zeros((0, len(self.class_names)))
        return Predictions(
            self.class_names,
            np.concatenate([none, *results]),
            num_known_tokens=np.concatenate(known),
            num_tokens=np.concatenate(lengths),
        )

    def predict_rows(self, split: EncodedSplit) -> Predictions:
        """Classifies encoded rows, whose labels are not used."""
        with self.as_served():
            probabilities = self._classify(split)
        return Predictions(
            self.class_names,
            probabilities,
            num_known_tokens=_num_known(split),
            num_tokens=split.lengths,
        )

    def has_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which texts are not empty for the model: bool [len(texts)]."""
        return np.array([bool(self._processor(text)) for text in texts], dtype=np.bool_)

    def reads_like(self, other: Predictor) -> bool:
        """Whether both models read a text as the same tokens, under the same ids."""
        return (self._text, self._processor.stop_words, self._vocabulary.tokens) == (
            other._text,
            other._processor.stop_words,
            other._vocabulary.tokens,
        )

    def explain(self, text: str, *, label: str | None = None) -> Explanation:
        """The share of each token in the log-odds of a label; see :mod:`rnnlane.inference.explain`.

        Computed on the CPU.

        Args:
            text: any text.
            label: one of the class names; default: the most probable one.
        """
        tokens = self._processor(text)
        kept = kept_tokens(tokens, max_length=self._text.max_length, keep=self._text.keep)
        encoded = self._encode([text])
        if label is None:
            label = self.predict_rows(encoded).labels[0]
        index = self.class_names.index(label)
        shares, base, log_odds = token_shares(
            self._model,
            encoded,
            index,
            temperature=self.temperature,
            hasher=self.hasher,
        )
        if not kept:  # it was read as one unknown token, which is none of its own
            shares, base = shares[:0], log_odds
        return Explanation(
            text=text,
            label=label,
            probability=float(torch.tensor(log_odds, dtype=torch.float64).sigmoid()),
            tokens=tuple(kept),
            known=tuple(bool(one != UNKNOWN_ID) for one in encoded.token_ids[: len(kept)]),
            shares=tuple(shares.tolist()),
            base=base,
            log_odds=log_odds,
            num_unread=len(tokens) - len(kept),
        )

    @torch.inference_mode()
    def _classify(self, split: EncodedSplit) -> npt.NDArray[np.float64]:
        probabilities = np.zeros((len(split), len(self.class_names)))
        make_batch = BatchMaker(split, self.device, hasher=self.hasher)
        for rows in length_batches(split.lengths, device=self.device):
            batch = make_batch(rows)
            logits = self.logits(*batch.inputs).double() / self.temperature
            probabilities[rows] = logits.softmax(dim=1).cpu().numpy()
        return probabilities

    def logits(self, *inputs: Tensor) -> Tensor:
        """Logits [B, C] of encoded rows, before the temperature.

        Args:
            inputs: of a batch on :attr:`device`; see :attr:`Batch.inputs`.
        """
        logits: Tensor = self._on_device(*inputs)
        return logits

    def encoded(self, texts: Sequence[str]) -> list[EncodedText]:
        """Each text's tokens that are kept; none of a text without tokens."""
        return [
            self._vocabulary.encode(
                self._processor(text), max_length=self._text.max_length, keep=self._text.keep
            )
            for text in texts
        ]

    def _encode(self, texts: Sequence[str]) -> EncodedSplit:
        unknown = EncodedText(np.array([UNKNOWN_ID], dtype=np.int32), word_keys([""]))
        rows = [row if len(row.token_ids) else unknown for row in self.encoded(texts)]
        return encoded_split(rows, np.zeros(len(rows), dtype=np.int64))


def hasher_of(model: nn.Module, vocabulary: Vocabulary) -> NgramHasher | None:
    """Finds the n-grams that a model reads; None for one that reads none."""
    if isinstance(model, NaiveBayesClassifier):
        return NgramHasher(model.hash_bits, model.num_words, vocabulary.word_keys)
    if isinstance(model, RecurrentClassifier) and model.ngrams is not None:
        config = model.ngrams.config
        return NgramHasher(config.bits, config.max_words, vocabulary.word_keys)
    return None


def is_sure(
    probabilities: npt.NDArray[np.floating], unknown_share: npt.NDArray[np.floating]
) -> npt.NDArray[np.bool_]:
    """Whether answers are more than a guess.

    They are where the highest probability is at least a fifth of the way from that of a uniform
    guess, 1 / C, to certainty (0.6 for two classes, 0.36 for five), and where at most half of the
    text's tokens are unknown to the model.

    Args:
        probabilities: of each class: [N, C].
        unknown_share: of each text's tokens: [N], in [0, 1].

    Returns:
        bool [N]; False where the probabilities are NaN.
    """
    chance = 1 / probabilities.shape[1]
    is_above = probabilities.max(axis=1, initial=0.0) >= chance + SURE_FROM * (1 - chance)
    known_enough: npt.NDArray[np.bool_] = is_above & (unknown_share <= MOST_UNKNOWN)
    return known_enough


def encoded_split(rows: Sequence[EncodedText], labels: npt.NDArray[np.int64]) -> EncodedSplit:
    """Texts with at least one token each, and their labels int64 [len(rows)]."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row.token_ids) for row in rows], out=offsets[1:])
    tokens = np.concatenate([np.zeros(0, np.int32), *(row.token_ids for row in rows)])
    keys = np.concatenate([np.zeros(0, np.uint32), *(row.unknown_keys for row in rows)])
    return EncodedSplit(tokens, offsets, labels, keys)


def _num_known(split: EncodedSplit) -> npt.NDArray[np.int64]:
    is_known = (split.token_ids != UNKNOWN_ID).astype(np.int64)
    return np.add.reduceat(is_known, split.offsets[:-1])  # no row is empty


def _use_one_fast_thread() -> None:
    """The settings of :func:`rnnlane.training.loop.cpu_settings`, which hold per thread."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
