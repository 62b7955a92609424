"""The loop that everyone writes first: random batches, packed sequences, Adam, clip at 3."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnlane.config.model import ModelConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import Batch, BatchMaker

CPU = torch.device("cpu")
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class PlainClassifier(nn.Module):
    """embedding -> packed recurrent layers -> last state -> linear."""

    def __init__(self, config: ModelConfig, *, vocabulary_size: int, num_classes: int = 2):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_dim, padding_idx=0)
        self.rnn = CELLS[config.cell](
            config.embedding_dim,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            batch_first=True,
        )
        directions = 2 if config.bidirectional else 1
        self.head = nn.Linear(directions * config.hidden_size, num_classes)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.embedding(token_ids), lengths, batch_first=True, enforce_sorted=False
        )
        _, state = self.rnn(packed)
        hidden = state[0] if isinstance(state, tuple) else state  # [layers * directions, B, H]
        last = hidden[-2:] if self.rnn.bidirectional else hidden[-1:]
        return self.head(torch.cat(list(last), dim=1))


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad()
    device = next(model.parameters()).device
    logits = model(batch.token_ids.to(device), batch.lengths)
    nn.functional.cross_entropy(logits, batch.labels.to(device)).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 3.0)
    optimizer.step()


class PlainLoop:
    """A model about to train, and its batches without end; torch's default threads."""

    def __init__(
        self,
        config: ModelConfig,
        split: EncodedSplit,
        *,
        vocabulary_size: int,
        batch_size: int = 32,
        device: torch.device = CPU,
    ):
        self._model = PlainClassifier(config, vocabulary_size=vocabulary_size).to(device)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=1e-3)
        self._order = np.random.default_rng(0).permutation(len(split))
        self._make_batch = BatchMaker(split, CPU)
        self._batch_size, self._device = batch_size, device
        self._step = 0

    def rows_per_s(self, *, num_steps: int | None = None, seconds: float = math.inf) -> float:
        """Of as many steps as asked for or as begin in some seconds."""
        taken, started = 0, time.perf_counter()
        while taken != num_steps and time.perf_counter() - started < seconds:
            first = self._batch_size * self._step
            rows = np.take(self._order, range(first, first + self._batch_size), mode="wrap")
            plain_step(self._model, self._optimizer, self._make_batch(rows))
            self._step += 1
            taken += 1
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return self._batch_size * taken / (time.perf_counter() - started)


def plain_rows_per_s(
    config: ModelConfig, split: EncodedSplit, *, vocabulary_size: int, num_steps: int
) -> float:
    """Rows a second of the plain loop on the CPU."""
    loop = PlainLoop(config, split, vocabulary_size=vocabulary_size)
    return loop.rows_per_s(num_steps=num_steps)
