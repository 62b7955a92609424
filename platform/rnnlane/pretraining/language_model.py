"""Recurrent language models that share an embedding: one reads forward, another one backward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.prepare.vocabulary import PAD_ID
from rnnlane.models.classifier import EMBEDDING_STD
from rnnlane.models.recurrent import CELLS, State, run_layer

FORWARD, BACKWARD = "forward", "backward"


class Reader(nn.Module):
    """The recurrent layers of one direction, and what leads from them to the embedding's width.

    Attributes:
        rnn: holds the weights under torch's names; forget gates start open.
        projection: none if the layers are as wide as the embedding.
    """

    def __init__(self, config: ExperimentConfig):
        super().__init__()
        model = config.model
        width, hidden = model.embedding_dim, model.hidden_size
        self.rnn = CELLS[model.cell](width, hidden, num_layers=model.num_layers)
        self.projection = None if width == hidden else nn.Linear(hidden, width)
        self._dropout = config.pretraining.dropout
        if model.cell == "lstm":
            with torch.no_grad():
                for name, parameter in self.rnn.named_parameters():
                    if name.startswith("bias_ih"):
                        parameter[hidden : 2 * hidden] = 1.0

    def forward(self, embedded: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Reads on.

        Args:
            embedded: float [T, B, E].
            state: float [num_layers, state_size, B, H]; gets no gradient.

        Returns:
            What the next token is predicted by, float [T, B, E], and the new state.
        """
        steps, states = embedded, []
        for layer, weights in enumerate(self.rnn.all_weights):
            before: State = tuple(state[layer].unsqueeze(1))
            steps, after = run_layer(self.rnn, steps, weights, before)
            states.append(torch.cat(after).detach())
            steps = functional.dropout(steps, self._dropout, training=self.training)
        features = steps if self.projection is None else self.projection(steps)
        return features, torch.stack(states)


class LanguageModel(nn.Module):
    """An embedding, and a reader for each direction. The embedding is the softmax's weights too.

    The last row of the embedding is that of the separator between texts. A token's bias is the log
    of its share of the corpus and is not trained: the readers learn what differs from that.

    Attributes:
        directions: which ways texts are read.
        embedding: float [V + 1, E]; the row of padding is zero.
        readers: one for each direction.
        bias: float [V + 1]; -inf for padding, which is never predicted.
        carried: the state in which the streams were left, by direction: float [num_layers,
            state_size, B, H], over all streams where a checkpoint is written.
    """

    bias: Tensor

    def __init__(self, config: ExperimentConfig, counts: Sequence[int]):
        super().__init__()
        model = config.model
        self.embedding = nn.Embedding(len(counts), model.embedding_dim)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        with torch.no_grad():
            self.embedding.weight[PAD_ID] = 0.0
        self.directions = (FORWARD, BACKWARD) if model.bidirectional else (FORWARD,)
        self.readers = nn.ModuleList(Reader(config) for _ in self.directions)
        self._embedding_dropout = config.pretraining.embedding_dropout
        self.register_buffer("bias", torch.from_numpy(log_shares(counts)))
        num_streams = config.pretraining.global_batch_size
        for name in self.directions:
            size = 2 if model.cell == "lstm" else 1
            shape = (model.num_layers, size, num_streams, model.hidden_size)
            self.register_buffer(f"carried_{name}", torch.zeros(shape))

    def carried(self, direction: str) -> Tensor:
        """The state in which the streams of a direction were left."""
        carried: Tensor = getattr(self, f"carried_{direction}")
        return carried

    def read(self, direction: str, embedded: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Reads a piece of some streams.

        Args:
            direction: one of ``directions``.
            embedded: float [B, T, E].
            state: of these streams, float [num_layers, state_size, B, H].

        Returns:
            The features, float [T * B, E], time first, and the new state.
        """
        steps = embedded.transpose(0, 1)
        if self.training and self._embedding_dropout > 0:
            ones = steps.new_ones(1, *steps.shape[1:])  # [1, B, E]
            steps = steps * functional.dropout(ones, self._embedding_dropout)
        features, state = self.readers[self.directions.index(direction)](steps, state)
        return features.flatten(0, 1), state


def log_shares(counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """Log of each token's share, [V + 1]; a token that does not occur counts as if it did once."""
    smoothed = np.maximum(np.asarray(counts, dtype=np.float64), 1.0)
    smoothed[PAD_ID] = 0.0
    with np.errstate(divide="ignore"):
        logs: npt.NDArray[np.float32] = np.log(smoothed / smoothed.sum()).astype(np.float32)
    return logs


def build_language_model(
    config: ExperimentConfig, counts: Sequence[int], *, seed: int
) -> LanguageModel:
    """A new model on the CPU, with weights determined by the seed.

    Args:
        config: the shape, the streams and the dropout.
        counts: occurrences of each token, the separator's last: [V + 1].
        seed: in [0, 2**63).
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LanguageModel(config, counts)
