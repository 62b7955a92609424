"""The steps of rnnlane's worker loop, taken one by one so that their parts can be timed."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rnnlane.config import ExperimentConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.streamed import StreamedSplit
from rnnlane.models.classifier import build_model
from rnnlane.models.encoder import Encoder
from rnnlane.models.recurrent import RecurrentEncoder
from rnnlane.training.feed import StepBatch, TrainFeed
from rnnlane.training.graphs import graphs_for
from rnnlane.training.group import WorkerGroup
from rnnlane.training.in_flight import StepsInFlight, default_limit
from rnnlane.training.loop import cpu_settings
from rnnlane.training.precision import training_precision
from rnnlane.training.step import Stepper, build_optimizer
from rnnlane.training.step_result import PARTS, LaunchedStep
from support.events import Remembered

VOCABULARY_SIZE = 30_000


def reviews(num_rows: int = 4096, *, vocabulary_size: int = VOCABULARY_SIZE) -> EncodedSplit:
    """Rows with the lengths of IMDB reviews cut at 400 tokens, and words as Zipf has them."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.35, 0.65, num_rows), 10, 400).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.minimum(random.zipf(1.2, offsets[-1]), vocabulary_size - 2) + 1
    return EncodedSplit(tokens.astype(np.int32), offsets, random.integers(0, 2, num_rows))


class OurLoop:
    """A model about to train, and its batches without end; one step has warmed it up.

    Attributes:
        num_steps: of an epoch.
        notes: what a person would be told.
    """

    def __init__(
        self,
        group: WorkerGroup,
        config: ExperimentConfig,
        *,
        split: EncodedSplit | StreamedSplit,
        vocabulary_size: int = VOCABULARY_SIZE,
    ):
        self.group, self.config = group, config
        model = build_model(config.model, vocabulary_size=vocabulary_size, num_classes=2, seed=0)
        self.model = model.to(group.device)
        optimizer = build_optimizer(self.model, config.training)
        events = Remembered()
        graphs = graphs_for(config.training, group.device, events)
        self.notes = events.notes
        self._stepper = Stepper(self.model, optimizer, config.training, group=group, graphs=graphs)
        self._feed_of = functools.partial(
            TrainFeed, split, config.training, seed=0, vocabulary_size=vocabulary_size, group=group
        )
        self.num_steps = self._feed_of().num_steps
        self.batches = self.feed_alone()
        self.rows_per_s(num_steps=1)

    def feed_alone(self) -> Iterator[StepBatch]:
        """Batches without end, of a feed of their own."""
        feed = self._feed_of()
        return itertools.chain.from_iterable(feed.steps(epoch) for epoch in itertools.count(1))

    def launch(self, batch: StepBatch) -> LaunchedStep:
        return self._stepper(batch, max_norm=3.0, rate=1e-3)

    def take(self, batch: StepBatch) -> dict[str, float]:
        seconds = self.launch(batch).result().seconds
        return {part: seconds[part] for part in PARTS}

    def rows_per_s(self, *, num_steps: int | None = None, seconds: float = math.inf) -> float:
        """Over all workers, of as many steps as asked for or as begin in some seconds."""
        taken = 0
        with cpu_settings(self.group), training_precision(self.config.training):
            in_flight = StepsInFlight(default_limit(self.group.device))
            started = time.perf_counter()
            for batch in itertools.islice(self.batches, num_steps):
                in_flight.add(self.launch(batch))
                in_flight.take_due()
                taken += 1
                if time.perf_counter() - started >= seconds:
                    break
            in_flight.take_all()
            took = time.perf_counter() - started
        return self.config.training.global_batch_size * taken / took


def our_rows_per_s(group: WorkerGroup, config: ExperimentConfig, num_steps: int) -> float:
    """Rows a second of the worker loop's steps, over all workers."""
    return OurLoop(group, config, split=reviews()).rows_per_s(num_steps=num_steps)


def step_parts(group: WorkerGroup, config: ExperimentConfig, num_steps: int) -> dict[str, float]:
    """Seconds of ``num_steps`` steps in all and by part, and of their recurrent kernels alone.

    Each step is followed by its kernels alone, so that a drift of the load falls on both.
    """
    seconds: Counter[str] = Counter()
    loop = OurLoop(group, config, split=reviews())
    with cpu_settings(group):
        for _ in range(num_steps):
            started = time.perf_counter()
            batch = next(loop.batches)
            fed = time.perf_counter()
            seconds.update(loop.take(batch))
            ended = time.perf_counter()
            kernels = kernel_seconds(loop.model.body.encoder, batch.shards[0].inputs.positions)
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
    split = reviews(vocabulary_size=vocabulary_size)
    loop = OurLoop(counting, config, split=split, vocabulary_size=vocabulary_size)
    with cpu_settings(group):
        for batch in itertools.islice(loop.batches, 5):
            loop.take(batch)
    return float(np.mean(counting.sent))
