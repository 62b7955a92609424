"""An attempt at a run: a new one, or one that continues where an earlier one has stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.paths import storage_root
from rnnlane.data.prepare.prepared import PreparedData
from rnnlane.errors import ConfigError, redact
from rnnlane.execution.environment import code_version
from rnnlane.execution.identity import run_fingerprint
from rnnlane.execution.run_record import RunRecord, all_records
from rnnlane.records.events import RunEvents


def run_to_continue(
    identity: Mapping[str, str],
    *,
    kind: str,
    events: RunEvents,
    has_all: Callable[[Mapping[str, Any]], bool] = lambda _result: True,
) -> RunRecord | None:
    """The newest run of an experiment and its data; None if there is none to continue.

    One that other code has finished is not: its result is not what this code would compute.

    Args:
        identity: of the run.
        kind: what it is called.
        events: gets a note.
        has_all: whether the result of a finished one is all that is asked for now.
    """
    record = RunRecord.find(**identity)
    if record is None:
        events.note(f"no {kind} of this experiment and data to continue; starting a new one")
        return None
    ours, its = code_version(), record.code_version or "unknown"
    if its == ours:
        return record
    if record.state == "finished" and has_all(record.result or {}):
        events.note(
            f"the finished {kind} is of other code of rnnlane (source {its}; this is {ours}); "
            "starting a new one"
        )
        return None
    events.note(
        f"continuing a {kind} that other code of rnnlane has worked on (source {its}; this is "
        f"{ours}): its result is of both"
    )
    return record


def runs_of_seeds(config: ExperimentConfig, record: RunRecord) -> dict[int, RunRecord]:
    """The newest run of each seed that earlier attempts at a run of several seeds have started.

    Args:
        config: the experiment.
        record: of the run that has those of the seeds as its parts.

    Raises:
        ConfigError: one is of a seed that is not asked for now.
    """
    seeds = {run_fingerprint(config.with_seed(seed)): seed for seed in config.training_seeds}
    started = {one.config_fingerprint: one for one in all_records() if one.parent == record.key}
    num_seeds = max(len(started), (record.result or {}).get("num_seeds", 0))
    if num_seeds > len(seeds) or not started.keys() <= seeds.keys():
        raise ConfigError(
            "a run of several seeds may get more of them, not fewer, but got "
            f"{len(seeds)}, and the run to continue has {num_seeds}",
            where="training.seeds",
            remedy="ask for as many, or start a new run without --resume",
        )
    return {seeds[key]: one for key, one in started.items()}


def record_of_attempt(
    record: RunRecord, config: ExperimentConfig, prepared: Sequence[PreparedData]
) -> RunRecord:
    """The record with the code of this attempt, and where it reads data and keeps checkpoints."""
    storage = storage_root(config) if config.runtime.storage_path is not None else None
    return record.update(
        code_version=code_version(),
        prepared=tuple(data.fingerprint for data in prepared),
        # A record holds no passwords; without one, its checkpoints could not be removed anyway.
        storage=storage if storage is None or redact(storage) == storage else None,
    )
