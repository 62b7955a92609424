"""The shape of the model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rnnlane.config.encoders import EncoderName
from rnnlane.config.section import (
    PositiveFloat,
    PositiveInt,
    Probability,
    Section,
)

# Of each bucket and class in training: ratio, weight, gradient and the optimizer's two moments.
_NGRAM_BYTES = 20
MAX_NGRAM_BYTES = _NGRAM_BYTES * 2**27


class NgramConfig(Section):
    """A linear classifier of n-grams beside the recurrent layers; the answer is the mean of both.

    It starts as the Naive Bayes classifier of the train split.
    """

    max_words: int = Field(
        3,
        ge=1,
        le=10,
        description="Tokens of the longest n-gram: words or, with text.tokenizer characters, "
        "characters. All shorter ones are read too, those of words without an id of their own as "
        "well.",
    )
    bits: int = Field(
        20,
        ge=4,
        le=26,
        description="n-grams are hashed into 2**bits buckets. In training they take 20 bytes for "
        "each bucket and class: 42 MB with 20 bits and two classes.",
    )
    smoothing: PositiveFloat = Field(
        10.0,
        description="Added to the counts of naive Bayes. With little, such as 1, it knows the "
        "train rows by heart, and nothing is left to learn from them.",
    )
    speed: PositiveFloat = Field(
        30.0,
        description="How many times as large the learning rate of the n-grams is as that of the "
        "rest, with adam and adamw.",
    )
    dropout: Probability = Field(
        0.5, description="Share of a text's n-grams left out, drawn again in every step."
    )

    def num_bytes(self, num_classes: int) -> int:
        """What they take in training."""
        return _NGRAM_BYTES * (1 << self.bits) * num_classes

    def too_large(self, num_classes: int) -> str | None:
        """Why so many classes make the n-grams too large; None where they do not."""
        if self.num_bytes(num_classes) <= MAX_NGRAM_BYTES:
            return None
        return (
            f"n-grams may take {MAX_NGRAM_BYTES / 1e9:.1f} GB in training, but 2**{self.bits} "
            f"buckets of {num_classes:,} classes take {self.num_bytes(num_classes) / 1e9:,.1f} GB"
        )

    @staticmethod
    def most_bits(num_classes: int) -> int:
        """The most bits with which so many classes are not too large."""
        return (MAX_NGRAM_BYTES // _NGRAM_BYTES // num_classes).bit_length() - 1


class ModelConfig(Section):
    """embedding -> recurrent layers -> pooling -> one linear layer."""

    cell: EncoderName = Field("lstm", description="Recurrent cell; rnn is tanh.")
    embedding_dim: PositiveInt = Field(96, description="Width of the embedding vectors.")
    hidden_size: PositiveInt = Field(64, description="Units of a layer, in each direction.")
    num_layers: PositiveInt = Field(1, description="Recurrent layers on top of each other.")
    bidirectional: bool = Field(False, description="Also read each text backward, from its end.")
    dropout: Probability = Field(
        0.0,
        description="Share of units dropped between recurrent layers; needs at least two layers.",
    )
    embedding_dropout: Probability = Field(
        0.0,
        description="Share of embedding dimensions dropped, the same ones at every position.",
    )
    token_dropout: Probability = Field(
        0.0,
        description="Share of a text's tokens replaced by zeros, drawn again in every step.",
    )
    head_dropout: Probability = Field(
        0.0, description="Share of the pooled features dropped before the linear layer."
    )
    pooling: Literal["last", "mean", "max"] = Field(
        "last",
        description="Input of the linear layer: the final state of each direction, or the mean or "
        "maximum of the outputs over the text.",
    )
    pretrained_vectors: str | None = Field(
        None,
        description="File of word vectors in GloVe's text format, embedding_dim numbers wide. "
        "Words missing from it keep their random initial vectors. May be compressed with gzip.",
    )
    min_vector_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="For pretrained_vectors: least share of the word occurrences in train that "
        "must have one. With fewer the file is refused: it is likely of another language or case.",
    )

    init_from: str | None = Field(
        None,
        min_length=1,
        description="A run of `rnnlane pretrain` that the model starts from: its id or the first "
        "characters of it, its name, latest, or runs:/ID. The vocabulary is that run's, and the "
        "shape and the text settings must be.",
    )
    ngrams: NgramConfig | None = Field(
        None, description="A linear classifier of n-grams beside the recurrent layers; null: none."
    )

    @property
    def has_dropout(self) -> bool:
        """Whether a training step draws random masks, beside those of n-grams."""
        shares = (self.dropout, self.embedding_dropout, self.token_dropout, self.head_dropout)
        return max(shares) > 0

    @model_validator(mode="after")
    def _starts_from_one_thing(self) -> Self:
        if self.init_from is not None and self.pretrained_vectors is not None:
            raise ValueError(
                "init_from has an embedding of its own: leave pretrained_vectors out, or init_from"
            )
        return self

    @model_validator(mode="after")
    def _dropout_needs_two_layers(self) -> Self:
        if self.dropout > 0 and self.num_layers < 2:
            raise ValueError(
                "dropout acts between layers and needs num_layers >= 2, "
                f"but got (dropout={self.dropout}, num_layers={self.num_layers})"
            )
        return self
