"""Embedded texts that are changed a little, so as to change the model's answer most.

Miyato, Dai, Goodfellow: Adversarial training methods for semi-supervised text classification. ICLR
2017. There the embedding is normalized, here the change is measured in units of its size, so that
the model that is served stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlane.config.training import AdversarialConfig
from rnnlane.training.inputs import NO_LABEL, Inputs

# Length of the change that finds a direction for kind virtual, in the units of epsilon: small
# enough that the answer's change is of second order, large enough for float32.
TRIED = 0.1

LossOf = Callable[[Tensor, Inputs], Tensor]


class Adversary:
    """Finds the changes, and the loss of the answers to the changed texts.

    Args:
        body: embedded texts [B, W, E] and their lengths [B] -> logits [B, C].
        config: kind, size and weight.
        loss_of: the shard's part of the loss of logits, by their labels.
    """

    def __init__(self, body: nn.Module, config: AdversarialConfig, loss_of: LossOf):
        self._body, self._config, self._loss_of = body, config, loss_of

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers."""
        return self._config.kind == "virtual"

    def loss(self, embedded: Tensor, inputs: Inputs, *, slope: Tensor, scale: Tensor) -> Tensor:
        """The shard's part of the additional loss, times its weight.

        Args:
            embedded: float32 [B, W, E].
            inputs: lengths, and labels or weights of the rows.
            slope: of the loss, where that is not changed, by the embedded texts: float32
                [B, W, E]; for kind virtual it is not read.
            scale: float32 [], the embedding's unit; see :func:`embedding_scale`.
        """
        size = self._config.epsilon * scale
        if self._config.kind == "plain":
            changed = self._body(embedded + size * _of_length_1(slope), inputs.lengths)
            return self._config.weight * self._loss_of(changed.float(), inputs)
        with self._as_served():
            answers, slope = self._direction(embedded.detach(), inputs, TRIED * scale)
        changed = self._body(embedded + size * _of_length_1(slope), inputs.lengths)
        # Texts without a label count as one of weight 1 does.
        weights = torch.where(inputs.labels == NO_LABEL, inputs.weights, inputs.loss_weights)
        divergence = (_divergence(answers, changed) * weights).sum()
        return self._config.weight * divergence / (inputs.loss_weight + inputs.num_unlabeled)

    def _direction(self, embedded: Tensor, inputs: Inputs, tried: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithms of the answers [B, C], and how their change grows with the texts'."""
        columns = torch.arange(embedded.shape[1], device=embedded.device)
        is_text = (columns < inputs.lengths.unsqueeze(1)).unsqueeze(2)  # [B, W, 1]
        with torch.no_grad():
            answers = self._body(embedded, inputs.lengths).float().log_softmax(dim=1)
            drawn = torch.randn_like(embedded, dtype=torch.float32) * is_text
            change = tried * _of_length_1(drawn)
        change.requires_grad_()
        changed = self._body(embedded + change, inputs.lengths)
        (slope,) = torch.autograd.grad(_divergence(answers, changed).sum(), change)
        return answers, slope

    @contextmanager
    def _as_served(self) -> Iterator[None]:
        """Without dropout, whose other masks change an answer more than so small a change does."""
        self._body.eval()
        try:
            yield
        finally:
            self._body.train()


def embedding_scale(rows: Tensor, ids: Tensor) -> Tensor:
    """The root mean square of the numbers of a step's words: float32 [], the same on all workers.

    Args:
        rows: float [U, E], the words' vectors; those of padding are 0.
        ids: int64 [U], 0 for padding.
    """
    num_words = (ids > 0).sum().clamp(min=1)
    squares = rows.detach().float().square().sum()
    return torch.sqrt(squares / (num_words * rows.shape[1]))


def _of_length_1(changes: Tensor) -> Tensor:
    """Each row's change [B, W, E] divided by its length; one without a length stays."""
    lengths = torch.linalg.vector_norm(changes.detach(), dim=(1, 2), keepdim=True)
    scaled: Tensor = changes.detach() / lengths.clamp(min=torch.finfo(torch.float32).tiny)
    return scaled


def _divergence(answers: Tensor, changed: Tensor) -> Tensor:
    """Kullback and Leibler's, of each row: [B].

    Args:
        answers: logarithms of probabilities [B, C].
        changed: logits [B, C].
    """
    found = changed.float().log_softmax(dim=1)
    return functional.kl_div(found, answers, reduction="none", log_target=True).sum(dim=1)
