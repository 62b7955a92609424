"""Which models a GPU trains fast, and what is said of the others. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from rnnlane.config.experiment import ExperimentConfig


@dataclass(frozen=True)
class PersistentKernels:
    """The largest hidden_size for which torch lets cuDNN run all positions in one kernel.

    The limits are in torch's ``use_rnn_persist_small_h`` (aten/src/ATen/native/cudnn/RNN.cpp).
    Beyond them each position takes a matrix product and a kernel of its own.

    Attributes:
        forward: of the forward pass.
        backward: of the backward pass.
    """

    forward: int
    backward: int


PERSISTENT = {
    "rnn": PersistentKernels(forward=384, backward=256),
    "lstm": PersistentKernels(forward=192, backward=128),
    "gru": PersistentKernels(forward=192, backward=128),
}


def slow_on_gpus(config: ExperimentConfig) -> list[str]:
    """What makes a run slow on a GPU, each in a sentence; empty if nothing is known to."""
    model, notes = config.model, []
    limits = PERSISTENT.get(model.cell)
    if limits is not None and model.hidden_size > limits.backward:
        notes.append(
            f"a GPU trains {model.cell} layers slowly above {limits.backward} units, and scores "
            f"them slowly above {limits.forward}, where cuDNN's persistent kernels end, but "
            f"model.hidden_size is {model.hidden_size}"
        )
    if config.training.precision == "bfloat16":
        notes.append(
            "training.precision bfloat16 makes recurrent layers slow on a GPU: 3 bidirectional "
            "LSTM layers took 56 ms for 32 rows, but 3.2 ms with auto"
        )
    return notes
