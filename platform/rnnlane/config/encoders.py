"""The registry of encoders: each value of ``model.cell`` and the class that implements it.

To add an encoder, write a subclass of :class:`rnnlane.models.encoder.Encoder` and add a line here.
It holds addresses instead of classes, because reading a config must not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

ENCODERS = {
    "rnn": "rnnlane.models.recurrent:RecurrentEncoder",
    "lstm": "rnnlane.models.recurrent:RecurrentEncoder",
    "gru": "rnnlane.models.recurrent:RecurrentEncoder",
}

if TYPE_CHECKING:
    EncoderName = str
else:
    # A Literal, for pydantic's error message and the enum in the JSON schema.
    EncoderName = Literal[tuple(ENCODERS)]
