"""Where the texts come from, and how they are split."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from rnnlane.config.class_names import ClassName, normal_form
from rnnlane.config.section import (
    ColumnName,
    ColumnNameOrNone,
    ColumnNames,
    Fraction,
    PositiveInt,
    Section,
    Share,
    refuse_if,
)
from rnnlane.config.sources import AnySource


class Columns(Section):
    """The columns of a csv, jsonl or Parquet source."""

    text: ColumnNames = Field(
        "text",
        description="Column with the text to classify, or a list of columns ([title, body]) whose "
        "texts are joined by line breaks. In jsonl, body.text names a nested key.",
    )
    label: ColumnNameOrNone = Field(
        "label", description="Column with the class: text, whole numbers, true or false."
    )
    id: ColumnName | None = Field(
        None,
        description="Column with a row id; of different texts that share one, one is kept.",
    )
    group: ColumnName | None = Field(
        None,
        description="Column with what rows have in common beside their class, such as the author, "
        "the customer or the product. All rows of a group are in one split, so that val and test "
        "tell how well the model does on groups it has not seen. Rows without a value stand alone.",
    )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with the parts of the text, in their order."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        roles = (self.label, self.id, self.group)
        names = [*self.texts, *(name for name in roles if name is not None)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"text, label, id and group must be different columns, but got {twice[0]!r}"
            )
        return self


class UnlabeledColumns(Section):
    """The columns of a source of texts without labels."""

    text: ColumnNames = Field(
        "text", description="Column with the text, or a list of columns, as in data.columns.text."
    )

    @property
    def to_read(self) -> Columns:
        """What a source reads of each row: the text alone."""
        return Columns.model_construct(text=self.text, label=None)


class UnlabeledConfig(Section):
    """Texts without labels, which `rnnlane pretrain` reads along with those of train."""

    source: AnySource
    columns: UnlabeledColumns = UnlabeledColumns()

    @model_validator(mode="after")
    def _no_test_rows(self) -> Self:
        if "test_path" in self.source.locations:
            raise ValueError("unlabeled texts have no test: leave test_path out of their source")
        return self


class DataConfig(Section):
    """Where the texts come from and how they are split."""

    source: AnySource
    columns: Columns = Columns()
    unlabeled: UnlabeledConfig | None = Field(
        None,
        description="Texts without labels for `rnnlane pretrain`: a source of any kind, of which "
        "the text alone is read; of kind imdb its 50,000 unlabeled reviews. Others read it "
        "only for training.adversarial.unlabeled.",
    )
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

    feed: Literal["auto", "resident", "streaming"] = Field(
        "auto",
        description="How training reads its splits. resident: every node holds them in memory. "
        "streaming: train is read from shards while training goes on, in memory that does not grow "
        "with it; a step takes as many rows of each class as with resident. Val and test are read "
        "in pieces whenever they are scored. The texts of a language model are read from a file in "
        "each node's temporary folder. auto: resident if the splits take less than a quarter "
        "of the smallest node's memory, else streaming.",
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
                f"source must have labels, but kind {source.kind} has none; it is for "
                "data.unlabeled": not source.has_labels,
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
