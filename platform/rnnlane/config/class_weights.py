"""The weights of classes in the loss, as an experiment gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from rnnlane.config.class_names import class_name


def _checked_weights(value: Any) -> Any:
    # Else a wrong value would break both rules of the union, and be told as two.
    if not isinstance(value, Mapping):
        if value not in ("none", "balanced"):
            raise ValueError(
                f"must be none, balanced or a mapping of class to weight, but got {value!r}"
            )
        return value
    weights: dict[str, float] = {}
    for key, weight in value.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        # Smaller ones are 0 in float32, and a batch whose weights sum to 0 has no mean.
        if not is_number or not 1e-6 <= weight <= 1e6:
            raise ValueError(
                f"a weight must be a number from 1e-6 to 1e6, but got {key}: {weight!r}"
            )
        name = class_name(key)
        if name in weights:
            raise ValueError(f"a class has one weight, but {name!r} got several")
        weights[name] = float(weight)
    return weights


ClassWeights = Annotated[
    Literal["none", "balanced"] | dict[str, float], BeforeValidator(_checked_weights)
]
