"""The experiment: every key of a YAML file, its type, range, unit, default and effect.

Frozen pydantic models. They import neither torch nor ray nor mlflow, so that ``rnnlane validate``
answers at once.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rnnlane.config.baseline import BaselineConfig
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.config.search import SearchConfig
from rnnlane.config.section import (
    Fraction,
    Location,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Section,
    ValMetric,
)

SAMPLE_TEXT = "The movie is visually stunning and the movie is very interesting."


class ImdbSource(Section):
    """The Large Movie Review Dataset (Maas et al., ACL 2011): 50,000 reviews, two classes."""

    kind: Literal["imdb"]
    path: str | None = Field(
        None,
        description="The published archive or its extracted folder. Without it RNNLANE_IMDB is "
        "used; without that the archive is downloaded once to the user's cache and verified.",
    )


class _FileSource(Section):
    path: Location = Field(
        description="A file, a folder, a glob (data/part-*.csv) or a URI of a filesystem that "
        "pyarrow knows (s3://, gs://, hdfs://). Relative to the working directory."
    )
    test_path: Location | None = Field(
        None, description="Where the official test rows are; read the same way. For test: official."
    )


class CsvSource(_FileSource):
    """Comma-separated files with a header line."""

    kind: Literal["csv"]
    delimiter: str = Field(",", min_length=1, max_length=1, description="Separates two fields.")


class JsonlSource(_FileSource):
    """Files of one JSON object a line."""

    kind: Literal["jsonl"]


class ParquetSource(_FileSource):
    """Parquet files."""

    kind: Literal["parquet"]


class GeneratedSource(Section):
    """Made-up reviews whose sentiment depends on word order; needs no download."""

    kind: Literal["generated"]
    num_rows: int = Field(4000, ge=10, description="Reviews to make, before duplicates are merged.")
    seed: int = Field(0, ge=0, description="Fixes every review; independent of the run's seed.")
    balance: tuple[Fraction, ...] = Field(
        (0.5, 0.5),
        description="Share of each class (negative, positive); shares add up to 1.",
        min_length=2,
        max_length=2,
    )
    mean_clauses: PositiveInt = Field(
        4, description="Mean number of clauses a review has; some 7 words each."
    )

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if abs(sum(self.balance) - 1.0) > 1e-6:
            raise ValueError(f"shares must add up to 1, but got {list(self.balance)}")
        return self


Source = Annotated[
    ImdbSource | CsvSource | JsonlSource | ParquetSource | GeneratedSource,
    Field(discriminator="kind"),
]


class Columns(Section):
    """Which columns of a csv, jsonl or parquet source hold what."""

    text: str = Field("text", description="Column with the text to classify.")
    label: str = Field("label", description="Column with the class; text or whole numbers.")
    id: str | None = Field(
        None, description="Column with a row id; of rows that share one, one is kept."
    )


class DataConfig(Section):
    """Where the reviews come from and how they are split."""

    source: Source
    columns: Columns = Columns()
    classes: tuple[str, ...] | None = Field(
        None,
        description="The class names, in the order of their label numbers. Without it: all labels "
        "found, sorted. With it, a label that is not listed is refused or dropped.",
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

    @model_validator(mode="after")
    def _official_test_exists(self) -> Self:
        source = self.source
        test_path = getattr(source, "test_path", None)
        if self.test == "official" and source.kind != "imdb" and test_path is None:
            raise ValueError(
                f"test: official needs a source with a test split, but got kind {source.kind} "
                "without test_path; give a fraction or test_path"
            )
        if self.test != "official" and test_path is not None:
            raise ValueError(
                f"test_path is only read with test: official, but got test: {self.test}"
            )
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes must differ, but got {list(self.classes)}")
        return self


class VocabularyConfig(Section):
    """Which tokens of the train split get a number of their own."""

    max_size: int = Field(30_000, ge=3, description="Tokens kept, padding and unknown included.")
    min_count: PositiveInt = Field(2, description="Times a token must occur in train to be kept.")


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

    @model_validator(mode="after")
    def _characters_have_no_stop_words(self) -> Self:
        if self.tokenizer == "characters" and self.stop_words != "off":
            raise ValueError(
                f"stop_words must be off with tokenizer characters, but got {self.stop_words!r}"
            )
        return self


class ModelConfig(Section):
    """embedding -> recurrent layers -> pooling -> one linear layer."""

    cell: Literal["rnn", "lstm", "gru"] = Field("lstm", description="Recurrent cell; rnn is tanh.")
    embedding_dim: PositiveInt = Field(96, description="Numbers that stand for a token.")
    hidden_size: PositiveInt = Field(64, description="Units of a layer, in each direction.")
    num_layers: PositiveInt = Field(1, description="Recurrent layers on top of each other.")
    bidirectional: bool = Field(False, description="Also read each text from its end.")
    dropout: Probability = Field(
        0.0, description="Share of units dropped between recurrent layers; needs two layers."
    )
    embedding_dropout: Probability = Field(
        0.0, description="Share of embedding dimensions dropped, the same ones all over a text."
    )
    token_dropout: Probability = Field(
        0.0, description="Share of a text's tokens left blank, others in each step."
    )
    head_dropout: Probability = Field(
        0.0, description="Share of what pooling gives that is dropped before the linear layer."
    )
    pooling: Literal["last", "mean", "max"] = Field(
        "last",
        description="What the classifier sees: each direction's final state, or the mean or "
        "maximum of the outputs over the text.",
    )
    pretrained_vectors: str | None = Field(
        None,
        description="File of word vectors in GloVe's text format; its width must be embedding_dim. "
        "Words it lacks keep their random start.",
    )

    @property
    def has_dropout(self) -> bool:
        """Whether a step draws random masks."""
        shares = (self.dropout, self.embedding_dropout, self.token_dropout, self.head_dropout)
        return max(shares) > 0

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> Self:
        if self.dropout > 0 and self.num_layers < 2:
            raise ValueError(
                "dropout acts between layers and needs num_layers >= 2, "
                f"but got (dropout={self.dropout}, num_layers={self.num_layers})"
            )
        return self


class ClipConfig(Section):
    """Gradient clipping: the global norm is scaled down to max_norm where it is larger."""

    policy: Literal["fixed", "none", "auto"] = Field(
        "fixed", description="fixed: at max_norm. none: off. auto: measured by a trial run."
    )
    max_norm: PositiveFloat = Field(3.0, description="Largest norm let through; for policy fixed.")
    of_mean: PositiveFloat = Field(
        1.0, description="For policy auto: max_norm is so many times the mean (or percentile)."
    )
    norm_type: Literal[1, 2, "inf"] = Field(2, description="Which p-norm of the gradient.")
    statistic: Literal["mean", "percentile"] = Field(
        "mean",
        description="For policy auto: what of the trial's gradient norms becomes max_norm.",
    )
    percentile: float = Field(90.0, gt=0, le=100, description="For statistic percentile.")
    trial_steps: PositiveInt = Field(
        200, description="For policy auto: unclipped steps of the trial run, at most an epoch."
    )

    @model_validator(mode="after")
    def _multiple_is_of_a_measured_norm(self) -> Self:
        if self.of_mean != 1.0 and self.policy != "auto":
            raise ValueError(
                f"of_mean acts with policy auto, but got (of_mean={self.of_mean:g}, "
                f"policy={self.policy})"
            )
        return self


class ScheduleConfig(Section):
    """How the learning rate changes over the run."""

    kind: Literal["constant", "cosine", "plateau"] = Field(
        "constant",
        description="cosine: falls to final_factor over all steps. plateau: multiplied by factor "
        "when training.metric has not improved for patience epochs.",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps over which the rate rises from zero.")
    final_factor: float = Field(0.0, ge=0, le=1, description="For cosine: last rate / first rate.")
    factor: Fraction = Field(0.5, description="For plateau: what the rate is multiplied by.")
    patience: int = Field(1, ge=0, description="For plateau: epochs without improvement borne.")


class TrainingConfig(Section):
    """The optimisation."""

    epochs: PositiveInt = Field(12, description="Passes over the train split.")
    seed: int | None = Field(
        None,
        ge=0,
        description="Fixes first weights, batches and dropout, with the same splits; default: the "
        "experiment's seed.",
    )
    global_batch_size: PositiveInt = Field(32, description="Rows a step, over all workers.")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="Update rule.")
    learning_rate: PositiveFloat = Field(1e-3, description="First learning rate.")
    weight_decay: NonNegativeFloat = Field(0.0, description="L2 term (adam, sgd) or decay (adamw).")
    momentum: Probability = Field(0.0, description="For sgd.")
    schedule: ScheduleConfig = ScheduleConfig()
    clip: ClipConfig = ClipConfig()
    metric: ValMetric = Field(
        "val/accuracy", description="Chooses the best epoch; also for early stopping and plateau."
    )
    early_stopping: PositiveInt | None = Field(
        None, description="Stop after this many epochs without improvement of metric."
    )
    max_nonfinite_steps: PositiveInt = Field(
        10, description="Steps in a row with a non-finite loss or gradient that fail the run."
    )
    bucket_window: PositiveInt = Field(
        50, description="Batches sorted by length together; 1 turns length buckets off."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 autocast on GPUs that have it, else float32."
    )
    checkpoint_every_s: PositiveFloat = Field(
        60.0, description="Seconds between checkpoints within an epoch; each epoch's end has one."
    )


class TrackingConfig(Section):
    """The MLflow store."""

    uri: str | None = Field(
        None,
        description="MLflow store. Default: MLFLOW_TRACKING_URI, else an embedded SQLite file.",
    )
    mlflow_experiment: str = Field(
        "rnnlane", min_length=1, description="The MLflow experiment of the runs."
    )
    run_name: str | None = Field(None, description="Name of the run; default: the experiment's.")
    tags: dict[str, str] = Field(default_factory=dict, description="MLflow tags of each run.")
    system_metrics: bool = Field(True, description="Log CPU, memory, disk and network use.")
    flush_timeout_s: PositiveFloat = Field(
        60.0, description="Seconds to wait at the end for a tracking server that does not answer."
    )


class ExperimentConfig(Section):
    """One experiment: what to learn from which texts, how, where, and where to log it."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
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
    baseline: BaselineConfig = BaselineConfig()
    search: SearchConfig | None = Field(
        None, description="What `rnnlane tune` varies; other verbs ignore it."
    )
    sample_text: str = Field(
        SAMPLE_TEXT, min_length=1, description="The sentence of the confidence picture."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        workers = max(1, self.runtime.max_workers)
        if self.training.global_batch_size < workers:
            raise ValueError(
                "training.global_batch_size must be at least runtime.num_workers, but got "
                f"({self.training.global_batch_size}, {workers})"
            )
        if self.model.pretrained_vectors and self.text.tokenizer == "characters":
            raise ValueError(
                "model.pretrained_vectors holds words and needs a word tokenizer, "
                "but got text.tokenizer characters"
            )
        if self.training.precision == "bfloat16" and self.runtime.device == "cpu":
            raise ValueError("training.precision bfloat16 needs a GPU, but got runtime.device cpu")
        return self
