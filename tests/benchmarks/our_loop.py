"""The steps of rnnlane's worker loop, taken one by one so that their parts can be timed."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.models.classifier import RecurrentClassifier, build_model
from rnnlane.models.encoder import Encoder
from rnnlane.models.recurrent import RecurrentEncoder
from rnnlane.training.feed import StepBatch, TrainFeed
from rnnlane.training.group import WorkerGroup
from rnnlane.training.in_flight import StepsInFlight, default_limit
from rnnlane.training.loop import cpu_settings
from rnnlane.training.step import Stepper, build_optimizer
from rnnlane.training.step_result import PARTS, LaunchedStep

VOCABULARY_SIZE = 30_000


def reviews(num_rows: int = 4096, *, vocabulary_size: int = VOCABULARY_SIZE) -> EncodedSplit:
    """Rows with the lengths of IMDB reviews cut at 400 tokens, and words as Zipf has them."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.35, 0.65, num_rows), 10, 400).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.minimum(random.zipf(1.2, offsets[-1]), vocabulary_size - 2) + 1
    return EncodedSplit(tokens.astype(np.int32), offsets, random.integers(0, 2, num_rows))


@dataclass
class _Steps:
    """A model about to train, and its batches."""

    model: RecurrentClassifier
    stepper: Stepper
    batches: Iterator[StepBatch]

    def launch(self, batch: StepBatch) -> LaunchedStep:
        return self.stepper(batch, max_norm=3.0, rate=1e-3)

    def take(self, batch: StepBatch) -> dict[str, float]:
        seconds = self.launch(batch).result().seconds
        return {part: seconds[part] for part in PARTS}


def _steps(group: WorkerGroup, config: ExperimentConfig, *, vocabulary_size: int) -> _Steps:
    """After one step to warm up."""
    split = reviews(vocabulary_size=vocabulary_size)
    training = config.training
    model = build_model(config.model, vocabulary_size=vocabulary_size, num_classes=2, seed=0)
    model = model.to(group.device)
    stepper = Stepper(model, build_optimizer(model, training), training, group=group)
    feed = TrainFeed(split, training, seed=0, vocabulary_size=vocabulary_size, group=group)
    endless = itertools.chain.from_iterable(feed.steps(epoch) for epoch in itertools.count(1))
    steps = _Steps(model, stepper, endless)
    steps.take(next(endless))
    return steps


def our_rows_per_s(group: WorkerGroup, config: ExperimentConfig, num_steps: int) -> float:
    """Rows a second of the worker loop's steps, over all workers."""
    with cpu_settings(group):
        steps = _steps(group, config, vocabulary_size=VOCABULARY_SIZE)
        in_flight = StepsInFlight(default_limit(group.device))
        started = time.perf_counter()
        for batch in itertools.islice(steps.batches, num_steps):
            in_flight.add(steps.launch(batch))
            in_flight.take_due()
        in_flight.take_all()
        seconds = time.perf_counter() - started
    return config.training.global_batch_size * num_steps / seconds


def step_parts(group: WorkerGroup, config: ExperimentConfig, num_steps: int) -> dict[str, float]:
    """Seconds of ``num_steps`` steps in all and by part, and of their recurrent kernels alone.

    Each step is followed by its kernels alone, so that a drift of the load falls on both.
    """
    seconds: Counter[str] = Counter()
    with cpu_settings(group):
        steps = _steps(group, config, vocabulary_size=VOCABULARY_SIZE)
        for _ in range(num_steps):
            started = time.perf_counter()
            batch = next(steps.batches)
            fed = time.perf_counter()
            seconds.update(steps.take(batch))
            ended = time.perf_counter()
            kernels = kernel_seconds(steps.model.body.encoder, batch.shards[0].inputs.positions)
            seconds.update(total=ended - started, feed=fed - started, kernels=kernels)
    return dict(seconds)


def kernel_seconds(encoder: Encoder, positions: Tensor) -> float:
    """Forward and backward of each layer and direction alone, on tensors that are there already."""
    assert isinstance(encoder, RecurrentEncoder)
    total = 0.0
    sizes = [encoder.rnn.input_size] + [encoder.output_size] * (encoder.rnn.num_layers - 1)
    directions = 2 if encoder.rnn.bidirectional else 1
    shape = positions.t().shape
    for index, weights in enumerate(encoder.rnn.all_weights):
        inputs = torch.randn(*shape, sizes[index // directions], requires_grad=True)
        gradient = torch.randn(*shape, encoder.rnn.hidden_size)
        started = time.perf_counter()
        outputs = encoder._one_direction(inputs, weights)
        torch.autograd.grad(outputs, [inputs, *weights], gradient)
        total += time.perf_counter() - started
    return total


@dataclass(frozen=True)
class _CountingGroup(WorkerGroup):
    """Counts the bytes that it is given to sum."""

    sent: list[int] = field(default_factory=list)

    def sum_(self, values: Tensor) -> Tensor:
        self.sent.append(values.numel() * values.element_size())
        return super().sum_(values)


def bytes_a_step(group: WorkerGroup, config: ExperimentConfig, vocabulary_size: int) -> float:
    """Mean bytes that a worker hands to the all-reduce in a step."""
    counting = _CountingGroup(group.rank, group.world_size, group.device)
    with cpu_settings(group):
        steps = _steps(counting, config, vocabulary_size=vocabulary_size)
        for batch in itertools.islice(steps.batches, 5):
            steps.take(batch)
    return float(np.mean(counting.sent))
