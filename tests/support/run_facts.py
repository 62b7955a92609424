"""What the report of a run is about, made up."""

from typing import Any

import numpy as np

from rnnlane.config import experiment_from_mapping
from rnnlane.data.prepare.prepared import Manifest, SourceInfo, SplitStats
from rnnlane.inference.calibration import at_temperature, choose_temperature
from rnnlane.records.predictions import Predictions
from rnnlane.reports.run_facts import LinearScores, Mistake, RunFacts

NAMES = ("bad", "good")


def experiment(*overrides: str) -> Any:
    data = {"source": {"kind": "generated"}}
    values = {"name": "tickets", "data": data, "training": {"epochs": 3}}
    return experiment_from_mapping(values, overrides)


def split_stats(counts: list[int], names: tuple[str, ...], **changes: Any) -> SplitStats:
    lengths = {"min": 2, "p10": 5, "p50": 20, "p90": 90, "p99": 200, "max": 400, "mean": 30}
    values: dict[str, Any] = {
        "num_rows": sum(counts),
        "num_tokens": 30 * sum(counts),
        "class_counts": dict(zip(names, counts, strict=True)),
        "length_quantiles": lengths,
        "unknown_token_rate": 0.01,
    }
    return SplitStats(**{**values, **changes})


def manifest(names: tuple[str, ...] = NAMES, **changes: Any) -> Manifest:
    counts = {
        "train": [500] * len(names),
        "val": [400] * len(names),
        "test": [300] * len(names),
    }
    values: dict[str, Any] = {
        "format_version": 1,
        "fingerprint": "f",
        "source": SourceInfo(kind="csv", fingerprint="s", location="tickets.csv"),
        "config": experiment().model_dump(mode="json"),
        "code_version": "c",
        "versions": {},
        "class_names": names,
        "vocabulary_size": 1000,
        "splits": {name: split_stats(of, names) for name, of in counts.items()},
        "num_rows_read": 2500,
        "dropped": {"empty_text": 3},
        "merged": {},
        "conflicts": {},
        "num_conflicts": 0,
        "repaired": {},
        "cut": {"max_length": 10},
        "warnings": (),
        "data_folder": "data",
        "files": {},
        "created_at": "2026-01-01",
        "seconds": 1.0,
    }
    return Manifest(**{**values, **changes})


def predictions(
    names: tuple[str, ...], num_rows: int, *, too_certain: float = 4.0, seed: int = 0
) -> Predictions:
    """Labels drawn from a softmax, and the probabilities of that softmax with other logits."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=(num_rows, len(names)))
    drawn = random.random(num_rows)[:, None]
    labels = (at_temperature(logits, 1.0).cumsum(axis=1) < drawn).sum(axis=1)
    return Predictions(
        row_keys=np.arange(num_rows, dtype=np.uint64),
        labels=labels.clip(max=len(names) - 1),
        probabilities=at_temperature(too_certain * logits, 1.0).astype(np.float32),
        class_names=names,
    )


def epoch(number: int, train: float, val: float, accuracy: float = 0.8) -> dict[str, float]:
    return {
        "epoch": float(number),
        "train/loss": train,
        "val/loss": val,
        "train/accuracy": 0.9,
        "val/accuracy": accuracy,
        "val/macro_f1": accuracy,
        "grad_norm/nonfinite_steps": 0.0,
        "throughput/rows_per_s": 1234.0,
        "time/epoch_s": 2.0,
    }


def run_facts(*overrides: str, names: tuple[str, ...] = NAMES, **changes: Any) -> RunFacts:
    of = {split: predictions(names, 800, seed=seed) for seed, split in enumerate(("val", "test"))}
    confusions = {}
    for split, one in of.items():
        confusions[split] = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(confusions[split], (one.labels, one.predicted), 1)
    accuracies = {f"{split}/accuracy": float(one.is_right.mean()) for split, one in of.items()}
    values: dict[str, Any] = {
        "config": experiment(*overrides),
        "manifest": manifest(names),
        "metrics": {**accuracies, "test/macro_f1": accuracies["test/accuracy"]},
        "confusions": confusions,
        "predictions": of,
        "temperature": choose_temperature(None, of["val"]),
        "mistakes": [Mistake("a <b>dull</b> film", "bad", "good", 0.99)],
        "history": [epoch(1, 0.6, 0.6), epoch(2, 0.5, 0.5, 0.9), epoch(3, 0.49, 0.5)],
        "best_epoch": 2,
        "clip": {"max_norm": 3.0, "reason": "as given", "clipped_fraction": 0.2},
        "linear": LinearScores({**accuracies, "test/macro_f1": 0.8}, "run 0a1b2c3d"),
        "sample": {
            "text": "A film.",
            "label": "good",
            "probabilities": {"bad": 0.25, "good": 0.75},
            "true_label": "good",
        },
    }
    return RunFacts(**{**values, **changes})
