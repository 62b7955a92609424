"""The ``baseline`` section: the linear model that recurrent ones are held against."""

from __future__ import annotations

from pydantic import Field

from rnnlane.config.section import PositiveFloat, PositiveInt, Section


class BaselineConfig(Section):
    """What `rnnlane baseline` fits: TF-IDF of n-grams -> logistic regression."""

    num_words: int = Field(
        2, ge=1, le=2, description="Words of the longest n-gram: 1, or 2 for pairs as well."
    )
    min_rows: PositiveInt = Field(2, description="Train rows an n-gram must stand in to count.")
    inverse_strength: PositiveFloat = Field(
        10.0, description="C of the logistic regression; smaller holds the weights down more."
    )
