"""How well a language model predicts texts that it has not read: over the whole vocabulary."""

from __future__ import annotations

import math

import numpy as np
import torch

from rnnlane.data.prepare.vocabulary import PAD_ID
from rnnlane.pretraining.corpus import Corpus
from rnnlane.pretraining.language_model import BACKWARD, FORWARD, LanguageModel
from rnnlane.pretraining.softmax import full_losses
from rnnlane.pretraining.streams import Streams
from rnnlane.training.group import WorkerGroup

# Logits of so many positions are in memory at once.
_POSITIONS_AT_ONCE = 512
_TOKENS_AT_ONCE = 64
_NUM_STREAMS = 16


def held_out_metrics(
    model: LanguageModel, corpus: Corpus, *, group: WorkerGroup, num_streams: int = _NUM_STREAMS
) -> dict[str, float]:
    """Loss and perplexity of some texts in their order; every worker calls it.

    Args:
        model: in evaluation mode.
        corpus: the texts.
        group: the workers, who share the streams.
        num_streams: into which the texts are cut; each begins without a state.

    Returns:
        ``val/loss``, the mean -log p of a token over the directions, and ``val/perplexity`` and
        ``val/perplexity_backward``, exp of the mean of a direction.
    """
    means = {
        name: _mean_loss(model, name, corpus, group=group, num_streams=num_streams)
        for name in model.directions
    }
    names = {FORWARD: "val/perplexity", BACKWARD: "val/perplexity_backward"}
    return {
        "val/loss": sum(means.values()) / len(means),
        **{names[direction]: perplexity_of(mean) for direction, mean in means.items()},
    }


def perplexity_of(loss: float) -> float:
    """exp of a mean loss; infinite where that is too large for a number."""
    return math.exp(loss) if loss < 700 else math.inf


@torch.no_grad()
def _mean_loss(
    model: LanguageModel, direction: str, corpus: Corpus, *, group: WorkerGroup, num_streams: int
) -> float:
    streams = Streams(
        corpus,
        num_streams,
        order=np.arange(corpus.num_texts),
        separator=model.embedding.num_embeddings - 1,
        backward=direction == BACKWARD,
    )
    table, device = model.embedding.weight, group.device
    carried = model.carried(direction)
    total = torch.zeros(2, dtype=torch.float64, device=device)
    own = slice(group.rank, None, group.world_size)
    num_own = len(range(num_streams)[own])
    state = carried.new_zeros(*carried.shape[:2], num_own, carried.shape[3])
    for piece in streams.pieces(_TOKENS_AT_ONCE) if num_own else ():
        inputs = torch.from_numpy(piece.inputs[own].astype(np.int64)).to(device)
        targets = torch.from_numpy(piece.targets[own].T.ravel().astype(np.int64)).to(device)
        features, state = model.read(direction, table[inputs], state)
        is_token = targets != PAD_ID
        features, targets = features[is_token], targets[is_token]
        for some, wanted in zip(
            torch.split(features, _POSITIONS_AT_ONCE),
            torch.split(targets, _POSITIONS_AT_ONCE),
            strict=True,
        ):
            total[0] += full_losses(some, table, model.bias, wanted).double().sum()
        total[1] += len(targets)
    loss, num_tokens = group.sum_(total).tolist()
    return float(loss / num_tokens)
