"""A classifier that starts from a language model's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rnnlane.models.classifier import RecurrentClassifier
from rnnlane.models.recurrent import RecurrentEncoder


@torch.no_grad()
def apply_pretrained(model: RecurrentClassifier, weights: Mapping[str, Tensor]) -> None:
    """Starts a classifier's embedding and recurrent layers with those of a language model.

    Both directions of a layer above the first read both directions of the layer below. What a
    direction of the language model has not read begins with weights of zero, so that each direction
    computes what it did there.

    Args:
        model: of the language model's shape and vocabulary.
        weights: ``embedding.weight`` [at least V, E], and ``readers.N.rnn...`` of each direction.
    """
    table = model.embedding.weight
    table.copy_(weights["embedding.weight"][: len(table)])
    table[0] = 0.0
    encoder = model.body.encoder
    assert isinstance(encoder, RecurrentEncoder)
    rnn: nn.RNNBase = encoder.rnn
    for number in range(2 if rnn.bidirectional else 1):
        suffix = "_reverse" if number else ""
        for name, parameter in rnn.named_parameters():
            if name.endswith("_reverse") is not bool(number):
                continue
            source = weights[f"readers.{number}.rnn.{name.removesuffix(suffix)}"]
            if parameter.shape == source.shape:
                parameter.copy_(source)
            else:
                parameter.zero_()
                start = number * source.shape[1]
                parameter[:, start : start + source.shape[1]] = source
