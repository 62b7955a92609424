"""The ``inference`` section: how a trained model answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rnnlane.config.section import Section

Temperature = Annotated[float, Field(ge=0.01, le=100)]


class InferenceConfig(Section):
    """How a trained model answers."""

    temperature: Literal["fit"] | Temperature | None = Field(
        None,
        description="Divides the logits before the softmax: above 1 the model is less certain, "
        "below 1 more certain, and its labels stay the same. fit: the value with the least log "
        "loss on val. null: 1. Saved with the model; losses logged by the run are without it.",
    )
