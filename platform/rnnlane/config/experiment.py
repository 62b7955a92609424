"""The experiment: every key of a YAML file, its type, range, unit, default and effect.

Frozen pydantic models. They import neither torch nor ray nor mlflow, so that ``rnnlane validate``
is fast.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from rnnlane.config.baseline import BaselineConfig
from rnnlane.config.data import DataConfig
from rnnlane.config.inference import InferenceConfig
from rnnlane.config.model import ModelConfig
from rnnlane.config.pretraining import PretrainingConfig
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.config.search import SearchConfig
from rnnlane.config.section import (
    LARGEST_INT,
    Section,
    refuse_if,
)
from rnnlane.config.text import TextConfig
from rnnlane.config.tracking import TrackingConfig
from rnnlane.config.training import TrainingConfig
from rnnlane.config.wording import NAME_PATTERN

SAMPLE_FROM_VAL = "from_val"


class ExperimentConfig(Section):
    """One experiment: what to learn from which texts, how, where, and where to log it."""

    name: str = Field(
        pattern=NAME_PATTERN,
        max_length=80,
        description="Names the run and its files: letters, digits, dot, dash and underscore.",
    )
    description: str = Field("", description="A sentence for people; logged with the run.")
    seed: int = Field(0, ge=0, description="Determines splits, weights, batches and dropout.")
    data: DataConfig
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    tracking: TrackingConfig = TrackingConfig()
    inference: InferenceConfig = InferenceConfig()
    baseline: BaselineConfig = BaselineConfig()
    search: SearchConfig | None = Field(
        None, description="What `rnnlane tune` varies; other verbs ignore it."
    )
    sample_text: str | None = Field(
        SAMPLE_FROM_VAL,
        min_length=1,
        description="The text whose class probabilities are plotted; from_val: a short row of the "
        "val split; null: none.",
    )

    @property
    def training_seed(self) -> int:
        """The seed of initial weights, batches and dropout."""
        return self.seed if self.training.seed is None else self.training.seed

    @property
    def training_seeds(self) -> range:
        """The seeds that ``rnnlane train`` trains with, one after the other."""
        return range(self.training_seed, self.training_seed + self.training.seeds)

    def with_seed(self, seed: int) -> ExperimentConfig:
        """The experiment with one seed of training, as if the file said so."""
        training = self.training.model_copy(update={"seed": seed, "seeds": 1})
        return self.model_copy(update={"training": training})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        workers = max(1, self.runtime.max_workers)
        per_trial = 0 if self.search is None else self.search.workers_per_trial
        batch, shards = self.training.global_batch_size, self.training.reduction_shards
        epochs, layers = self.training.epochs, self.model.num_layers
        ngrams, num_classes = self.model.ngrams, len(self.data.classes or ())
        too_large = ngrams and num_classes and ngrams.too_large(num_classes)
        refuse_if(
            {
                "training.global_batch_size must be at least runtime.num_workers, but got "
                f"({batch}, {workers})": batch < workers,
                "training.reduction_shards must be at least runtime.num_workers, but got "
                f"({shards}, {workers})": shards is not None and shards < workers,
                "training.reduction_shards must be at least search.workers_per_trial, but got "
                f"({shards}, {per_trial})": shards is not None and shards < per_trial,
                f"{too_large}: lower model.ngrams.bits": bool(too_large),
                "training.gradual_unfreezing takes an epoch for the head, one for each of "
                f"model.num_layers and one for the embedding: training.epochs must be at least "
                f"{layers + 2}, but got {epochs}": self.training.gradual_unfreezing
                and epochs < layers + 2,
                f"the last of training.seeds must be at most {LARGEST_INT}, but got "
                f"{self.training_seeds[-1]}": self.training_seeds[-1] > LARGEST_INT,
                "model.pretrained_vectors holds words and needs a word tokenizer, but got "
                "text.tokenizer characters": self.model.pretrained_vectors is not None
                and self.text.tokenizer == "characters",
                "training.adversarial.unlabeled needs data.unlabeled, but there is none": (
                    self.data.unlabeled is None and self.training.reads_unlabeled
                ),
                "training.precision bfloat16 needs a GPU, but got runtime.device cpu": (
                    self.training.precision == "bfloat16" and self.runtime.device == "cpu"
                ),
            }
        )
        return self
