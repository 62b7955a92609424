"""The calibration of clip policy auto: gradient norms of a short unclipped run."""

from __future__ import annotations

import copy
import itertools

import numpy as np

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.training.clipping import ClipChoice, choose_clip
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.step import Stepper, build_optimizer


def calibrate_clip(
    config: ExperimentConfig, model: RecurrentClassifier, feed: TrainFeed, *, group: WorkerGroup
) -> ClipChoice:
    """The run's clip value; with policy auto, measured on a copy of the model.

    Args:
        config: the experiment.
        model: is not changed.
        feed: its epoch 0, which no run trains on, provides the steps.
        group: the workers; all of them must call this.

    Raises:
        TrainingError: no step of the calibration had a finite, positive gradient norm.
    """
    training = config.training
    if training.clip.policy != "auto":
        return choose_clip(training.clip, None)
    model = copy.deepcopy(model)
    stepper = Stepper(model, build_optimizer(model, training), training, group=group)
    launched = []
    batches = itertools.islice(feed.steps(0), training.clip.calibration_steps)
    for batch in batches:
        launched.append(stepper(batch, max_norm=None, rate=training.learning_rate))
    return choose_clip(training.clip, np.array([step.result().norm for step in launched]))
