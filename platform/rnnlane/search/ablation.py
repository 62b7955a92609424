"""What the ablation of a search trains, and what came of it."""

from __future__ import annotations

from rnnlane.config.ablation import alternatives, shown_value
from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.space import Params, objective, search_of, trial_experiment
from rnnlane.records.ablation import WINNER, Ablation, Setting
from rnnlane.records.search import TrialRecord
from rnnlane.search.study import Sample, TrialStudy


class AblationPlan:
    """The trainings of an ablation.

    Attributes:
        winner: sampled values of the trial that won.
        alternatives: those that are trained.
        skipped: the rule that each other one breaks with the winner's values, by its label.
        seeds: training seeds. Neither the trials nor the repeats of finalists had them: the winner
            was lucky with those, which would count in its favor.
    """

    def __init__(self, config: ExperimentConfig, winner: TrialRecord):
        search = search_of(config)
        assert search.ablation is not None
        _, self._is_larger_better = objective(config)
        self._keys = list(search.ablation.keys)
        self.winner: Params = dict(winner.params)
        self._own = trial_experiment(config, self.winner)
        found = alternatives(config, self.winner)
        self.alternatives = [one for one in found if one.experiment is not None]
        self.skipped = {one.label: one.problem for one in found if one.experiment is None}
        first = config.training_seed + search.repeats
        self.seeds = tuple(range(first, first + search.ablation.seeds))

    def samples(self) -> list[Sample]:
        """What to train: seed after seed, so that pairs are complete when the time is used up."""
        return [
            Sample(params, seed, label)
            for seed in self.seeds
            for label, params in [
                (WINNER, self.winner),
                *((one.label, one.params) for one in self.alternatives),
            ]
        ]

    def outcome(self, study: TrialStudy) -> Ablation:
        """What the study has measured so far."""
        records = [(study.sample(record.number), record) for record in study.records()]
        ended = [sample for sample, one in records if one.state in {"finished", "failed"}]
        return Ablation(
            is_larger_better=self._is_larger_better,
            seeds=self.seeds,
            winner=self._setting(WINNER, self.winner, self._own, records),
            settings=tuple(
                self._setting(one.label, one.params, one.experiment, records, key=one.key)
                for one in self.alternatives
                if one.experiment is not None
            ),
            own={key: shown_value(self._own, key) for key in self._keys},
            skipped=self.skipped,
            is_complete=all(sample in ended for sample in self.samples()),
        )

    def _setting(
        self,
        label: str,
        params: Params,
        experiment: ExperimentConfig,
        records: list[tuple[Sample, TrialRecord]],
        *,
        key: str = "",
    ) -> Setting:
        # Of one that was cut and trained again, the later.
        by_seed = {sample.seed: record for sample, record in records if sample.params == params}
        values: list[float | None] = []
        reasons = []
        for record in (by_seed.get(seed) for seed in self.seeds):
            is_finished = record is not None and record.state == "finished"
            values.append(record.value if record is not None and is_finished else None)
            if record is None:
                reasons.append("it was not trained")
            elif not is_finished:
                reasons.append(record.reason or f"it is {record.state}")
        return Setting(
            label=label,
            params=params,
            num_layers=experiment.model.num_layers,
            is_clipped=experiment.training.clip.policy != "none",
            values=tuple(values),
            reasons=tuple(reasons),
            key=key,
        )
