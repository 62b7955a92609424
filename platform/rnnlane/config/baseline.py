"""The ``baseline`` section: the linear model that recurrent ones are compared with."""

from __future__ import annotations

from pydantic import Field

from rnnlane.config.section import PositiveFloat, PositiveInt, Section


class BaselineConfig(Section):
    """What `rnnlane baseline` fits: TF-IDF of n-grams -> logistic regression."""

    num_words: int = Field(
        2, ge=1, le=2, description="Words of the longest n-gram: 1, or 2 to include pairs."
    )
    min_rows: PositiveInt = Field(
        2, description="Train rows that an n-gram must occur in to count."
    )
    inverse_strength: PositiveFloat = Field(
        10.0, description="C of the logistic regression; a smaller value regularizes more."
    )
