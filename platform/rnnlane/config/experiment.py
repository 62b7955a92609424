"""The experiment: every key of a YAML file, its type, range, unit, default and effect.

Frozen pydantic models. They import neither torch nor ray nor mlflow, so that ``rnnlane validate``
is fast.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from rnnlane.config.baseline import BaselineConfig
from rnnlane.config.class_names import ClassName, normal_form
from rnnlane.config.class_weights import ClassWeights
from rnnlane.config.encoders import EncoderName
from rnnlane.config.inference import InferenceConfig
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.config.search import SearchConfig
from rnnlane.config.section import (
    ColumnName,
    ColumnNames,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seconds,
    Section,
    Share,
    ValMetric,
    refuse_if,
)
from rnnlane.config.sources import AnySource
from rnnlane.config.tracking import TrackingConfig
from rnnlane.config.wording import NAME_PATTERN

SAMPLE_FROM_VAL = "from_val"


class Columns(Section):
    """The columns of a csv, jsonl or Parquet source."""

    text: ColumnNames = Field(
        "text",
        description="Column with the text to classify, or a list of columns ([title, body]) whose "
        "texts are joined by line breaks. In jsonl, body.text names a nested key.",
    )
    label: ColumnName = Field(
        "label", description="Column with the class: text, whole numbers, true or false."
    )
    id: ColumnName | None = Field(
        None,
        description="Column with a row id; of different texts that share one, one is kept.",
    )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with the parts of the text, in their order."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        names = [*self.texts, self.label, *([] if self.id is None else [self.id])]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"text, label and id must be different columns, but got {twice[0]!r}")
        return self


class DataConfig(Section):
    """Where the texts come from and how they are split."""

    source: AnySource
    columns: Columns = Columns()
    classes: tuple[ClassName, ...] | None = Field(
        None,
        description="The class names, in the order of their label numbers; others are refused or "
        "dropped. Default: all labels of the rows, sorted.",
        min_length=2,
    )
    unknown_label: Literal["error", "drop"] = Field(
        "error", description="What to do with a row whose label is not among classes."
    )
    test: Literal["official"] | Fraction = Field(
        0.2,
        description="official: the source's own test split (imdb, or test_path); else the share "
        "of all rows held out for the test.",
    )
    val: Fraction = Field(0.1, description="Share of the remaining train rows held out.")
    conflicts: Literal["keep", "drop", "error"] = Field(
        "keep",
        description="Texts with several labels: keep a row for each label, on one side of the "
        "split; drop them all, which makes the test easier than the data; or refuse them.",
    )
    rare_classes: str = Field(
        "error",
        description="Classes with too few texts for every split: error, drop, or merge:NAME to "
        "make them one class.",
    )
    max_dropped: Share = Field(
        0.05,
        description="Largest share of rows that may be unusable: without text or label, empty, or "
        "with the id of another text. Data with more is refused.",
    )
    max_repaired: Share = Field(
        0.05,
        description="Largest share of texts that may hold bytes that cannot be decoded. Data with "
        "more is refused.",
    )
    max_unknown: Share = Field(
        0.6,
        description="Largest share of val words that may be missing from the vocabulary. Data with "
        "more is refused.",
    )
    max_classes: PositiveInt = Field(
        1000,
        description="Largest number of different labels. Data with more is refused, unless classes "
        "lists them.",
    )

    @field_validator("rare_classes")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        policy, _, name = value.partition(":")
        target = normal_form(name)
        if not re.fullmatch(r"error|drop|merge:.*", value) or (policy == "merge" and not target):
            raise ValueError(f"rare_classes must be error, drop or merge:NAME, but got {value!r}")
        return f"{policy}:{target}" if target else policy

    @model_validator(mode="after")
    def _official_test_exists(self) -> Self:
        source, is_official = self.source, self.test == "official"
        names = self.classes or ()
        refuse_if(
            {
                f"test: official needs a source with a test split, but got kind {source.kind} "
                "without test_path; give a fraction or test_path": is_official
                and not source.has_official_test,
                f"test_path is only read with test: official, but got test: {self.test}": (
                    not is_official and "test_path" in source.locations
                ),
                f"classes must differ, but got {list(names)}": len(set(names)) != len(names),
            }
        )
        return self


class VocabularyConfig(Section):
    """Which tokens of the train split get a number of their own."""

    max_size: int = Field(30_000, ge=3, description="Tokens kept, padding and unknown included.")
    min_count: PositiveInt = Field(2, description="Times a token must occur in train to be kept.")


_NO_STOP_WORDS = {"", "yes", "no", "on", "true", "false", "none", "null", "1", "0"}


class TextConfig(Section):
    """How a text becomes a sequence of tokens."""

    tokenizer: Literal["wordpunct", "toktok", "treebank", "nltk_word", "tweet", "characters"] = (
        Field(
            "wordpunct",
            description="An NLTK word tokenizer that needs no download, or characters. wordpunct "
            "splits off all punctuation and is the fastest; treebank, nltk_word and toktok keep a "
            "full stop inside a text attached to its word.",
        )
    )
    lowercase: bool = Field(True, description="Fold case before tokenizing.")
    strip_html: bool = Field(True, description="Replace tags by a space and resolve entities.")
    unicode_form: Literal["NFC", "NFKC", "none"] = Field(
        "NFKC", description="Unicode normal form that texts are converted to."
    )
    stop_words: str = Field(
        "off",
        description="Words left out: off, english, english_keep_negations (keeps not, no, never "
        "and the like), or the path of a file with one word a line.",
    )
    max_length: PositiveInt = Field(400, description="Tokens kept of a text; the rest is cut.")
    keep: Literal["head", "tail"] = Field(
        "head", description="Which end of a text that is too long is kept."
    )
    max_chars: PositiveInt = Field(
        100_000,
        description="Characters read of a text; a longer text is cut before cleaning, and counted.",
    )
    vocabulary: VocabularyConfig = VocabularyConfig()

    @field_validator("stop_words", mode="before")
    @classmethod
    def _says_which_words(cls, value: Any) -> Any:
        # As the path of a file, `yes` would be looked for when everything has started.
        if str(value).strip().lower() in _NO_STOP_WORDS:
            raise ValueError(
                "must be off, english, english_keep_negations or the path of a file, but got "
                f"{str(value).lower() if isinstance(value, bool) else repr(value)}"
            )
        return value

    @model_validator(mode="after")
    def _characters_have_no_stop_words(self) -> Self:
        if self.tokenizer == "characters" and self.stop_words != "off":
            raise ValueError(
                f"stop_words must be off with tokenizer characters, but got {self.stop_words!r}"
            )
        return self


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

    @property
    def has_dropout(self) -> bool:
        """Whether a training step draws random masks."""
        shares = (self.dropout, self.embedding_dropout, self.token_dropout, self.head_dropout)
        return max(shares) > 0

    @model_validator(mode="after")
    def _dropout_needs_two_layers(self) -> Self:
        if self.dropout > 0 and self.num_layers < 2:
            raise ValueError(
                "dropout acts between layers and needs num_layers >= 2, "
                f"but got (dropout={self.dropout}, num_layers={self.num_layers})"
            )
        return self


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


class TrainingConfig(Section):
    """The optimization."""

    epochs: PositiveInt = Field(12, description="Passes over the train split.")
    seed: int | None = Field(
        None,
        ge=0,
        description="Determines initial weights, batches and dropout, but not the splits; default: "
        "the experiment's seed.",
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
    class_weights: ClassWeights = Field(
        "none",
        description="Weight of a row in the loss, by its class. balanced: inverse to the class's "
        "train rows; or a mapping of class to weight, 1 for classes not named. A step's loss is "
        "the weighted mean over its rows.",
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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        workers = max(1, self.runtime.max_workers)
        per_trial = 0 if self.search is None else self.search.workers_per_trial
        batch, shards = self.training.global_batch_size, self.training.reduction_shards
        refuse_if(
            {
                "training.global_batch_size must be at least runtime.num_workers, but got "
                f"({batch}, {workers})": batch < workers,
                "training.reduction_shards must be at least runtime.num_workers, but got "
                f"({shards}, {workers})": shards is not None and shards < workers,
                "training.reduction_shards must be at least search.workers_per_trial, but got "
                f"({shards}, {per_trial})": shards is not None and shards < per_trial,
                "model.pretrained_vectors holds words and needs a word tokenizer, but got "
                "text.tokenizer characters": self.model.pretrained_vectors is not None
                and self.text.tokenizer == "characters",
                "training.precision bfloat16 needs a GPU, but got runtime.device cpu": (
                    self.training.precision == "bfloat16" and self.runtime.device == "cpu"
                ),
            }
        )
        return self
