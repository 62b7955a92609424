"""What the report of a run is about, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.prepare.prepared import Manifest
from rnnlane.inference.calibration import (
    Bin,
    TemperatureChoice,
    expected_calibration_error,
    reliability,
    tempered,
)
from rnnlane.records.predictions import Predictions
from rnnlane.reports.verdict import verdict

MAX_MISTAKES = 10


@dataclass(frozen=True)
class Mistake:
    """A row that is classified wrongly.

    Attributes:
        text: of the row, or an excerpt of it.
        true: its class.
        predicted: the class that it got.
        confidence: the probability of that class.
    """

    text: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class LinearScores:
    """What the linear baseline reaches on the same data.

    Attributes:
        metrics: ``val/accuracy``, ``test/accuracy``, ``test/macro_f1`` and others.
        origin: where they come from, in a few words.
        weighting: ``baseline.weighting``.
    """

    metrics: Mapping[str, float]
    origin: str
    weighting: Literal["nb", "tfidf"] = "nb"

    @property
    def kind(self) -> str:
        """What the model is."""
        weighted = {"nb": "naive Bayes log-ratios", "tfidf": "TF-IDF"}[self.weighting]
        return f"{weighted} and logistic regression"


@dataclass(frozen=True)
class RunFacts:
    """What the report of a run is about.

    Attributes:
        config: the experiment.
        manifest: of its prepared data.
        metrics: of the model: ``val/accuracy``, ``test/accuracy``, ``test/macro_f1`` and others.
        confusions: counts of (true, predicted) on val and test, by split: int64 [C, C].
        predictions: on val and test, by split, with temperature 1.
        temperature: the one of the model, and the one that fits val best.
        mistakes: on val, the most confident ones first.
        history: a record for each epoch; empty for a model that is not trained by epochs.
        best_epoch: the epoch, from 1, that the model is of, or how many a refit had.
        refit: a record for each epoch of the refit on train and val, if there was one. The model
            and its test figures are then the refit's, and what is of val is of the best epoch.
        clip: max_norm, reason and clipped_fraction; empty without training by epochs.
        linear: what the linear baseline reaches; None if that is not known.
        members: of an ensemble, as in ``EnsembleResult.members``; else empty.
        sample: the answer to the sample text; None if the experiment has none.
    """

    config: ExperimentConfig
    manifest: Manifest
    metrics: Mapping[str, float]
    confusions: Mapping[str, npt.NDArray[np.int64]]
    predictions: Mapping[str, Predictions]
    temperature: TemperatureChoice
    mistakes: Sequence[Mistake] = ()
    history: Sequence[Mapping[str, float]] = ()
    best_epoch: int = 1
    refit: Sequence[Mapping[str, float]] = ()
    clip: Mapping[str, Any] = field(default_factory=dict)
    linear: LinearScores | None = None
    members: Sequence[Mapping[str, Any]] = ()
    sample: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """What made the model."""
        if self.members:
            return "Ensemble"
        return "Training run" if self.history else "Linear baseline"

    @property
    def is_refitted(self) -> bool:
        """Whether the model has learned from val as well, and what is told of val is older."""
        if self.kind == "Linear baseline":
            return self.config.baseline.refit
        return bool(self.refit)

    @property
    def class_names(self) -> tuple[str, ...]:
        """By label."""
        return self.manifest.class_names

    @property
    def verdict(self) -> str | None:
        """Why nobody should use the model; None if there is no such reason."""
        return verdict(
            self.history,
            best_epoch=self.best_epoch,
            refit=self.refit,
            confusion=self.confusions["test"],
            class_names=self.class_names,
        )

    @cached_property
    def calibration(self) -> dict[float, list[Bin]]:
        """The bins on test without temperature, with the model's, and with the fitted one."""
        of_test = self.predictions["test"]
        temperatures = {1.0, *(one for one in self.temperature if one is not None)}
        return {
            one: reliability(tempered(of_test, one).probabilities, of_test.labels)
            for one in temperatures
        }

    def calibration_error(self, temperature: float) -> float:
        """The expected calibration error on test at one of those temperatures."""
        return expected_calibration_error(self.calibration[temperature])


def most_confident_mistakes(predictions: Predictions) -> npt.NDArray[np.int64]:
    """The rows that are classified wrongly with the highest probability, at most 10, best first."""
    confidence = np.nan_to_num(predictions.probabilities.max(axis=1, initial=0.0), nan=-1.0)
    wrong = np.flatnonzero(~predictions.is_right)
    order = np.argsort(-confidence[wrong], kind="stable")
    return wrong[order[:MAX_MISTAKES]]
