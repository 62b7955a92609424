"""Everything a run needs to continue bit for bit, in safetensors and JSON: nothing is pickled.

Bit for bit holds for the same kind of CPU and the same number of workers, or of reduction shards.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rnnlane.data.batches.plan import PLAN_VERSION
from rnnlane.errors import CheckpointError, disk_errors, first_line
from rnnlane.records.events import RunEvents
from rnnlane.training.average import WeightAverage
from rnnlane.training.clipping import ClipChoice
from rnnlane.training.state import TrainState

WEIGHTS, BEST, OPTIMIZER = "weights.safetensors", "best.safetensors", "optimizer.safetensors"
AVERAGE = "average.safetensors"
RECORDS, STATE, CHECKSUMS = "records.safetensors", "state.json", "checksums.json"
FORMAT = 2
_RECORDS = ("norms", "losses")
_NUM_UPDATES = "num_updates"
# At the ends of epochs, checkpoints follow one another by at least this many times what one takes.
MIN_PAUSE = 20


class Checkpointer:
    """Writes a run's checkpoints through the events, and tracks when one is due.

    Args:
        model: its weights are saved.
        optimizer: its state is saved.
        events: decides where a checkpoint goes.
        every_s: seconds after which one is due.
        average: of the weights, is saved as well.
        clock: the time in seconds, from any start.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        events: RunEvents,
        *,
        every_s: float,
        average: WeightAverage | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._model = model
        self._optimizer = optimizer
        self._events = events
        self._average = average
        self._every_s = every_s
        self._clock = clock
        self._saved_at = clock()
        self._pause_s = 0.0

    def is_due(self, *, ends_epoch: bool) -> bool:
        """Whether a checkpoint is to follow a step, by this worker's clock.

        One is due if the last one is older than ``every_s``. At the end of an epoch it is also due
        if none has been written yet, or if writing one takes at most a twentieth of the time since
        then.

        Args:
            ends_epoch: whether the step is the last one of its epoch.
        """
        age_s = self._clock() - self._saved_at
        return age_s > self._every_s or (ends_epoch and age_s >= self._pause_s)

    def save(self, state: TrainState, best: Mapping[str, Tensor] | None) -> None:
        """Saves a checkpoint, and tells of the epochs that it has; called by all workers or none.

        Args:
            state: where the run stands.
            best: weights of the best epoch so far, on any device.
        """

        def write(folder: Path) -> None:
            with disk_errors(folder):
                write_files(folder)

        def write_files(folder: Path) -> None:
            save_file(on_host(copied_weights(self._model)), folder / WEIGHTS)
            if self._average is not None:
                averaged = copied_weights(self._average.model)
                numbers = {_NUM_UPDATES: self._average.num_updates}
                save_file(on_host(averaged | numbers), folder / AVERAGE)
            if best is not None:
                save_file(on_host(best), folder / BEST)
            save_file(_optimizer_tensors(self._optimizer), folder / OPTIMIZER)
            plain = asdict(state)
            records = {key: torch.tensor(plain.pop(key), dtype=torch.float64) for key in _RECORDS}
            save_file(records, folder / RECORDS)
            sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
            versions = {"format": FORMAT, "plan": PLAN_VERSION}
            text = json.dumps({**versions, "sizes": sizes, **plain}, indent=1)
            (folder / STATE).write_text(text, encoding="utf-8")
            checksums = {file.name: _checksum(file) for file in sorted(folder.iterdir())}
            (folder / CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")

        started_at = self._clock()
        self._events.checkpoint(write)
        self._saved_at = self._clock()
        self._pause_s = MIN_PAUSE * (self._saved_at - started_at)
        self._events.saved(state.records)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint is as it was written: a copy may be cut short, and a disk may err.

    A checkpoint of an earlier version has no checksums; its files have their full size.
    """
    try:
        sizes = json.loads((folder / STATE).read_text(encoding="utf-8"))["sizes"]
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return False
        if not (folder / CHECKSUMS).exists():
            return True
        checksums = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        return all(_checksum(folder / name) == value for name, value in checksums.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _checksum(file: Path) -> int:
    """CRC-32 of a file's content, at some 1 GB/s."""
    return zlib.crc32(file.read_bytes())


def load_checkpoint(
    folder: Path,
    *,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None = None,
) -> tuple[TrainState, dict[str, Tensor] | None]:
    """Loads a checkpoint into the model, the optimizer and the average of the weights.

    Returns:
        Where the run stands, and the weights of its best epoch so far.

    Raises:
        CheckpointError: the checkpoint is of another format or batch plan, or does not fit the
            model.
    """
    try:
        plain = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if plain.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"a checkpoint must be of format {FORMAT}",
                where=str(folder),
                remedy="resume with the version of rnnlane that wrote it, or start a new run",
            )
        if (made_by := plain.pop("plan", 1)) != PLAN_VERSION:
            raise CheckpointError(
                f"a run must end with the batch plan it began with, but its checkpoint is of plan "
                f"{made_by} and this version of rnnlane makes plan {PLAN_VERSION}",
                where=str(folder),
                remedy="resume with the version of rnnlane that wrote it, or start a new run",
            )
        clip = plain.pop("clip")
        del plain["sizes"]
        plain |= {name: values.tolist() for name, values in load_file(folder / RECORDS).items()}
        state = TrainState(**plain, clip=ClipChoice(**clip) if clip else None)
        model.load_state_dict(load_file(folder / WEIGHTS))
        _restore_optimizer(optimizer, load_file(folder / OPTIMIZER))
        if average is not None:
            averaged = load_file(folder / AVERAGE)
            average.num_updates.copy_(averaged.pop(_NUM_UPDATES))
            average.model.load_state_dict(averaged)
        best = load_file(folder / BEST) if (folder / BEST).exists() else None
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"the checkpoint cannot be used: {first_line(error)}",
            where=str(folder),
            remedy="start a new run without --resume",
        ) from error
    return state, best


def final_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of the model of a finished run, from its last checkpoint."""
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if state.get("steps_before_refit") is None:
        return load_file(folder / BEST)
    weights = load_file(folder / (AVERAGE if (folder / AVERAGE).exists() else WEIGHTS))
    return {name: tensor for name, tensor in weights.items() if name != _NUM_UPDATES}


def copied_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the model's weights on its device, contiguous as safetensors requires."""
    return {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }


def on_host(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights on the CPU; those that are there already are not copied."""
    return {name: tensor.cpu() for name, tensor in weights.items()}


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
