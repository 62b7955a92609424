"""The trials of a search: their sampled values, their epochs and how they ended.

An Optuna study in a SQLite file of the search's own. Every decision is a function of the file's
content and the trial's number, so a resumed search makes the same decisions as one that was not
interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.space import (
    Params,
    grid,
    identity,
    num_trials,
    objective,
    search_of,
    trial_experiment,
)
from rnnlane.ray_cluster.internals import reopen_trial
from rnnlane.records.search import TrialRecord, TrialState
from rnnlane.search.pruning import should_prune
from rnnlane.search.sampling import make_sampler, open_optuna_study, suggest_params

if TYPE_CHECKING:
    import optuna

ATTRIBUTES, ELAPSED_S = "rnnlane", "elapsed_s"


@dataclass(frozen=True)
class Sample:
    """The values of a trial by dotted key; what is trained after the trials also has a seed.

    Attributes:
        params: the values.
        seed: becomes ``training.seed``; None: the experiment's own.
        label: what it is called in an ablation; else "".
    """

    params: Params
    seed: int | None = None
    label: str = field(default="", compare=False)

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Sample:
        """A stored one."""
        return cls(attributes["params"], attributes["seed"], attributes.get("label", ""))


@dataclass(frozen=True)
class TrialSpec:
    """A trial to run.

    Attributes:
        number: from 0.
        key: names its checkpoints and its run in the tracking store; unique over all searches.
        sample: its sampled values.
        config: the experiment that it trains.
    """

    number: int
    key: str
    sample: Sample
    config: ExperimentConfig


@dataclass
class _Entry:
    """What is stored of a trial; ``trial`` is its handle in Optuna until its end is final."""

    trial: optuna.Trial | None
    sample: Sample
    started_at: float
    ended_at: float | None = None
    state: TrialState = "running"
    reason: str = ""
    history: list[Mapping[str, float]] = field(default_factory=list)
    final: TrialRecord | None = None


class TrialStudy:
    """The trials of one Optuna study; see :func:`open_trials`, :func:`open_repeats` and
    :func:`open_ablation`.

    Attributes:
        num_trials: trials in all, including those not asked for yet.
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
        """Reads the trials stored so far.

        Args:
            study: for the exclusive use of this object.
            config: the search's experiment.
            key: prefix of the trials' keys.
            num_trials: trials in all.
            sample: gives a new trial its values.
            prune: whether the search's scheduler may cut trials short.
        """
        self._study = study
        self._config = config
        self._search = search_of(config)
        self._metric, self._is_larger_better = objective(config)
        self._key = key
        self.num_trials = num_trials
        self._sample = sample
        self._prune = prune
        self._entries = [self._read(trial) for trial in study.get_trials(deepcopy=False)]
        for number, entry in enumerate(self._entries):
            if entry.trial is None:
                entry.final = self.record(number)
        self._interrupted = [
            number for number, entry in enumerate(self._entries) if entry.state == "running"
        ]
        self._earlier_s = float(study.user_attrs.get(ELAPSED_S, 0.0))
        self._opened_at = time.monotonic()
        self._stopped_at: float | None = None

    @property
    def num_remaining(self) -> int:
        """Trials that :meth:`ask` can still give."""
        return len(self._interrupted) + max(0, self.num_trials - len(self._entries))

    @property
    def is_complete(self) -> bool:
        """Whether every sample has a trial that ended otherwise than by the time budget."""
        done = [one.sample for one in self._entries if one.state not in {"running", "cut"}]
        is_begun = len(self._entries) >= self.num_trials
        return is_begun and all(one.sample in done for one in self._entries)

    @property
    def elapsed_s(self) -> float:
        """Seconds that the study was worked on, over all attempts."""
        now = time.monotonic() if self._stopped_at is None else self._stopped_at
        return self._earlier_s + now - self._opened_at

    def stop_clock(self) -> None:
        """Stores :attr:`elapsed_s`, which is constant from now on."""
        self._stopped_at = time.monotonic()
        self._study.set_user_attr(ELAPSED_S, self.elapsed_s)

    def records(self) -> tuple[TrialRecord, ...]:
        """All trials so far, by number."""
        return tuple(self.record(number) for number in range(len(self._entries)))

    def record(self, number: int) -> TrialRecord:
        """One trial."""
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

    def with_seed_values(self, trials: tuple[TrialRecord, ...]) -> tuple[TrialRecord, ...]:
        """The given trials, each with the values of those of its repeats here that finished."""
        extra: dict[str, list[float]] = {}
        for record in self.records():
            if record.value is not None and record.state == "finished":
                extra.setdefault(identity(record.params), []).append(record.value)
        return tuple(
            replace(trial, seed_values=(trial.value, *extra[identity(trial.params)]))
            if trial.value is not None and identity(trial.params) in extra
            else trial
            for trial in trials
        )

    def ask(self) -> TrialSpec | None:
        """The next trial to run: one that a killed search left, else a new one; None for no more.

        Raises:
            ConfigError: the sampled values make no valid experiment; the trial is failed.
        """
        if self._interrupted:
            number = self._interrupted.pop(0)
        elif len(self._entries) < self.num_trials:
            number = self._add()
        else:
            return None
        entry = self._entries[number]
        try:
            config = trial_experiment(self._config, entry.sample.params, seed=entry.sample.seed)
        except Exception as error:
            self.mark_ended(number, "failed", reason=str(error))
            self.tell(number)
            raise
        return TrialSpec(number, self.key(number), entry.sample, config)

    def sample(self, number: int) -> Sample:
        """The values of a trial."""
        return self._entries[number].sample

    def key(self, number: int) -> str:
        """Key of a trial, unique over all searches."""
        return f"{self._key}-{number:03d}"

    def report(self, number: int, history: Sequence[Mapping[str, float]]) -> bool:
        """Stores the new epochs of a trial.

        Args:
            number: the trial.
            history: records of some of its epochs; those stored already are skipped.

        Returns:
            Whether the scheduler prunes the trial now.
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
            if self._is_pruned(entry):
                break
        self._study.set_user_attr(ELAPSED_S, self.elapsed_s)
        return self._is_pruned(entry)

    def _is_pruned(self, entry: _Entry) -> bool:
        """Whether the scheduler prunes the trial after its last epoch so far."""
        curve = self._curve(entry)
        num_epochs = self._search.max_epochs or self._config.training.epochs
        if not self._prune or not curve or len(curve) >= num_epochs:
            return False
        others = (self._curve(other) for other in self._entries if other is not entry)
        return should_prune(self._search, curve, others, is_larger_better=self._is_larger_better)

    def mark_ended(self, number: int, state: TrialState, *, reason: str = "") -> TrialRecord:
        """Stores how a trial ended; one without a finite value has failed.

        Not final before :meth:`tell`: a search that resumes runs and ends the trial again.
        """
        entry = self._entries[number]
        if state != "failed" and self.record(number).value is None:
            state, reason = "failed", reason or f"{self._metric} was never finite"
        entry.state, entry.reason, entry.ended_at = state, reason, time.time()
        self._write(entry)
        return self.record(number)

    def tell(self, number: int) -> None:
        """Makes the end of a trial final, and known to the search algorithm."""
        import optuna

        entry = self._entries[number]
        assert entry.trial is not None
        states = {"failed": optuna.trial.TrialState.FAIL, "pruned": optuna.trial.TrialState.PRUNED}
        if entry.state in states:
            self._study.tell(entry.trial, state=states[entry.state])
        else:
            self._study.tell(entry.trial, self.record(number).value)
        entry.trial = None
        entry.final = self.record(number)

    def _curve(self, entry: _Entry) -> list[float]:
        return [float(record[self._metric]) for record in entry.history]

    def _add(self) -> int:
        number = len(self._entries)
        self._study.sampler = make_sampler(self._config, number=number)
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
            "label": entry.sample.label,
            "started_at": entry.started_at,
            "ended_at": entry.ended_at,
            "state": entry.state,
            "reason": entry.reason,
        }
        assert entry.trial is not None
        entry.trial.set_user_attr(ATTRIBUTES, attributes)

    def _read(self, frozen: optuna.trial.FrozenTrial) -> _Entry:
        attributes: Any = frozen.user_attrs.get(ATTRIBUTES)
        if frozen.state.is_finished():
            entry = _Entry(None, Sample.of(attributes), attributes["started_at"])
            entry.state, entry.reason = attributes["state"], attributes["reason"]
            entry.ended_at = attributes["ended_at"]
        else:
            entry = self._reopen(frozen, attributes)
        epoch = 1
        while f"epoch-{epoch}" in frozen.user_attrs:
            entry.history.append(frozen.user_attrs[f"epoch-{epoch}"])
            if entry.trial is not None and epoch not in frozen.intermediate_values:
                entry.trial.report(float(entry.history[-1][self._metric]), epoch)
            epoch += 1
        return entry

    def _reopen(self, frozen: optuna.trial.FrozenTrial, attributes: Any) -> _Entry:
        """A trial that a killed search left; if its values were being sampled, samples the rest.

        Values sampled already are kept; the others depend on the trial's number and their key
        alone. A trial that was marked as ended, but not told, counts as running.
        """
        self._study.sampler = make_sampler(self._config, number=frozen.number)
        trial = reopen_trial(self._study, frozen)
        if attributes is not None:
            return _Entry(trial, Sample.of(attributes), attributes["started_at"])
        entry = _Entry(trial, self._sample(trial), started_at=time.time())
        self._write(entry)
        return entry


def open_trials(file: Path, config: ExperimentConfig, *, key: str) -> TrialStudy:
    """The trials of a search.

    Args:
        file: SQLite file, created if it does not exist.
        config: an experiment with a search.
        key: names the search.
    """
    points = grid(config) if search_of(config).algorithm == "grid" else None
    tried: list[str] = []

    def sample(trial: optuna.Trial) -> Sample:
        if points is not None:
            return Sample(points[trial.number])
        stored = trial.study.get_trials(deepcopy=False)[len(tried) : trial.number]
        tried.extend(identity(each.user_attrs[ATTRIBUTES]["params"]) for each in stored)
        return Sample(suggest_params(trial, config, tried))

    return TrialStudy(
        open_optuna_study(file, "trials", config),
        config,
        key=key,
        num_trials=num_trials(config),
        sample=sample,
        prune=True,
    )


def open_repeats(
    file: Path, config: ExperimentConfig, *, key: str, finalists: list[TrialRecord]
) -> TrialStudy:
    """The finalists with further seeds, in their order; repeats stored already are kept.

    What the time budget cut is trained again: its value is none of a whole training.

    Args:
        file: the search's SQLite file.
        config: an experiment with a search.
        key: names the search.
        finalists: the trials to repeat, in order.
    """
    wanted = [
        Sample(dict(finalist.params), seed=config.training_seed + repeat)
        for finalist in finalists
        for repeat in range(1, search_of(config).repeats)
    ]
    return _open_listed(file, "seeds", config, key=f"{key}-seed", wanted=wanted, again=("cut",))


def open_ablation(
    file: Path, config: ExperimentConfig, *, key: str, wanted: Sequence[Sample]
) -> TrialStudy:
    """The winner and its alternatives with each seed; those stored already are kept.

    What the time budget cut is no value to compare, and is trained again.

    Args:
        file: the search's SQLite file.
        config: an experiment with a search.
        key: names the search.
        wanted: what to train, in order.
    """
    return _open_listed(
        file, "ablation", config, key=f"{key}-ablation", wanted=wanted, again=("cut",)
    )


def _open_listed(
    file: Path,
    name: str,
    config: ExperimentConfig,
    *,
    key: str,
    wanted: Sequence[Sample],
    again: Sequence[TrialState] = (),
) -> TrialStudy:
    """A study that is given its samples: those stored, then those of ``wanted`` that are not.

    One that ended in a state of ``again`` counts as not stored.
    """
    study = open_optuna_study(file, name, config)
    # Whose values a killed search was still writing has none; that can only be the last.
    stored = [t for t in study.get_trials(deepcopy=False) if ATTRIBUTES in t.user_attrs]
    samples = [Sample.of(trial.user_attrs[ATTRIBUTES]) for trial in stored]
    done = [
        sample
        for sample, trial in zip(samples, stored, strict=True)
        if not (trial.state.is_finished() and trial.user_attrs[ATTRIBUTES]["state"] in again)
    ]
    for sample in wanted:
        if sample not in done:
            samples.append(sample)
            done.append(sample)
    return TrialStudy(
        study,
        config,
        key=key,
        num_trials=len(samples),
        sample=lambda trial: samples[trial.number],
        prune=False,
    )


def _best_epoch(curve: Sequence[float], *, is_larger_better: bool) -> int | None:
    sign = 1 if is_larger_better else -1
    finite = [index for index, value in enumerate(curve) if math.isfinite(value)]
    return max(finite, key=lambda index: (sign * curve[index], -index), default=None)


def _mean(history: Sequence[Mapping[str, float]], name: str) -> float | None:
    values = [record[name] for record in history if math.isfinite(record.get(name, math.nan))]
    return math.fsum(values) / len(values) if values else None
