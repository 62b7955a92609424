"""The memory of a search: which trials there are, what they were given and what came of them.

An Optuna study in a SQLite file of the search's own. Whatever is decided is a function of what the
file holds and of the trial's number, so a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.search import SearchConfig
from rnnlane.config.space import Params, grid, objective, trial_experiment
from rnnlane.records.search import TrialRecord, TrialState
from rnnlane.search.pruning import should_prune
from rnnlane.search.sampling import drawn, open_study, sampler_of

if TYPE_CHECKING:
    import optuna

ATTRIBUTES, ELAPSED_S = "rnnlane", "elapsed_s"


@dataclass(frozen=True)
class Sample:
    """What a trial is given: sampled values by dotted key, and another seed for a repeat."""

    params: Params
    seed: int | None = None


@dataclass(frozen=True)
class Ticket:
    """A trial to run.

    Attributes:
        number: from 0.
        key: names its checkpoints and its run in the tracking store; unique over all searches.
        sample: what it was given.
        config: the experiment that it trains.
    """

    number: int
    key: str
    sample: Sample
    config: ExperimentConfig


@dataclass
class _Entry:
    """A trial as the book knows it, and its handle in the study while it has not ended."""

    trial: optuna.Trial | None
    sample: Sample
    started_at: float
    ended_at: float | None = None
    state: TrialState = "running"
    reason: str = ""
    history: list[Mapping[str, float]] = field(default_factory=list)
    final: TrialRecord | None = None


class TrialBook:
    """The trials of one study; see :func:`open_book`.

    Attributes:
        num_trials: how many there are to be.
    """

    def __init__(
        self,
        study: optuna.Study,
        config: ExperimentConfig,
        *,
        key: str,
        num_trials: int,
        sample: Callable[[optuna.Trial], Sample],
        prune: bool,
    ):
        """Reads what is there.

        Args:
            study: this book's alone.
            config: the search's experiment.
            key: prefix of the trials' keys.
            num_trials: trials in all.
            sample: gives a new trial its values.
            prune: whether the search's scheduler may cut trials short.
        """
        assert config.search is not None
        self._study = study
        self._config = config
        self._search: SearchConfig = config.search
        self._metric, self._is_larger_better = objective(config)
        self._key = key
        self.num_trials = num_trials
        self._sample = sample
        self._prune = prune
        self._entries = [self._read(trial) for trial in study.get_trials(deepcopy=False)]
        for number, entry in enumerate(self._entries):
            if entry.trial is None:
                entry.final = self._record(number)
        self._unissued = [
            number for number, entry in enumerate(self._entries) if entry.state == "running"
        ]
        self._earlier_s = float(study.user_attrs.get(ELAPSED_S, 0.0))
        self._opened_at = time.monotonic()
        self._stopped_at: float | None = None

    @property
    def num_left(self) -> int:
        """Trials that :meth:`issue` can still give."""
        return len(self._unissued) + max(0, self.num_trials - len(self._entries))

    @property
    def elapsed_s(self) -> float:
        """Seconds this book was worked on, over all attempts."""
        now = time.monotonic() if self._stopped_at is None else self._stopped_at
        return self._earlier_s + now - self._opened_at

    def stop_clock(self) -> None:
        """No more work is done on this book."""
        self._stopped_at = time.monotonic()
        self._study.set_user_attr(ELAPSED_S, self.elapsed_s)

    def records(self) -> tuple[TrialRecord, ...]:
        """All trials so far, by number."""
        return tuple(self._record(number) for number in range(len(self._entries)))

    def record(self, number: int) -> TrialRecord:
        """One trial."""
        return self._record(number)

    def with_seed_values(self, trials: tuple[TrialRecord, ...]) -> tuple[TrialRecord, ...]:
        """The trials that this book repeats, with the values of the repeats that finished."""
        extra: dict[str, list[float]] = {}
        for record in self.records():
            if record.value is not None and record.state == "finished":
                extra.setdefault(_identity(record.params), []).append(record.value)
        return tuple(
            replace(trial, seed_values=(trial.value, *extra[_identity(trial.params)]))
            if trial.value is not None and _identity(trial.params) in extra
            else trial
            for trial in trials
        )

    def issue(self) -> Ticket | None:
        """The next trial to run: one that was cut off, else a new one; None when all are given.

        Raises:
            ConfigError: the sampled values make no valid experiment; the trial is failed.
        """
        if self._unissued:
            number = self._unissued.pop(0)
        elif len(self._entries) < self.num_trials:
            number = self._add()
        else:
            return None
        entry = self._entries[number]
        try:
            config = trial_experiment(self._config, entry.sample.params, seed=entry.sample.seed)
        except Exception as error:
            self.settle(number, "failed", reason=str(error))
            self.close(number)
            raise
        return Ticket(number, self.key(number), entry.sample, config)

    def key(self, number: int) -> str:
        """Name of a trial, unique over all searches."""
        return f"{self._key}-{number:03d}"

    def add_epochs(self, number: int, history: Sequence[Mapping[str, float]]) -> bool:
        """Notes the epochs of a trial that are new.

        Args:
            number: the trial.
            history: records of some of its epochs; those known already are passed over.

        Returns:
            Whether the trial is to be cut short now.
        """
        entry = self._entries[number]
        trial = entry.trial
        assert trial is not None
        for record in history:
            epoch = int(record["epoch"])
            if epoch != len(entry.history) + 1:
                continue
            value = float(record[self._metric])
            trial.set_user_attr(f"epoch-{epoch}", dict(record))
            trial.report(value, epoch)
            entry.history.append(dict(record))
            if self._is_to_end(entry):
                break
        self._study.set_user_attr(ELAPSED_S, self.elapsed_s)
        return self._is_to_end(entry)

    def _is_to_end(self, entry: _Entry) -> bool:
        """Whether the scheduler cuts the trial after its last epoch so far."""
        curve = self._curve(entry)
        if not self._prune or not curve or len(curve) >= self._num_epochs():
            return False
        others = [self._curve(other) for other in self._entries if other is not entry]
        return should_prune(self._search, curve, others, is_larger_better=self._is_larger_better)

    def settle(self, number: int, state: TrialState, *, reason: str = "") -> TrialRecord:
        """Says how a trial ended; a finished or cut one without a finite value has failed.

        Until :meth:`close` a trial that was settled will be issued again by a search that resumes.
        """
        entry = self._entries[number]
        if state != "failed" and self._record(number).value is None:
            state, reason = "failed", reason or f"{self._metric} was never finite"
        entry.state, entry.reason, entry.ended_at = state, reason, time.time()
        self._write(entry)
        return self._record(number)

    def close(self, number: int) -> None:
        """Makes a settled trial's end final, and known to the search algorithm."""
        import optuna

        entry = self._entries[number]
        assert entry.trial is not None
        states = optuna.trial.TrialState
        if entry.state == "failed":
            self._study.tell(entry.trial, state=states.FAIL)
        elif entry.state == "pruned":
            self._study.tell(entry.trial, state=states.PRUNED)
        else:
            self._study.tell(entry.trial, self._record(number).value)
        entry.trial = None
        entry.final = self._record(number)

    def _num_epochs(self) -> int:
        return self._search.max_epochs or self._config.training.epochs

    def _curve(self, entry: _Entry) -> list[float]:
        return [float(record[self._metric]) for record in entry.history]

    def _add(self) -> int:
        number = len(self._entries)
        self._study.sampler = sampler_of(self._config, number=number)
        trial = self._study.ask()
        assert trial.number == number
        entry = _Entry(trial, self._sample(trial), started_at=time.time())
        self._write(entry)
        self._entries.append(entry)
        return number

    def _write(self, entry: _Entry) -> None:
        attributes = {
            "params": entry.sample.params,
            "seed": entry.sample.seed,
            "started_at": entry.started_at,
            "ended_at": entry.ended_at,
            "state": entry.state,
            "reason": entry.reason,
        }
        assert entry.trial is not None
        entry.trial.set_user_attr(ATTRIBUTES, attributes)

    def _read(self, frozen: optuna.trial.FrozenTrial) -> _Entry:
        known: Any = frozen.user_attrs.get(ATTRIBUTES)
        if frozen.state.is_finished():
            entry = _Entry(None, Sample(known["params"], known["seed"]), known["started_at"])
            entry.state, entry.reason = known["state"], known["reason"]
            entry.ended_at = known["ended_at"]
        else:
            entry = self._reopen(frozen, known)
        epoch = 1
        while f"epoch-{epoch}" in frozen.user_attrs:
            entry.history.append(frozen.user_attrs[f"epoch-{epoch}"])
            if entry.trial is not None and epoch not in frozen.intermediate_values:
                entry.trial.report(float(entry.history[-1][self._metric]), epoch)
            epoch += 1
        return entry

    def _reopen(self, frozen: optuna.trial.FrozenTrial, known: Any) -> _Entry:
        """A trial that was cut off; if that was while its values were drawn, draws the rest.

        What was drawn already is kept, and the rest follows from number and key. A trial whose end
        was noted, but not told to the study, will be ended again, alike.
        """
        import optuna

        self._study.sampler = sampler_of(self._config, number=frozen.number)
        trial = optuna.Trial(self._study, frozen._trial_id)
        if known is not None:
            return _Entry(trial, Sample(known["params"], known["seed"]), known["started_at"])
        entry = _Entry(trial, self._sample(trial), started_at=time.time())
        self._write(entry)
        return entry

    def _record(self, number: int) -> TrialRecord:
        entry = self._entries[number]
        if entry.final is not None:
            return entry.final
        best = _best_epoch(self._curve(entry), is_larger_better=self._is_larger_better)
        first = entry.history[0] if entry.history else {}
        return TrialRecord(
            number=number,
            state=entry.state,
            params=entry.sample.params,
            history=tuple(entry.history),
            value=None if best is None else float(entry.history[best][self._metric]),
            best_epoch=None if best is None else best + 1,
            clip_norm=first.get("clip/max_norm"),
            mean_norm=first.get(
                "clip/calibration_norm_mean", _mean(entry.history, "grad_norm/mean")
            ),
            clipped_fraction=_mean(entry.history, "grad_norm/clipped_fraction") or 0.0,
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            key=self.key(number),
            reason=entry.reason,
        )


def open_book(file: Path, config: ExperimentConfig, *, key: str) -> TrialBook:
    """The trials of a search.

    Args:
        file: SQLite file, made if it is not there.
        config: an experiment with a search.
        key: names the search.
    """
    assert config.search is not None
    search = config.search
    if search.algorithm == "grid":
        points = grid(config)
        num_trials = min(len(points), search.num_trials)

        def sample(trial: optuna.Trial) -> Sample:
            return Sample(points[trial.number])
    else:
        num_trials = search.num_trials

        def sample(trial: optuna.Trial) -> Sample:
            return Sample(drawn(trial, config))

    study = open_study(file, "trials", config)
    return TrialBook(study, config, key=key, num_trials=num_trials, sample=sample, prune=True)


def open_seed_book(
    file: Path, config: ExperimentConfig, *, key: str, finalists: list[TrialRecord]
) -> TrialBook:
    """The finalists with further seeds, in their order; repeats that the file has are not repeated.

    Args:
        file: the search's SQLite file.
        config: an experiment with a search.
        key: names the search.
        finalists: the trials to repeat, in order.
    """
    assert config.search is not None
    first = config.seed if config.training.seed is None else config.training.seed
    study = open_study(file, "seeds", config)
    known = [trial.user_attrs.get(ATTRIBUTES) for trial in study.get_trials(deepcopy=False)]
    samples = [Sample(item["params"], item["seed"]) for item in known if item is not None]
    for finalist in finalists:
        for repeat in range(1, config.search.repeats):
            sample = Sample(dict(finalist.params), seed=first + repeat)
            if sample not in samples:
                samples.append(sample)
    return TrialBook(
        study,
        config,
        key=f"{key}-seed",
        num_trials=len(samples),
        sample=lambda trial: samples[trial.number],
        prune=False,
    )


def _identity(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), sort_keys=True)


def _best_epoch(curve: Sequence[float], *, is_larger_better: bool) -> int | None:
    sign = 1 if is_larger_better else -1
    finite = [index for index, value in enumerate(curve) if math.isfinite(value)]
    return max(finite, key=lambda index: (sign * curve[index], -index), default=None)


def _mean(history: Sequence[Mapping[str, float]], name: str) -> float | None:
    values = [record[name] for record in history if math.isfinite(record.get(name, math.nan))]
    return math.fsum(values) / len(values) if values else None
