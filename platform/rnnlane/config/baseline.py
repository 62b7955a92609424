"""The ``baseline`` section: the linear model that recurrent ones are compared with."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rnnlane.config.section import PositiveFloat, PositiveInt, Section

# What tf-idf has where nothing else is said; the fields have what is best with nb.
_TFIDF_DEFAULTS = {"num_words": 2, "inverse_strength": 10.0}


class BaselineConfig(Section):
    """What `rnnlane baseline` fits: weighted n-grams of words -> logistic regression."""

    weighting: Literal["nb", "tfidf"] = Field(
        "nb",
        description="What an n-gram counts before the regression: its naive Bayes log-ratio, over "
        "every word of the text (Wang and Manning, 2012), or tf-idf, over the vocabulary's words.",
    )
    num_words: int = Field(
        3,
        ge=1,
        le=3,
        description="Words of the longest n-gram: 1, 2 or, with nb, 3. With tfidf the default is "
        "2.",
    )
    min_rows: PositiveInt = Field(
        2, description="Train rows that an n-gram must occur in to count."
    )
    inverse_strength: PositiveFloat = Field(
        1.0,
        description="C of the logistic regression; a smaller value regularizes more. With tfidf "
        "the default is 10.",
    )
    refit: bool = Field(
        False,
        description="After val is scored, fit once more on train and val: that model is served and "
        "tested, and the val figures stay those before.",
    )
    hash_bits: int = Field(
        22,
        ge=10,
        le=26,
        description="nb only: n-grams share 2 to the power of this many weights a class. One bit "
        "more doubles the model, and fewer n-grams share a weight.",
    )

    @model_validator(mode="before")
    @classmethod
    def _tfidf_has_defaults_of_its_own(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("weighting") == "tfidf":
            return _TFIDF_DEFAULTS | values
        return values

    @model_validator(mode="after")
    def _tfidf_has_pairs_at_most(self) -> Self:
        if self.weighting == "tfidf" and self.num_words > 2:
            raise ValueError(f"num_words must be 1 or 2 with tfidf, but got {self.num_words}")
        return self
