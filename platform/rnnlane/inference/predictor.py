"""A trained classifier that answers for texts, and its form on disk: JSON and safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rnnlane.config.experiment import ModelConfig, TextConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import BatchMaker
from rnnlane.data.prepare.text import TextProcessor, load_stop_words
from rnnlane.data.prepare.vocabulary import UNKNOWN_ID, Vocabulary
from rnnlane.errors import DataError
from rnnlane.models.classifier import build_model
from rnnlane.models.linear import LinearClassifier
from rnnlane.training.metrics import length_batches

WEIGHTS, VOCABULARY, CLASSIFIER = "weights.safetensors", "vocabulary.jsonl", "classifier.json"
FORMAT = 1
TEXTS_A_CHUNK = 2048


def save_bundle(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    vocabulary: str,
    text: TextConfig,
    model: Mapping[str, Any],
    class_names: Sequence[str],
) -> None:
    """Writes all that a classifier needs to answer for texts into an existing folder.

    Args:
        folder: that exists.
        weights: of the model, by name.
        vocabulary: as JSON lines.
        text: how texts become tokens.
        model: the shape: a dumped ModelConfig, or of a linear one ``num_words`` and ``num_ngrams``.
        class_names: by label.
    """
    save_file(dict(weights), folder / WEIGHTS)
    (folder / VOCABULARY).write_text(vocabulary, encoding="utf-8")
    description = {
        "format": FORMAT,
        "class_names": list(class_names),
        "text": text.model_dump(mode="json"),
        "stop_words": sorted(load_stop_words(text.stop_words)),
        "model": dict(model),
    }
    (folder / CLASSIFIER).write_text(
        json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8"
    )


class Predictor:
    """Texts in, a probability for each class out.

    Attributes:
        class_names: the classes, in the order of the probabilities.
    """

    def __init__(
        self,
        model: nn.Module,
        vocabulary: Vocabulary,
        processor: TextProcessor,
        *,
        text: TextConfig,
        class_names: tuple[str, ...],
    ):
        self.class_names = class_names
        self._model = model.eval()
        self._vocabulary = vocabulary
        self._processor = processor
        self._text = text

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        """Reads a bundle that :func:`save_bundle` wrote.

        Raises:
            DataError: a file is missing, damaged or of another format.
        """
        try:
            description = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
            if description["format"] != FORMAT:
                raise DataError(
                    f"a model bundle must be of format {FORMAT}, but got {description['format']}",
                    where=str(folder),
                )
            vocabulary = Vocabulary.from_jsonl((folder / VOCABULARY).read_text(encoding="utf-8"))
            text = TextConfig.model_validate(description["text"])
            class_names = tuple(description["class_names"])
            model = _empty_model(
                description["model"],
                vocabulary_size=len(vocabulary),
                num_classes=len(class_names),
            )
            model.load_state_dict(load_file(folder / WEIGHTS))
            processor = TextProcessor(text, frozenset(description["stop_words"]))
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise DataError(
                f"not a usable model bundle: {str(error).splitlines()[0]}",
                where=str(folder),
                remedy="give the id of a finished run",
            ) from error
        return cls(model, vocabulary, processor, text=text, class_names=class_names)

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probability of each class for each text: float64 [len(texts), num_classes].

        A text without any token is read as one unknown word.
        """
        # Chunks are classified, one thread a core, while the next ones are encoded: only encoding
        # holds Python's lock.
        with ThreadPoolExecutor(os.cpu_count(), initializer=_one_fast_thread) as executor:
            chunks = [
                executor.submit(self._classify, self._encode(texts[start : start + TEXTS_A_CHUNK]))
                for start in range(0, len(texts), TEXTS_A_CHUNK)
            ]
        found = [chunk.result() for chunk in chunks]
        return np.concatenate([np.zeros((0, len(self.class_names))), *found])

    @torch.inference_mode()
    def _classify(self, split: EncodedSplit) -> npt.NDArray[np.float64]:
        found = np.zeros((len(split), len(self.class_names)))
        make_batch = BatchMaker(split, torch.device("cpu"))
        for rows in length_batches(split.lengths):
            batch = make_batch(rows)
            logits = self.logits(batch.token_ids, batch.lengths)
            found[rows] = logits.double().softmax(dim=1).numpy()
        return found

    def logits(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits [B, C] of encoded rows; token_ids int64 [B, T], lengths int64 [B]."""
        found: Tensor = self._model(token_ids, lengths)
        return found

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


def _one_fast_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _empty_model(shape: Mapping[str, Any], *, vocabulary_size: int, num_classes: int) -> nn.Module:
    """A model of that shape, for weights to be loaded into."""
    if "num_ngrams" in shape:
        return LinearClassifier(vocabulary_size=vocabulary_size, num_classes=num_classes, **shape)
    return build_model(
        ModelConfig.model_validate(shape),
        vocabulary_size=vocabulary_size,
        num_classes=num_classes,
        seed=0,
    )
