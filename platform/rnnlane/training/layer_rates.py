"""How fast each layer learns, as a share of the head's rate; 0 while it is frozen.

Howard and Ruder, "Universal language model fine-tuning for text classification", ACL 2018: lower
layers, which know more of the language than of the task, learn slower, and begin later.
"""

from __future__ import annotations

from rnnlane.config.training import TrainingConfig


def layer_rates(config: TrainingConfig, *, num_layers: int, epoch: int) -> list[float]:
    """The share of each layer, from the head down to the embedding: a function of the epoch alone.

    With 4 layers, a decay of 0.5 and gradual unfreezing, that is [1, 0, 0, 0] in the first epoch,
    [1, 0.5, 0, 0] in the second, and [1, 0.5, 0.25, 0.125] from the fourth on.

    Args:
        config: decay, and whether layers begin one after the other.
        num_layers: head and embedding are layers too.
        epoch: from 1.
    """
    rates = [config.layer_rate_decay**depth for depth in range(num_layers)]
    learning = epoch if config.gradual_unfreezing else num_layers
    return [rate if depth < learning else 0.0 for depth, rate in enumerate(rates)]
