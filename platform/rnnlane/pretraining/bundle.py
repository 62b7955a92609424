"""A pretrained language model as files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save_file
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
FORMAT = 2
_CHECKED = (WEIGHTS, VOCABULARY)
_SPLIT_KEYS = {"test", "columns", "classes", "unknown_label", "conflicts", "rare_classes"}
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
        source: fingerprint of the source whose train split it has read.
        split: what decided which rows of it are that split; see :func:`_split`.
    """

    run_id: str
    vocabulary: str
    weights: Mapping[str, Tensor]
    source: str
    split: Mapping[str, Any]


def save_pretrained(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    vocabulary: str,
    config: ExperimentConfig,
    source: str,
) -> None:
    """Writes the weights, the vocabulary, and what a classifier must have alike into a folder.

    Args:
        folder: created if it does not exist.
        weights, vocabulary, source: see :class:`Pretrained`.
        config: the experiment, of which the shape, the text settings and the split are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in weights.items() if name != "bias"}
    save_file(kept, folder / WEIGHTS)
    (folder / VOCABULARY).write_text(vocabulary, encoding="utf-8")
    plain = {
        "format": FORMAT,
        "model": {key: getattr(config.model, key) for key in SHAPE},
        "text": config.text.model_dump(mode="json"),
        "source": source,
        "split": _split(config),
        "checksums": {name: zlib.crc32((folder / name).read_bytes()) for name in _CHECKED},
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
        DataError: a file is missing or is not as it was written.
    """
    where = f"run {run_id}, {folder}"
    try:
        plain = json.loads((folder / LANGUAGE_MODEL).read_text(encoding="utf-8"))
        if plain["format"] != FORMAT:
            raise DataError(
                f"a language model must be of format {FORMAT}, but got {plain['format']!r}",
                where=where,
                remedy="pretrain again with this release",
            )
        shape, text = plain["model"], TextConfig.model_validate(plain["text"])
        sums, source, split = plain["checksums"], plain["source"], plain["split"]
        contents = {name: (folder / name).read_bytes() for name in _CHECKED}
        if any(zlib.crc32(content) != sums[name] for name, content in contents.items()):
            raise ValueError("its files are not as they were written")
        vocabulary, weights = contents[VOCABULARY].decode(), load(contents[WEIGHTS])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(
            f"the language model cannot be read: {first_line(error)}",
            where=where,
            remedy="remove that folder, so that it is fetched again, or pretrain again",
        ) from error
    _check_same("model", shape, {key: getattr(config.model, key) for key in SHAPE}, run_id)
    _check_same("text", _fixed(text), _fixed(config.text), run_id)
    return Pretrained(run_id, vocabulary, weights, source, split)


def check_split(start: Pretrained, config: ExperimentConfig, *, source: str) -> None:
    """Refuses a start that may have read texts of test: rows of one source, split in another way.

    Args:
        start: the language model.
        config: the experiment of the classifier.
        source: fingerprint of its source.

    Raises:
        ConfigError: they differ.
    """
    if start.source != source:
        return
    ours, theirs = _split(config), start.split
    # An official test is the same whatever else is set.
    tests = (ours["data.test"], theirs.get("data.test"))
    keys = ["data.test"] if "official" in tests else list(ours)
    different = [key for key in keys if theirs.get(key) != ours[key]]
    if different:
        here = ", ".join(f"{key}={ours[key]}" for key in different)
        there = ", ".join(f"{key}={theirs.get(key)}" for key in different)
        raise ConfigError(
            "a classifier is not tested on texts that its language model has read, so rows of the "
            f"same source must be split alike, but got {here}, and there {there}",
            where=f"model.init_from {start.run_id}",
            remedy=f"set {there}, or pretrain with this experiment",
        )


def _split(config: ExperimentConfig) -> dict[str, Any]:
    """What decides which rows of a source are its test: plain values by key."""
    plain = config.data.model_dump(mode="json", include=_SPLIT_KEYS)
    return {"seed": config.seed, **{f"data.{key}": value for key, value in plain.items()}}


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
