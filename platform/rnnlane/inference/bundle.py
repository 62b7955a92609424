"""The bundle: a classifier with its text processing, as JSON and safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rnnlane.config.experiment import ModelConfig, TextConfig
from rnnlane.data.prepare.text import TextProcessor, load_stop_words
from rnnlane.data.prepare.vocabulary import Vocabulary
from rnnlane.errors import DataError, first_line
from rnnlane.models.classifier import build_model
from rnnlane.models.linear import LinearClassifier

WEIGHTS, VOCABULARY, CLASSIFIER = "weights.safetensors", "vocabulary.jsonl", "classifier.json"
FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """A trained classifier with its text processing.

    Attributes:
        model: token_ids [B, T] and lengths [B] -> logits [B, C].
        vocabulary: tokens to token ids.
        processor: texts to tokens.
        text: the settings of the processing.
        class_names: by label.
    """

    model: nn.Module
    vocabulary: Vocabulary
    processor: TextProcessor
    text: TextConfig
    class_names: tuple[str, ...]


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
        model: its shape: a dumped ModelConfig, or ``num_words`` and ``num_ngrams`` of a linear one.
        class_names: by label.
    """
    folder.mkdir(parents=True, exist_ok=True)
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


def load_bundle(folder: Path) -> Bundle:
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
        model = _untrained_model(
            description["model"], vocabulary_size=len(vocabulary), num_classes=len(class_names)
        )
        model.load_state_dict(load_file(folder / WEIGHTS))
        processor = TextProcessor(text, frozenset(description["stop_words"]))
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"not a usable model bundle: {first_line(error)}",
            where=str(folder),
            remedy="give the id of a finished run",
        ) from error
    return Bundle(model, vocabulary, processor, text, class_names)


def _untrained_model(
    shape: Mapping[str, Any], *, vocabulary_size: int, num_classes: int
) -> nn.Module:
    """A model of that shape, to load weights into."""
    if "num_ngrams" in shape:
        return LinearClassifier(vocabulary_size=vocabulary_size, num_classes=num_classes, **shape)
    return build_model(
        ModelConfig.model_validate(shape),
        vocabulary_size=vocabulary_size,
        num_classes=num_classes,
        seed=0,
    )
