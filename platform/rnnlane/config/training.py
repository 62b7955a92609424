"""The optimization: steps, clipping, learning rate, checkpoints."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rnnlane.config.class_weights import ClassWeights
from rnnlane.config.section import (
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seconds,
    Section,
    ValMetric,
)


class ClipConfig(Section):
    """Gradient clipping: a gradient whose global norm exceeds max_norm is scaled down to it."""

    policy: Literal["fixed", "none", "auto"] = Field(
        "fixed",
        description="fixed: clip at max_norm. none: off. auto: clip at a value measured in a "
        "short calibration before the first epoch.",
    )
    max_norm: PositiveFloat = Field(3.0, description="For policy fixed: largest norm allowed.")
    of_mean: PositiveFloat = Field(
        1.0,
        description="For policy auto: max_norm is this multiple of the statistic.",
    )
    norm_type: Literal[1, 2, "inf"] = Field(2, description="Which p-norm of the gradient.")
    statistic: Literal["mean", "percentile"] = Field(
        "mean",
        description="For policy auto: statistic of the calibration's gradient norms.",
    )
    percentile: float = Field(90.0, gt=0, le=100, description="For statistic percentile.")
    calibration_steps: PositiveInt = Field(
        200,
        description="For policy auto: unclipped steps of the calibration, at most one epoch.",
    )

    @model_validator(mode="after")
    def _of_mean_needs_policy_auto(self) -> Self:
        if self.of_mean != 1.0 and self.policy != "auto":
            raise ValueError(
                f"of_mean needs policy auto, but got (of_mean={self.of_mean:g}, "
                f"policy={self.policy})"
            )
        return self


class ScheduleConfig(Section):
    """How the learning rate changes during the run."""

    kind: Literal["constant", "cosine", "plateau"] = Field(
        "constant",
        description="cosine: falls to final_factor over all steps. plateau: multiplied by factor "
        "when training.metric has not improved for more than patience epochs.",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps over which the rate rises from zero.")
    final_factor: float = Field(0.0, ge=0, le=1, description="For cosine: last rate / first rate.")
    factor: Fraction = Field(0.5, description="For plateau: factor of each reduction.")
    patience: int = Field(1, ge=0, description="For plateau: epochs without improvement tolerated.")


class AdversarialConfig(Section):
    """A second loss of each step, of texts whose embedding is changed to mislead the model most.

    Miyato, Dai, Goodfellow, ICLR 2017. A step takes twice (plain) or three times (virtual) as long.
    """

    kind: Literal["virtual", "plain"] = Field(
        "virtual",
        description="virtual: the change that changes the answer most; the loss is its divergence "
        "from the answer to the unchanged text. plain: the change that raises the loss most; the "
        "loss is again that of the label.",
    )
    epsilon: PositiveFloat = Field(
        5.0,
        description="Length of the change of a whole text, where 1 is the root mean square of the "
        "embedding's numbers.",
    )
    weight: PositiveFloat = Field(1.0, description="Of the second loss, beside the first one.")
    unlabeled: int = Field(
        0,
        ge=0,
        description="For kind virtual: texts of data.unlabeled in each step, over all workers, "
        "which take part in the second loss alone; they are held in memory.",
    )

    @model_validator(mode="after")
    def _labels_are_needed(self) -> Self:
        if self.unlabeled and self.kind != "virtual":
            raise ValueError(
                f"unlabeled must be 0 with kind {self.kind}, whose loss is that of the label, but "
                f"got {self.unlabeled}"
            )
        return self


class TrainingConfig(Section):
    """The optimization."""

    epochs: PositiveInt = Field(12, description="Passes over the train split.")
    seed: int | None = Field(
        None,
        ge=0,
        description="Determines initial weights, batches and dropout, but not the splits; default: "
        "the experiment's seed.",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=100,
        description="`rnnlane train` trains with so many seeds, this one and those that follow it, "
        "on the same splits, and gives the mean and the spread of their metrics: one run with a "
        "child run for each seed. Other verbs ignore it.",
    )
    global_batch_size: PositiveInt = Field(32, description="Rows per step, over all workers.")
    reduction_shards: PositiveInt | None = Field(
        None,
        description="Cut each batch into this many parts, a power of two such as 4 and at least "
        "num_workers, whose gradients are summed in one order: on CPUs of one kind, the result is "
        "then bit for bit the same for any number of workers. More parts are slower. null: one "
        "part per worker.",
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="Update rule.")
    learning_rate: PositiveFloat = Field(1e-3, description="First learning rate.")
    layer_rate_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Each layer's learning rate is that of the layer above times this: from the "
        "head, which has learning_rate, down to the embedding. For a model that starts from "
        "another, such as 0.4.",
    )
    gradual_unfreezing: bool = Field(
        False,
        description="The first epoch trains the head alone (and n-grams), and each epoch one more "
        "layer below it, the embedding last. For a model that starts from another.",
    )
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 term (adam, sgd) or decay (adamw).")
    momentum: Probability = Field(0.0, description="For sgd.")
    schedule: ScheduleConfig = ScheduleConfig()
    clip: ClipConfig = ClipConfig()
    metric: ValMetric = Field(
        "val/accuracy",
        description="Selects the best epoch; also used by early stopping and plateau.",
    )
    early_stopping: PositiveInt | None = Field(
        None, description="Stop after this many epochs without improvement of metric."
    )
    refit: bool = Field(
        False,
        description="Once the best epoch is known, train again from the initial weights on train "
        "and val, for as many epochs and with the same rates; test and serve that model. The val "
        "figures stay those of the first training. Trials of a search are not refitted.",
    )
    class_weights: ClassWeights = Field(
        "none",
        description="Weight of a row in the loss, by its class. balanced: inverse to the class's "
        "train rows; or a mapping of class to weight, 1 for classes not named. A step's loss is "
        "the weighted mean over its rows.",
    )
    label_smoothing: Probability = Field(
        0.0,
        description="Share of a row's target in the train loss that is spread evenly over all "
        "classes, such as 0.1. train/loss is then the smoothed loss; those of val and test are "
        "not smoothed.",
    )
    adversarial: AdversarialConfig | None = Field(
        None,
        description="A second loss of texts whose embedding is changed to mislead the model most; "
        "train/loss is without it. null: none.",
    )
    ema: Fraction | None = Field(
        None,
        description="Decay of an exponential moving average of the weights, such as 0.999. The "
        "average is what is validated, tested and served; training goes on with the weights "
        "themselves. Step t has at most the decay (1 + t) / (10 + t). null: no average.",
    )
    max_nonfinite_steps: PositiveInt = Field(
        10,
        description="Consecutive steps with a non-finite loss or gradient that make the run fail.",
    )
    bucket_window: PositiveInt = Field(
        50,
        description="Batches are made within groups of rows of similar length; at most this many "
        "groups. 1: batches in random order, which take more padding.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of a training step on a GPU; CPUs compute in float32. auto: float32, with the "
        "products of recurrent layers in TF32 where the GPU has it. float32: without TF32. "
        "bfloat16: autocast, which is slow: 3 bidirectional LSTM layers took 56 ms for 32 rows, "
        "but 3.2 ms with auto. Val and test are scored in float32, as the model is served.",
    )
    cuda_graphs: bool = Field(
        False,
        description="Capture each shape of a training step once as CUDA graphs, which launch all "
        "its kernels at once; where that fails, steps run without. Not yet proven on a GPU; a CPU "
        "has no use for it.",
    )
    checkpoint_every_s: Seconds = Field(
        60.0,
        description="Most seconds between checkpoints, to within a step. An epoch ends with "
        "one too, unless they would take more than 5% of the time; the last epoch always does.",
    )

    @model_validator(mode="after")
    def _shards_are_added_in_pairs(self) -> Self:
        shards = self.reduction_shards
        if shards is not None and shards & (shards - 1):
            raise ValueError(f"reduction_shards must be a power of two, but got {shards}")
        return self

    @property
    def reads_unlabeled(self) -> bool:
        """Whether a step has texts without labels."""
        return self.adversarial is not None and self.adversarial.unlabeled > 0
