"""The language model of `rnnlane pretrain`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rnnlane.config.section import (
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seconds,
    Section,
)
from rnnlane.config.training import ClipConfig, ScheduleConfig, TrainingConfig


class PretrainingConfig(Section):
    """How `rnnlane pretrain` trains a language model of the shape of ``model``."""

    epochs: PositiveInt = Field(1, description="Passes over the texts.")
    global_batch_size: PositiveInt = Field(
        64, description="Streams that are read at once, over all workers."
    )
    bptt: PositiveInt = Field(
        35,
        description="Tokens of each stream in a step: how far back gradients reach. The state is "
        "carried on from step to step.",
    )
    softmax: Literal["auto", "full", "sampled"] = Field(
        "auto",
        description="full: a step's loss is over the whole vocabulary. sampled: over num_sampled "
        "tokens drawn for the step, which takes a tenth of the time with 20,000 words. auto: "
        "sampled if the vocabulary has more than 4 times num_sampled tokens. Perplexity is always "
        "over the whole vocabulary.",
    )
    num_sampled: PositiveInt = Field(1024, description="For softmax sampled: tokens drawn a step.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="Update rule.")
    learning_rate: PositiveFloat = Field(2e-3, description="First learning rate.")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 term (adam, sgd) or decay (adamw).")
    schedule: ScheduleConfig = ScheduleConfig(kind="cosine")
    max_norm: PositiveFloat | None = Field(
        1.0, description="A gradient of a larger norm is scaled down to it. null: none is."
    )
    embedding_dropout: Probability = Field(
        0.1, description="Share of embedding dimensions dropped, the same ones in a whole step."
    )
    dropout: Probability = Field(0.1, description="Share of the units dropped after each layer.")
    early_stopping: PositiveInt | None = Field(
        None, description="Stop after this many epochs without a lower val/loss."
    )
    val_tokens: PositiveInt = Field(
        100_000, description="Tokens of val on which perplexity is measured, at most."
    )
    checkpoint_every_s: Seconds = Field(60.0, description="As in training.")

    def as_training(self) -> TrainingConfig:
        """The optimization of the language model, in the terms of that of a classifier."""
        norm = self.max_norm
        return TrainingConfig(
            epochs=self.epochs,
            global_batch_size=self.global_batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            clip=ClipConfig(policy="none") if norm is None else ClipConfig(max_norm=norm),
            metric="val/loss",
            early_stopping=self.early_stopping,
            checkpoint_every_s=self.checkpoint_every_s,
        )

    def is_sampled(self, vocabulary_size: int) -> bool:
        """Whether a step's loss is over a sample of the vocabulary."""
        if self.softmax == "auto":
            return vocabulary_size > 4 * self.num_sampled
        return self.softmax == "sampled"
