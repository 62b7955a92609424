"""A pretrained language model as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.fingerprint import SHAPE
from rnnlane.config.text import TextConfig
from rnnlane.errors import ConfigError, DataError, first_line

WEIGHTS, VOCABULARY, LANGUAGE_MODEL = (
    "weights.safetensors",
    "vocabulary.jsonl",
    "language_model.json",
)
FORMAT = 1
# Which texts are read and which tokens have an id may differ; what a token is may not.
_FREE_TEXT_KEYS = {"max_length", "keep", "max_chars", "vocabulary"}


@dataclass(frozen=True)
class Pretrained:
    """A language model that a classifier can start from.

    Attributes:
        run_id: of the run that trained it.
        vocabulary: of its tokens, as JSON lines.
        weights: ``embedding.weight`` [V + 1, E], and those of each direction's layers, as
            :class:`rnnlane.pretraining.language_model.LanguageModel` names them.
    """

    run_id: str
    vocabulary: str
    weights: Mapping[str, Tensor]


def save_pretrained(
    folder: Path, *, weights: Mapping[str, Tensor], vocabulary: str, config: ExperimentConfig
) -> None:
    """Writes the weights, the vocabulary, the shape and the text settings into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in weights.items() if name != "bias"}
    save_file(kept, folder / WEIGHTS)
    (folder / VOCABULARY).write_text(vocabulary, encoding="utf-8")
    plain = {
        "format": FORMAT,
        "model": {key: getattr(config.model, key) for key in SHAPE},
        "text": config.text.model_dump(mode="json"),
    }
    (folder / LANGUAGE_MODEL).write_text(json.dumps(plain, indent=1), encoding="utf-8")


def load_pretrained(folder: Path, config: ExperimentConfig, *, run_id: str) -> Pretrained:
    """Reads what :func:`save_pretrained` wrote.

    Args:
        folder: that holds it.
        config: the experiment of a classifier, which must have its shape and text settings.
        run_id: of the run that trained it.

    Raises:
        ConfigError: the experiment has another shape, or other text settings.
        DataError: a file is missing or damaged.
    """
    try:
        plain = json.loads((folder / LANGUAGE_MODEL).read_text(encoding="utf-8"))
        if plain["format"] != FORMAT:
            raise DataError(
                f"a language model must be of format {FORMAT}, but got {plain['format']!r}",
                where=f"run {run_id}",
                remedy="pretrain again with this release",
            )
        shape, text = plain["model"], TextConfig.model_validate(plain["text"])
        vocabulary = (folder / VOCABULARY).read_text(encoding="utf-8")
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"the language model cannot be read: {first_line(error)}",
            where=f"run {run_id}",
            remedy="pretrain again, or name another run in model.init_from",
        ) from error
    _check_same("model", shape, {key: getattr(config.model, key) for key in SHAPE}, run_id)
    _check_same("text", _fixed(text), _fixed(config.text), run_id)
    return Pretrained(run_id, vocabulary, weights)


def _fixed(text: TextConfig) -> dict[str, Any]:
    return text.model_dump(mode="json", exclude=_FREE_TEXT_KEYS)


def _check_same(section: str, its: Mapping[str, Any], ours: Mapping[str, Any], run_id: str) -> None:
    different = [key for key, value in ours.items() if its.get(key) != value]
    if different:
        keys = ", ".join(different)
        values = ", ".join(f"{section}.{key}={its.get(key)}" for key in different)
        raise ConfigError(
            f"a classifier has the {section} settings of the language model it starts from, but "
            f"{keys} {'differs' if len(different) == 1 else 'differ'}: "
            f"{', '.join(str(ours[key]) for key in different)} here",
            where=f"model.init_from {run_id}",
            remedy=f"set {values}, or pretrain with this experiment",
        )
