"""The loop that everyone writes first: random batches, packed sequences, Adam, clip at 3."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnlane.config.experiment import ModelConfig
from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.tensors import Batch, BatchMaker

CPU = torch.device("cpu")
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class PlainClassifier(nn.Module):
    """embedding -> packed recurrent layers -> last state -> linear."""

    def __init__(self, config: ModelConfig, *, vocabulary_size: int):
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
        self.head = nn.Linear(directions * config.hidden_size, 2)

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


def plain_rows_per_s(
    config: ModelConfig,
    split: EncodedSplit,
    *,
    vocabulary_size: int,
    num_steps: int,
    batch_size: int = 32,
    device: torch.device = CPU,
) -> float:
    """Rows a second of the plain loop, with torch's default threads."""
    model = PlainClassifier(config, vocabulary_size=vocabulary_size).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = np.random.default_rng(0).permutation(len(split))
    make_batch = BatchMaker(split, CPU)
    started = time.perf_counter()
    for step in range(num_steps):
        rows = np.take(order, range(batch_size * step, batch_size * (step + 1)), mode="wrap")
        plain_step(model, optimizer, make_batch(rows))
    if device.type == "cuda":
        torch.cuda.synchronize()
    return batch_size * num_steps / (time.perf_counter() - started)
