"""The bundle: a classifier with its text processing, as JSON and safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rnnlane.config.model import ModelConfig
from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.text import TextProcessor, load_stop_words
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.errors import DataError, first_line
from rnnlane.models.classifier import build_model
from rnnlane.models.linear import TfidfClassifier
from rnnlane.models.naive_bayes import NaiveBayesClassifier

WEIGHTS, VOCABULARY, CLASSIFIER = "weights.safetensors", "vocabulary.jsonl", "classifier.json"
# A release that knows only format 1 would ignore a temperature, so a bundle that has one is of
# format 2; and one that reads n-grams is of format 3, with a temperature or without.
PLAIN_FORMAT, TEMPERED_FORMAT, NGRAM_FORMAT = 1, 2, 3


@dataclass(frozen=True)
class Bundle:
    """A trained classifier with its text processing.

    Attributes:
        model: what :attr:`Batch.inputs` has -> logits [B, C].
        vocabulary: tokens to token ids.
        processor: texts to tokens.
        text: the settings of the processing.
        class_names: by label.
        temperature: divides the logits before the softmax.
    """

    model: nn.Module
    vocabulary: Vocabulary
    processor: TextProcessor
    text: TextConfig
    class_names: tuple[str, ...]
    temperature: float = 1.0


def save_bundle(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    vocabulary: str,
    text: TextConfig,
    model: Mapping[str, Any],
    class_names: Sequence[str],
) -> None:
    """Writes a bundle.

    Args:
        folder: created if missing.
        weights: of the model, by name.
        vocabulary: as JSON lines.
        text: the settings of the text processing.
        model: its shape: a dumped ModelConfig, or a linear one's :attr:`LinearClassifier.shape`.
        class_names: by label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), folder / WEIGHTS)
    (folder / VOCABULARY).write_text(vocabulary, encoding="utf-8")
    shape = {key: value for key, value in model.items() if (key, value) != ("ngrams", None)}
    description = {
        "format": NGRAM_FORMAT if "ngrams" in shape else PLAIN_FORMAT,
        "class_names": list(class_names),
        "text": text.model_dump(mode="json"),
        "stop_words": sorted(load_stop_words(text.stop_words)),
        "model": shape,
    }
    _write_description(folder, description)


def set_temperature(folder: Path, temperature: float) -> None:
    """Gives a bundle the temperature that its logits are divided by."""
    description = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
    is_tempered = temperature != 1.0
    description.pop("temperature", None)
    if is_tempered:
        description["temperature"] = temperature
    if description["format"] != NGRAM_FORMAT:
        description["format"] = TEMPERED_FORMAT if is_tempered else PLAIN_FORMAT
    _write_description(folder, description)


def _write_description(folder: Path, description: Mapping[str, Any]) -> None:
    (folder / CLASSIFIER).write_text(
        json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8"
    )


def load_bundle(folder: Path) -> Bundle:
    """Reads a bundle that :func:`save_bundle` wrote.

    Raises:
        DataError: a file is missing, damaged or of another format.
    """
    try:
        description = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
        if description["format"] not in {PLAIN_FORMAT, TEMPERED_FORMAT, NGRAM_FORMAT}:
            raise DataError(
                f"a model bundle must be of format {PLAIN_FORMAT} to {NGRAM_FORMAT}, "
                f"but got {description['format']}",
                where=str(folder),
            )
        temperature = float(description.get("temperature", 1.0))
        if not 0 < temperature < math.inf:
            raise ValueError(f"a temperature must be a number above 0, but got {temperature}")
        vocabulary = Vocabulary.from_jsonl((folder / VOCABULARY).read_text(encoding="utf-8"))
        text = TextConfig.model_validate(description["text"])
        class_names = tuple(description["class_names"])
        model = _untrained_model(
            description["model"], vocabulary_size=len(vocabulary), num_classes=len(class_names)
        )
        model.load_state_dict(load_file(folder / WEIGHTS))
        processor = TextProcessor(text, frozenset(description["stop_words"]))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"not a usable model bundle: {first_line(error)}",
            where=str(folder),
            remedy="give the id of a finished run",
        ) from error
    return Bundle(model, vocabulary, processor, text, class_names, temperature)


def _untrained_model(
    shape: Mapping[str, Any], *, vocabulary_size: int, num_classes: int
) -> nn.Module:
    """A model of that shape, to load weights into."""
    if "num_ngrams" in shape:
        return TfidfClassifier(vocabulary_size=vocabulary_size, num_classes=num_classes, **shape)
    if "hash_bits" in shape:
        return NaiveBayesClassifier(num_classes=num_classes, **shape)
    return build_model(
        ModelConfig.model_validate(shape),
        vocabulary_size=vocabulary_size,
        num_classes=num_classes,
        seed=0,
    )
