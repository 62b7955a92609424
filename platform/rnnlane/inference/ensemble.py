"""Several models that answer as one: their bundles in one, and its predictor."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.errors import ConfigError, DataError, first_line
from rnnlane.inference.bundle import CLASSIFIER
from rnnlane.inference.calibration import at_temperature
from rnnlane.inference.pool import log_pool
from rnnlane.inference.predictor import Predictions, Predictor
from rnnlane.records.explanation import Explanation

# Formats 1 and 2 are those of single models.
ENSEMBLE_FORMAT = 10
_CPU = torch.device("cpu")


AnyPredictor: TypeAlias = "Predictor | EnsemblePredictor"


class EnsemblePredictor:
    """Predicts as the weighted pool of several models; see :mod:`rnnlane.inference.pool`.

    Attributes:
        class_names: the classes, in the order of the probabilities.
        members: the models.
        weights: float64 [M], of the members.
        temperature: divides the logits of the pool.
        device: what classifies; some members may stay on the CPU.
    """

    def __init__(
        self,
        members: Sequence[AnyPredictor],
        weights: Sequence[float],
        *,
        temperature: float,
        device: torch.device = _CPU,
    ):
        self.class_names: tuple[str, ...] = members[0].class_names
        self.members = tuple(members)
        self.weights = np.array(weights, dtype=np.float64)
        self.temperature = temperature
        self.device = device

    @classmethod
    def load(cls, folder: Path, *, device: torch.device = _CPU) -> EnsemblePredictor:
        """The predictor of a bundle that :func:`save_ensemble` completed.

        Raises:
            DataError: a file is missing, damaged or of another format.
        """
        description = _read(folder)
        try:
            if description["format"] != ENSEMBLE_FORMAT:
                raise ValueError(f"an ensemble has format {ENSEMBLE_FORMAT}")
            named = [(str(one["folder"]), float(one["weight"])) for one in description["members"]]
            temperature = float(description["temperature"])
            if not 0 < temperature < math.inf or not named:
                raise ValueError("an ensemble has members, and a temperature above 0")
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(
                f"not a usable bundle of an ensemble: {first_line(error)}",
                where=str(folder),
                remedy="give the id of a finished run",
            ) from error
        members = [load_bundled(folder / name, device=device) for name, _ in named]
        weights = [weight for _, weight in named]
        return cls(members, weights, temperature=temperature, device=device)

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probability of each class for each text: float64 [len(texts), num_classes]."""
        return self.predict(texts).probabilities

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Classifies texts. Of a text's tokens those count that the least informed member knows."""
        return self._pooled([member.predict(texts) for member in self.members])

    def predict_rows(self, split: EncodedSplit) -> Predictions:
        """Classifies encoded rows, whose labels are not used.

        Raises:
            ConfigError: rows are encoded in one way, but the members read texts in several.
        """
        first, *others = self.models()
        if not all(first.reads_like(other) for other in others):
            raise ConfigError(
                "an ensemble is scored on a split where its members read texts in one way, but "
                "these have other settings under `text` or other vocabularies",
                where="--split",
                remedy="the run has its scores on val and test; score a file with --data FILE",
            )
        return self._pooled([member.predict_rows(split) for member in self.members])

    def models(self) -> list[Predictor]:
        """The members, and in place of an ensemble among them its own."""
        return [
            model
            for member in self.members
            for model in (member.models() if isinstance(member, EnsemblePredictor) else [member])
        ]

    def has_tokens(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which texts have a token for every member: bool [len(texts)]."""
        of_members = np.stack([member.has_tokens(texts) for member in self.members])
        return np.asarray(of_members.all(axis=0))

    def explain(self, text: str, *, label: str | None = None) -> Explanation:
        """Each token's share in the log-odds of a label: the weighted sum over the members.

        Between two classes the log-odds of the pool are the weighted sum of those of its members,
        so their shares add up where the members read the same tokens.

        Args:
            text: any text.
            label: one of the class names; default: the most probable one.

        Raises:
            ConfigError: there are more than two classes, or members read other tokens.
        """
        label = label or self.predict([text]).labels[0]
        parts = [member.explain(text, label=label) for member in self.members]
        reads_alike = all(part.tokens == parts[0].tokens for part in parts)
        if len(self.class_names) != 2 or not reads_alike:
            reason = (
                "this one's members read other tokens of it"
                if len(self.class_names) == 2
                else f"this one has {len(self.class_names)}"
            )
            raise ConfigError(
                "an ensemble is explained where it has two classes and its members read the same "
                f"tokens of the text, but {reason}",
                where="explain",
                remedy="load one of its members, and explain that",
            )
        scales = self.weights / self.temperature
        log_odds = float(scales @ [part.log_odds for part in parts])
        return Explanation(
            text=text,
            label=label,
            probability=float(torch.tensor(log_odds, dtype=torch.float64).sigmoid()),
            tokens=parts[0].tokens,
            known=tuple(np.any([part.known for part in parts], axis=0).tolist()),
            shares=tuple((scales @ np.array([part.shares for part in parts])).tolist()),
            base=float(scales @ [part.base for part in parts]),
            log_odds=log_odds,
            num_unread=parts[0].num_unread,
        )

    def _pooled(self, answers: Sequence[Predictions]) -> Predictions:
        logits = log_pool([one.probabilities for one in answers], self.weights)
        # Of the member that knows the smallest share of a text.
        shares = np.stack([one.num_known_tokens / one.num_tokens for one in answers])
        least, texts = shares.argmin(axis=0), np.arange(shares.shape[1])
        return Predictions(
            self.class_names,
            at_temperature(logits, self.temperature),
            num_known_tokens=np.stack([one.num_known_tokens for one in answers])[least, texts],
            num_tokens=np.stack([one.num_tokens for one in answers])[least, texts],
        )


def load_bundled(folder: Path, *, device: torch.device = _CPU) -> AnyPredictor:
    """The predictor from the bundle in a folder, of one model or of an ensemble.

    Raises:
        DataError: a file is missing, damaged or of another format.
    """
    if _read(folder).get("format") == ENSEMBLE_FORMAT:
        return EnsemblePredictor.load(folder, device=device)
    return Predictor.load(folder, device=device)


def save_ensemble(
    folder: Path,
    *,
    members: Sequence[str],
    weights: Sequence[float],
    class_names: Sequence[str],
    temperature: float,
) -> None:
    """Makes a bundle of a folder of bundles.

    Args:
        folder: has the members' bundles.
        members: names of their folders.
        weights: of the members.
        class_names: of every member.
        temperature: divides the logits of the pool.
    """
    description = {
        "format": ENSEMBLE_FORMAT,
        "class_names": list(class_names),
        "temperature": temperature,
        "members": [
            {"folder": name, "weight": weight}
            for name, weight in zip(members, weights, strict=True)
        ],
    }
    content = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / CLASSIFIER).write_text(content, encoding="utf-8")


def _read(folder: Path) -> dict[str, Any]:
    """The description of a bundle."""
    try:
        description = json.loads((folder / CLASSIFIER).read_text(encoding="utf-8"))
        if not isinstance(description, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004 (as all damage)
    except (OSError, ValueError) as error:
        raise DataError(
            f"not a usable model bundle: {first_line(error)}",
            where=str(folder),
            remedy="give the id of a finished run",
        ) from error
    return description
