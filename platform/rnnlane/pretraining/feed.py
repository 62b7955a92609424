"""What each step of a language model reads: the next piece of all streams, in each direction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rnnlane.config.pretraining import PretrainingConfig
from rnnlane.data.prepare.vocabulary import PAD_ID
from rnnlane.pretraining.corpus import Corpus
from rnnlane.pretraining.softmax import Sampler
from rnnlane.pretraining.streams import StreamPiece, Streams, text_order
from rnnlane.training.active_rows import ActiveRowIndex
from rnnlane.training.group import WorkerGroup

# Beside seed, epoch and step: what a random draw is for.
_SAMPLES, _DROPOUT = 1, 2


@dataclass(frozen=True)
class Piece:
    """This worker's part of the next tokens of a direction; B streams, T positions.

    Attributes:
        inputs: int64 [B, T], positions among the step's ids.
        targets: int64 [T * B], time first, positions among the ids.
        weights: float32 [T * B], 1 for a token and 0 for padding.
        samples: int64 [K], positions among the ids; None if the loss is over all of them.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    samples: Tensor | None


@dataclass(frozen=True)
class LanguageStep:
    """One step.

    Attributes:
        ids: int64 [U], sorted: the rows of the table that any worker uses; padding first.
        pieces: by direction.
        num_tokens: tokens that all workers predict, in all directions.
        dropout_seed: of this worker's masks.
        data_s: seconds that making it took.
    """

    ids: Tensor
    pieces: tuple[Piece, ...]
    num_tokens: int
    dropout_seed: int
    data_s: float


class LanguageFeed:
    """The steps of each epoch. Every worker knows the streams of all, so it asks none of them.

    Args:
        corpus: the texts.
        config: streams, and tokens a step.
        counts: occurrences of each token, the separator's last: [V + 1].
        seed: of the order of the texts, of samples and of dropout.
        num_directions: 1, or 2 to read backward as well.
        group: the workers.
    """

    def __init__(
        self,
        corpus: Corpus,
        config: PretrainingConfig,
        *,
        counts: Sequence[int],
        seed: int,
        num_directions: int,
        group: WorkerGroup,
    ):
        self._corpus, self._config = corpus, config
        self._separator = len(counts) - 1
        self._seed, self._num_directions, self._group = seed, num_directions, group
        self._index = ActiveRowIndex(len(counts))
        self.sampler = Sampler(counts) if config.is_sampled(len(counts)) else None
        self.own = slice(group.rank, None, group.world_size)

    @property
    def num_sampled(self) -> int:
        """Tokens that are drawn for each direction of a step."""
        return self._config.num_sampled

    @property
    def num_steps(self) -> int:
        """Of an epoch."""
        length = -(-self._corpus.num_tokens // self._config.global_batch_size)
        return -(-length // self._config.bptt)

    @property
    def num_texts(self) -> int:
        """Of an epoch."""
        return self._corpus.num_texts

    def streams(self, epoch: int) -> list[Streams]:
        """Of an epoch, by direction."""
        order = text_order(self._corpus.num_texts, seed=self._seed, epoch=epoch)
        return [
            Streams(
                self._corpus,
                self._config.global_batch_size,
                order=order,
                separator=self._separator,
                backward=backward,
            )
            for backward in (False, True)[: self._num_directions]
        ]

    def steps(self, epoch: int, *, start: int = 0) -> Iterator[LanguageStep]:
        """The steps of an epoch, from one of them on."""
        read = [one.pieces(self._config.bptt, start=start) for one in self.streams(epoch)]
        for step, pieces in enumerate(zip(*read, strict=True), start=start):
            yield self._step(pieces, (self._seed, epoch, step))

    def _step(self, pieces: Sequence[StreamPiece], at: tuple[int, int, int]) -> LanguageStep:
        started = time.perf_counter()
        samples: list[npt.NDArray[np.int64]] = []
        if self.sampler is not None:
            size = self._config.num_sampled
            samples = [
                self.sampler.draw(size, (*at, _SAMPLES, number)) for number in range(len(pieces))
            ]
            used = [tokens.ravel() for piece in pieces for tokens in piece]
            ids = self._index.find(np.concatenate([[self._separator], *used, *samples]))
        else:
            ids = self._index.find(np.arange(self._separator + 1))
        entropy = np.random.SeedSequence((*at, _DROPOUT, self._group.rank))
        return LanguageStep(
            ids=self._tensor(ids),
            pieces=tuple(
                self._piece(piece, samples[number] if samples else None)
                for number, piece in enumerate(pieces)
            ),
            num_tokens=sum(int(np.count_nonzero(piece.targets)) for piece in pieces),
            dropout_seed=int(entropy.generate_state(1, np.uint64)[0]),
            data_s=time.perf_counter() - started,
        )

    def _piece(self, piece: StreamPiece, samples: npt.NDArray[np.int64] | None) -> Piece:
        targets = piece.targets[self.own].T.ravel()
        is_token = targets != PAD_ID
        # Padding has no probability; in its place any other token does, as it has no weight.
        targets = np.where(is_token, targets, self._separator)
        return Piece(
            inputs=self._tensor(self._index.positions(piece.inputs[self.own])),
            targets=self._tensor(self._index.positions(targets)),
            weights=self._tensor(is_token.astype(np.float32)),
            samples=None if samples is None else self._tensor(self._index.positions(samples)),
        )

    def _tensor(self, values: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._group.device)
