"""Token ids -> embedding -> encoder -> pooling -> one linear layer -> logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlane.config.model import ModelConfig
from rnnlane.models.encoder import build_encoder
from rnnlane.models.ngrams import NgramChannel
from rnnlane.models.pooling import POOLINGS

# Torch's default of 1.0 saturates the gates: a 1-layer LSTM then needs one more epoch on IMDB.
EMBEDDING_STD = 0.1


class RecurrentBody(nn.Module):
    """Everything above the embedding.

    Separate from it, because the training loop exchanges the body's dense gradients and only the
    rows of the embedding that a batch uses.

    Attributes:
        has_dropout: whether it draws random masks when it trains.
    """

    def __init__(self, config: ModelConfig, *, num_classes: int):
        super().__init__()
        self.encoder = build_encoder(config)
        self.head = nn.Linear(self.encoder.output_size, num_classes)
        self._pool = POOLINGS[config.pooling]
        self._embedding_dropout = config.embedding_dropout
        self._token_dropout = config.token_dropout
        self._head_dropout = config.head_dropout
        self.has_dropout = config.has_dropout

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Classifies embedded rows.

        Args:
            embedded: float [B, T, E], padded on the right.
            lengths: int64 [B], each in [1, T]; on the same device.

        Returns:
            Logits, float32 [B, C].
        """
        outputs, final_state = self.encoder(self._with_input_dropout(embedded), lengths)
        features = self._pool(outputs, final_state, lengths)
        features = functional.dropout(features, self._head_dropout, training=self.training)
        logits: Tensor = self.head(features)
        return logits.float()

    def _with_input_dropout(self, embedded: Tensor) -> Tensor:
        """Drops the same embedding dimensions at every position of a row, and whole positions.

        Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural
        networks", NeurIPS 2016; Iyyer et al., "Deep unordered composition rivals syntactic methods
        for text classification", ACL 2015. One mask per row also needs 1 / T of the random numbers.
        """
        if not self.training:
            return embedded
        if self._embedding_dropout > 0:
            ones = embedded.new_ones(len(embedded), 1, embedded.shape[2])  # [B, 1, E]
            embedded = embedded * functional.dropout(ones, self._embedding_dropout)
        if self._token_dropout > 0:
            # Not scaled up: the remaining tokens keep their vectors.
            drawn = torch.rand(*embedded.shape[:2], 1, device=embedded.device)  # [B, T, 1]
            embedded = embedded * (drawn >= self._token_dropout)
        return embedded


class RecurrentClassifier(nn.Module):
    """A classifier of token sequences.

    Attributes:
        embedding: row 0 stands for padding and stays zero.
        body: see :class:`RecurrentBody`.
        ngrams: a second opinion; None without ``model.ngrams``.
    """

    def __init__(self, config: ModelConfig, *, vocabulary_size: int, num_classes: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_dim, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        with torch.no_grad():
            self.embedding.weight[0] = 0.0
        self.body = RecurrentBody(config, num_classes=num_classes)
        self.ngrams = (
            None if config.ngrams is None else NgramChannel(config.ngrams, num_classes=num_classes)
        )

    @property
    def has_dropout(self) -> bool:
        """Whether it draws random masks when it trains."""
        return self.body.has_dropout or (self.ngrams is not None and self.ngrams.has_dropout)

    def layers(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the top: head (and n-grams), encoder, embedding."""
        head = list(self.body.head.parameters())
        if self.ngrams is not None:
            head += self.ngrams.parameters()
        return [head, *reversed(self.body.encoder.layers()), list(self.embedding.parameters())]

    def forward(self, token_ids: Tensor, lengths: Tensor, ngrams: Tensor | None = None) -> Tensor:
        """Classifies rows: :func:`pooled` logits of its :meth:`parts`.

        Args:
            token_ids: int64 [B, T], in [0, vocabulary_size), padded on the right.
            lengths: int64 [B], each in [1, T]; on the same device.
            ngrams: int64 [B, G], the distinct buckets of each row's n-grams, padded with 0; for a
                model with ``ngrams``.

        Returns:
            Logits, float32 [B, C]; they depend neither on T nor on the other rows.
        """
        return pooled(self.parts(token_ids, lengths, ngrams))

    def parts(
        self, token_ids: Tensor, lengths: Tensor, ngrams: Tensor | None = None
    ) -> list[Tensor]:
        """What the body says of rows and, if there are some, what the n-grams say: see forward."""
        parts: list[Tensor] = [self.body(self.embedding(token_ids), lengths)]
        if self.ngrams is not None:
            assert ngrams is not None
            parts.append(self.ngrams(ngrams))
        return parts


def pooled(parts: Sequence[Tensor]) -> Tensor:
    """The mean of the parts' logits, [B, C]: their logarithmic opinion pool.

    Each part is trained by a loss of its own. Trained by the loss of the pool, the body would learn
    next to nothing of train rows that the n-grams, which know them almost by heart, have right.
    """
    return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0]) / len(parts)


def build_model(
    config: ModelConfig, *, vocabulary_size: int, num_classes: int, seed: int
) -> RecurrentClassifier:
    """A new model on the CPU, with weights determined by the seed.

    The weights follow torch's default initialization, except that the embedding's are ten times
    smaller and an LSTM's forget gates start open. No random generator's state changes.

    Args:
        config: the shape of the model; applying ``pretrained_vectors`` is up to the caller.
        vocabulary_size: V, padding and unknown token included.
        num_classes: C.
        seed: in [0, 2**63).
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the GPUs too, which fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        return RecurrentClassifier(config, vocabulary_size=vocabulary_size, num_classes=num_classes)
