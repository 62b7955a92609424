"""Everything a run needs to go on bit for bit, in safetensors and JSON: nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rnnlane.errors import CheckpointError
from rnnlane.training.clipping import ClipChoice

WEIGHTS, BEST, OPTIMIZER = "weights.safetensors", "best.safetensors", "optimizer.safetensors"
RECORDS, STATE = "records.safetensors", "state.json"
FORMAT = 1


@dataclass
class TrainState:
    """Where a run stands, apart from weights and optimizer.

    There is no random state: what is random in a step is drawn from (seed, epoch, step, rank).

    Attributes:
        epoch: the epoch under way, from 1.
        step: steps of that epoch that are done.
        elapsed_s: training time spent on that epoch so far, in seconds.
        seconds: the same by part, of the first worker.
        num_tokens: tokens of the epoch's done steps, over all workers.
        num_positions: the same with padding.
        clip: the clip value chosen.
        history: one record for each finished epoch.
        norms: gradient norms of all steps of the run so far.
        losses: losses of all steps of the run so far.
        loss_sum: sum over the rows of the epoch under way, of finite losses.
        loss_rows: rows that loss_sum is over.
        correct: rows classified rightly in the epoch under way.
        clipped: steps clipped in the epoch under way.
        nonfinite: steps skipped in the epoch under way.
        nonfinite_in_a_row: skipped steps since the last finite one.
    """

    epoch: int = 1
    step: int = 0
    elapsed_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    num_tokens: float = 0.0
    num_positions: float = 0.0
    clip: ClipChoice | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    loss_sum: float = 0.0
    loss_rows: int = 0
    correct: float = 0.0
    clipped: int = 0
    nonfinite: int = 0
    nonfinite_in_a_row: int = 0


def save_checkpoint(
    folder: Path,
    *,
    model: torch.nn.Module,
    best: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
    state: TrainState,
) -> None:
    """Writes a checkpoint into an existing, empty folder."""
    save_file(contiguous_weights(model), folder / WEIGHTS)
    if best is not None:
        save_file(best, folder / BEST)
    save_file(_optimizer_tensors(optimizer), folder / OPTIMIZER)
    plain = asdict(state)
    records = {name: torch.tensor(plain.pop(name), dtype=torch.float64) for name in _RECORDS}
    save_file(records, folder / RECORDS)
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    text = json.dumps({"format": FORMAT, "sizes": sizes, **plain}, indent=1)
    (folder / STATE).write_text(text, encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Whether all files of a checkpoint are there in full: a copy may have been cut short."""
    try:
        sizes = json.loads((folder / STATE).read_text(encoding="utf-8"))["sizes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


_RECORDS = ("norms", "losses")


def load_checkpoint(
    folder: Path, *, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainState, dict[str, Tensor] | None]:
    """Puts a checkpoint's weights and optimizer state in place.

    Returns:
        Where the run stands, and the weights of its best epoch so far.

    Raises:
        CheckpointError: the checkpoint is of another format or does not fit the model.
    """
    try:
        plain = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if plain.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"a checkpoint must be of format {FORMAT}",
                where=str(folder),
                remedy="resume with the version of rnnlane that wrote it, or start a new run",
            )
        clip = plain.pop("clip")
        del plain["sizes"]
        plain |= {name: values.tolist() for name, values in load_file(folder / RECORDS).items()}
        state = TrainState(**plain, clip=ClipChoice(**clip) if clip else None)
        model.load_state_dict(load_file(folder / WEIGHTS))
        _restore_optimizer(optimizer, load_file(folder / OPTIMIZER))
        best = load_file(folder / BEST) if (folder / BEST).exists() else None
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"the checkpoint cannot be used: {str(error).splitlines()[0]}",
            where=str(folder),
            remedy="start a new run without --resume",
        ) from error
    return state, best


def contiguous_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the model's weights on the CPU, as safetensors wants them."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
    }


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", maxsplit=1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
