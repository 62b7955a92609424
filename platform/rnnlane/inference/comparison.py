"""Runs side by side: how they differ in their settings, their metrics and their answers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnlane.errors import ConfigError, redact
from rnnlane.inference.kept import KeptRun, find_runs_to_compare, read_kept, read_texts
from rnnlane.inference.paired import PairedTest, paired_test
from rnnlane.records.predictions import Predictions
from rnnlane.records.refit import is_refitted
from rnnlane.records.results import Comparison
from rnnlane.tracking.store import CODE_TAG, MODEL_TAG, RunSummary

SIGNIFICANT = 0.05
# Params that name a run or say how it ends, and that its model does not depend on.
_NOT_SETTINGS = {"name", "sample_text"}
# What a calibration measured; the clip value that follows from it says enough.
_MEASURED = "clip/calibration_"


@dataclass(frozen=True)
class Disagreement:
    """A row that runs answer differently.

    Attributes:
        row_key: of the row.
        label: the true class.
        labels: the answer of each run.
        of_truth: the probability that each run gives to the true class.
    """

    row_key: int
    label: str
    labels: tuple[str, ...]
    of_truth: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """As in ``Comparison.texts``, without the text."""
        answers = [
            {"label": label, "of_truth": value}
            for label, value in zip(self.labels, self.of_truth, strict=True)
        ]
        # As text: many readers of JSON round numbers of 64 bits.
        return {"row_key": str(self.row_key), "label": self.label, "answers": answers}


def compare_in_store(
    uri: str, references: Sequence[str], *, split: str, num_texts: int
) -> tuple[Comparison, list[Predictions]]:
    """Compares runs of a store; returns their predictions too.

    Raises:
        ConfigError: a run cannot be compared, or not with the first.
        DataError: the predictions of one are damaged.
        TrackingError: the store cannot be read.
    """
    found = find_runs_to_compare(uri, references)
    kept = [read_kept(uri, run, split) for run in found]
    comparison = compare_runs(kept, split=split, num_texts=num_texts)
    keys = [int(row["row_key"]) for row in comparison.texts]
    texts, reason = read_texts(uri, found, split, keys) if keys else ({}, None)
    comparison = replace(
        comparison,
        tracking_uri=redact(uri),
        texts=[{**row, "text": texts.get(int(row["row_key"]))} for row in comparison.texts],
        notes=[*comparison.notes, *([reason] if reason else [])],
    )
    return comparison, [run.predictions for run in kept]


def compare_runs(runs: Sequence[KeptRun], *, split: str, num_texts: int) -> Comparison:
    """The comparison but for the texts and the store.

    Raises:
        ConfigError: the classes of two runs differ, or too many of their rows.
    """
    tests = against_first(runs)
    rows = disagreements(on_shared_rows([run.predictions for run in runs]), limit=num_texts)
    described = [describe_run(run) for run in runs]
    return Comparison(
        split=split,
        tracking_uri="",
        runs=described,
        config=different_kinds(described)
        | different_settings([run.summary.params for run in runs]),
        metrics=side_by_side([run.metrics for run in runs]),
        tests=[
            {"run_id": run.summary.run_id, "verdict": verdict(test), **test.as_dict()}
            for run, test in zip(runs[1:], tests, strict=True)
        ],
        texts=[row.as_dict() for row in rows],
        notes=[*_refitted(runs, split), *cautions(runs, tests)],
    )


def against_first(runs: Sequence[KeptRun], *, seed: int = 0) -> list[PairedTest]:
    """Each run but the first against the first.

    Raises:
        ConfigError: the classes of two differ, or too many of their rows.
    """
    first, *others = runs
    tests = []
    for other in others:
        try:
            tests.append(paired_test(first.predictions, other.predictions, seed=seed))
        except ConfigError as error:
            where = f"{first} and {other}"
            raise ConfigError(error.message, where=where, remedy=error.remedy) from None
    return tests


def verdict(test: PairedTest) -> str:
    """What a test says of the second run."""
    if test.p_value >= SIGNIFICANT:
        return "no difference shown"
    return "better" if test.difference > 0 else "worse"


def on_shared_rows(predictions: Sequence[Predictions]) -> list[Predictions]:
    """The predictions on the rows that all runs have, in one order."""
    keys = functools.reduce(np.intersect1d, [one.row_keys for one in predictions])
    shared = []
    for one in predictions:
        order = np.argsort(one.row_keys)
        shared.append(one.take(order[np.searchsorted(one.row_keys, keys, sorter=order)]))
    return shared


def disagreements(predictions: Sequence[Predictions], *, limit: int) -> list[Disagreement]:
    """The rows of which runs give different answers, by how far their confidence is apart.

    Args:
        predictions: of each run, on the same rows in the same order.
        limit: most rows returned.
    """
    first = predictions[0]
    predicted = np.stack([one.predicted for one in predictions])
    of_truth = np.stack([one.of_truth for one in predictions])
    spread = np.nan_to_num(of_truth.max(axis=0) - of_truth.min(axis=0))
    differ = np.flatnonzero((predicted != predicted[0]).any(axis=0))
    # By key among equals, so that the choice does not depend on the order of the rows.
    order = differ[np.lexsort((first.row_keys[differ], -spread[differ]))][:limit]
    names = first.class_names
    return [
        Disagreement(
            row_key=int(first.row_keys[row]),
            label=names[first.labels[row]],
            labels=tuple(names[label] for label in predicted[:, row]),
            of_truth=tuple(map(float, of_truth[:, row])),
        )
        for row in order
    ]


def different_settings(params: Sequence[Mapping[str, str]]) -> dict[str, list[str | None]]:
    """The settings that differ between runs, by key; None where a run does not have one.

    A run that lacks the whole section does not count: a baseline has no model and no training, and
    an ensemble has no section but its own.
    """
    sections = [{_section(key) for key in one} for one in params]
    different = {}
    for key in sorted({key for one in params for key in one}):
        values = [one.get(key) for one in params]
        having = [v for v, own in zip(values, sections, strict=True) if _section(key) in own]
        is_setting = _section(key) not in _NOT_SETTINGS and not key.startswith(_MEASURED)
        if len(set(having)) > 1 and is_setting:
            different[key] = values
    return different


def different_kinds(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[str | None]]:
    """The kinds of model under ``model``, if they differ: no params say of which kind one is."""
    kinds: list[str | None] = [run["model"] for run in runs]
    return {"model": kinds} if len(set(kinds)) > 1 else {}


def _section(key: str) -> str:
    return key.partition(".")[0]


def side_by_side(metrics: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """The scores and speeds of each run, by key; None where a run has none."""
    prefixes = ("val/", "test/", "train/", "throughput/", "time/")
    keys = dict.fromkeys(key for one in metrics for key in one if key.startswith(prefixes))
    ordered = sorted(keys, key=lambda key: prefixes.index(key.partition("/")[0] + "/"))
    return {key: [one.get(key) for one in metrics] for key in ordered}


def describe_run(run: KeptRun) -> dict[str, Any]:
    """What identifies a run, as in ``Comparison.runs``."""
    return {
        "run_id": run.summary.run_id,
        "name": run.summary.name,
        "model": kind_of(run.summary),
        "epoch": run.epoch,
        "num_rows": len(run.predictions),
    }


def _refitted(runs: Sequence[KeptRun], split: str) -> list[str]:
    return [
        f"the model of {run} is refitted on train and val; its answers on val are those of its "
        f"epoch {run.epoch}, before the refit"
        for run in runs
        if split == "val" and is_refitted(run.summary.params)
    ]


def kind_of(run: RunSummary) -> str:
    """What the model of a run is: rnn, linear or ensemble."""
    return run.tags.get(MODEL_TAG, "rnn")


def cautions(runs: Sequence[KeptRun], tests: Sequence[PairedTest]) -> list[str]:
    """What to know before trusting a comparison, in sentences."""
    notes = []
    kept = runs[0].predictions
    if len(kept) < kept.num_split_rows:
        notes.append(
            f"compared on a sample of {len(kept):,} of {kept.num_split_rows:,} rows, because runs "
            "keep at most 16.8 million probabilities of a split"
        )
    for run, test in zip(runs[1:], tests, strict=True):
        if test.num_unshared:
            notes.append(
                f"{runs[0]} and {run} are compared on the {test.num_rows:,} rows that both have; "
                f"{test.num_unshared:,} that only one has are left out: text settings leave some "
                "rows empty or make them equal to others"
            )
    if len(tests) > 1:
        notes.append(
            f"{len(tests)} runs are tested, and by chance alone one in 20 equal runs has p below "
            f"0.05: ask for p below {SIGNIFICANT / len(tests):.2g}"
        )
    codes = {run.summary.tags.get(CODE_TAG, "unknown") for run in runs}
    if len(codes) > 1:
        notes.append("the runs were made by different versions of rnnlane's code")
    notes.append(
        "p and the interval are about these trained models on other rows; another seed of training "
        "moves accuracy too"
    )
    return notes
