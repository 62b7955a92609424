"""The calibration of clip policy auto: gradient norms of a short unclipped run."""

from __future__ import annotations

import copy
import itertools
import math
import time

import numpy as np

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.training.clipping import ClipChoice, choose_clip
from rnnlane.training.feed import TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.monitor import PROGRESS_EVERY_S
from rnnlane.training.step import Stepper, build_optimizer


def calibrate_clip(
    config: ExperimentConfig,
    model: RecurrentClassifier,
    feed: TrainFeed,
    *,
    group: WorkerGroup,
    events: RunEvents,
) -> ClipChoice:
    """The run's clip value; with policy auto, measured on a copy of the model.

    Args:
        config: the experiment.
        model: is not changed.
        feed: its epoch 0, which no run trains on, provides the steps.
        group: the workers; all of them must call this.
        events: receives the progress.

    Raises:
        TrainingError: no step of the calibration had a finite, positive gradient norm.
    """
    training = config.training
    if training.clip.policy != "auto":
        return choose_clip(training.clip, None)
    model = copy.deepcopy(model)
    stepper = Stepper(model, build_optimizer(model, training), training, group=group)
    # Of all layers, frozen ones too: the value is for the whole run.
    stepper.begin_epoch(training.epochs)
    launched = []
    batches = itertools.islice(feed.steps(0), training.clip.calibration_steps)
    total, reported_at = min(training.clip.calibration_steps, feed.num_steps), -math.inf
    for done, batch in enumerate(batches):
        if time.perf_counter() - reported_at > PROGRESS_EVERY_S:
            events.progress(Progress("calibrating the clip value", done, total, unit="steps"))
            reported_at = time.perf_counter()
        launched.append(stepper(batch, max_norm=None, rate=training.learning_rate))
    return choose_clip(training.clip, np.array([step.result().norm for step in launched]))
