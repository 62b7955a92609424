"""The training loop of a language model; see ``training.loop``, whose parts it shares."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from torch import Tensor

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.pretraining.corpus import Corpus, read_corpora
from rnnlane.pretraining.feed import LanguageFeed
from rnnlane.pretraining.language_model import LanguageModel, build_language_model
from rnnlane.pretraining.monitor import LanguageMonitor, epoch_record
from rnnlane.pretraining.perplexity import held_out_metrics
from rnnlane.pretraining.step import LanguageStepper
from rnnlane.records.events import RunEvents
from rnnlane.training.checkpoint import Checkpointer, copied_weights, load_checkpoint, on_host
from rnnlane.training.clipping import choose_clip
from rnnlane.training.epoch import take_steps
from rnnlane.training.group import WorkerGroup
from rnnlane.training.loop import Outcome, TrainingData, cpu_settings, is_over
from rnnlane.training.precision import served_precision, training_precision
from rnnlane.training.schedule import best_epoch
from rnnlane.training.state import TrainState
from rnnlane.training.step import build_optimizer


def run_pretraining(
    config: ExperimentConfig,
    data: TrainingData,
    *,
    group: WorkerGroup,
    events: RunEvents,
    start: Path | None = None,
) -> Outcome:
    """Trains a language model, and measures its perplexity on val after every epoch.

    Args:
        config: the experiment, whose ``training`` is :meth:`PretrainingConfig.as_training`.
        data: train and, if there are any, unlabeled texts, val, and how often each token occurs.
        group: the workers, as seen by this one.
        events: receives progress, history and checkpoints.
        start: folder of a checkpoint to resume from.

    Raises:
        TrainingError: too many non-finite steps in a row, or a checkpoint that does not fit.
        DataError, ResourceError: see :func:`read_corpora`.
    """
    with (
        cpu_settings(group),
        training_precision(config.training),
        read_corpora(data) as (texts, val),
    ):
        counts = [*data.token_counts, texts.num_texts]
        run = _Run(config, texts, val, counts=counts, group=group, events=events, start=start)
        while not is_over(config.training, run.state.history):
            run.train_epoch()
        return run.outcome()


class _Run:
    """A model and all that trains it, within a process; see :func:`run_pretraining`."""

    def __init__(
        self,
        config: ExperimentConfig,
        texts: Corpus,
        val: Corpus,
        *,
        counts: list[int],
        group: WorkerGroup,
        events: RunEvents,
        start: Path | None,
    ):
        self._config, self._group, self._events = config.training, group, events
        self._val = val.first(config.pretraining.val_tokens)
        self._model = model = _initial_model(config, counts, group)
        self._feed = LanguageFeed(
            texts,
            config.pretraining,
            counts=counts,
            seed=config.training_seed,
            num_directions=len(model.directions),
            group=group,
        )
        optimizer = build_optimizer(model, self._config)
        self.state = TrainState()
        self._best: dict[str, Tensor] | None = None
        if start is not None:
            self.state, self._best = load_checkpoint(start, model=model, optimizer=optimizer)
            events.saved(self.state.history)
            events.epoch(self.state.history)
        self.state.clip = self.state.clip or choose_clip(self._config.clip, None)
        self._stepper = LanguageStepper(
            model, optimizer, self._config, feed=self._feed, group=group
        )
        every_s = self._config.checkpoint_every_s
        self._checkpointer = Checkpointer(model, optimizer, events, every_s=every_s)

    def train_epoch(self) -> None:
        """Trains the epoch under way to its end, validates, and records it."""
        training, state, feed = self._config, self.state, self._feed
        if state.step == 0:
            self._stepper.restart_streams()
        rate, asked = self._steps()
        record = epoch_record(state, num_texts=feed.num_texts, rate=rate)
        state.end_epoch(record | _validate(self._model, self._val, self._group))
        if best_epoch(training.metric, state.history) == len(state.history) - 1:
            self._best = _without_states(copied_weights(self._model))
        if asked or is_over(training, state.history):
            # The next epoch begins without a state, so none is needed.
            self._checkpointer.save(state, self._best)
        self._events.epoch(state.history)

    def _steps(self) -> tuple[float, bool]:
        """See :func:`rnnlane.training.epoch.take_steps`."""
        training, state, feed = self._config, self.state, self._feed
        monitor = LanguageMonitor(
            state,
            training,
            num_epochs=training.epochs,
            num_steps=feed.num_steps,
            events=self._events,
        )
        return take_steps(
            self._stepper,
            feed,
            monitor=monitor,
            device=self._group.device,
            checkpointer=self._checkpointer,
            save=self._save_in_mid_epoch,
        )

    def _save_in_mid_epoch(self) -> None:
        self._stepper.store_states()
        self._checkpointer.save(self.state, self._best)

    def outcome(self) -> Outcome:
        """The result, with the weights of the best epoch."""
        state = self.state
        assert self._best is not None
        assert state.clip is not None
        return Outcome(
            history=[dict(record) for record in state.history],
            best_epoch=best_epoch(self._config.metric, state.history) + 1,
            weights=on_host(self._best),
            losses=np.array(state.losses),
            norms=np.array(state.norms),
            clip=state.clip.as_dict(),
            confusions={},
        )


def _initial_model(
    config: ExperimentConfig, counts: list[int], group: WorkerGroup
) -> LanguageModel:
    model = build_language_model(config, counts, seed=config.training_seed).to(group.device)
    for tensor in model.state_dict().values():
        group.copy_from_first_(tensor)
    return model


def _validate(model: LanguageModel, val: Corpus, group: WorkerGroup) -> dict[str, float]:
    started = time.perf_counter()
    model.eval()
    with served_precision():
        metrics = held_out_metrics(model, val, group=group)
    model.train()
    return {**metrics, "time/validation_s": time.perf_counter() - started}


def _without_states(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not name.startswith("carried_")}
