"""What a search costs and gains: `python -m tests.benchmarks.search overhead|stopping|clip`.

overhead: seconds a trial beyond its training, with and without MLflow, over the course of a search.
stopping: asha against the full search over the same trials, on generated reviews, three seeds.
clip:     clip values for a recurrent network on generated reviews with long dependencies.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from rnnlane import pipeline  # noqa: E402
from rnnlane.config import ExperimentConfig, experiment_from_mapping  # noqa: E402
from rnnlane.execution.environment import describe_environment  # noqa: E402


def experiment(name: str, *, search: dict[str, Any], **sections: Any) -> ExperimentConfig:
    values = {
        "name": name,
        "data": {"source": {"kind": "generated", "num_rows": 2000}, "val": 0.3, "test": 0.1},
        "tracking": {"system_metrics": False},
        "runtime": {"device": "cpu"},
        "search": search,
        **sections,
    }
    return experiment_from_mapping(values)


def records(config: ExperimentConfig) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs a search; its trials as the table has them, and its answer."""
    import csv

    result = pipeline.tune(config)
    table = Path(result.report).with_name("trials.csv")
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines)), result.as_dict()


def overhead(num_trials: int) -> None:
    """Trials one at a time, so that times do not overlap."""
    config = experiment(
        "overhead",
        data={"source": {"kind": "generated", "num_rows": 300}},
        model={"embedding_dim": 8, "hidden_size": 8},
        training={"epochs": 1, "clip": {"policy": "none"}},
        search={
            "space": {"training.learning_rate": "loguniform(1e-3, 1e-1)"},
            "algorithm": "optuna",
            "num_trials": num_trials,
            "max_concurrent": 1,
        },
    )
    for with_mlflow in (True, False):
        trials = _tuned_trials(config, with_mlflow=with_mlflow)
        beyond = [trial.ended_at - trial.started_at - _trained_s(trial.history) for trial in trials]
        gaps = [later.started_at - earlier.ended_at for earlier, later in pairwise(trials)]
        whole = [one + gap for one, gap in zip(beyond[1:], gaps, strict=True)]
        tenths = [whole[len(whole) * n // 10 : len(whole) * (n + 1) // 10] for n in range(10)]
        print(
            f"{'with' if with_mlflow else 'without'} MLflow, {len(trials)} trials: "
            f"{statistics.mean(whole):.3f} s a trial beyond training (first trial "
            f"{beyond[0]:.1f} s); by tenths of the search: "
            f"{' '.join(f'{statistics.median(tenth):.3f}' for tenth in tenths)} s",
            flush=True,
        )


def _tuned_trials(config: ExperimentConfig, *, with_mlflow: bool) -> list[Any]:
    """The trials of a search that ran with its tracker, or with one that does nothing."""
    from rnnlane.search import search

    if with_mlflow:
        captured: list[Any] = []
        original = search.write_search_results

        def capture(folder: Path, config: Any, found: Any, *, record: Any) -> Any:
            captured.extend(found.trials)
            return original(folder, config, found, record=record)

        search.write_search_results = capture
        try:
            pipeline.tune(config)
        finally:
            search.write_search_results = original
        return captured
    return _bare_search(config)


def _bare_search(config: ExperimentConfig) -> list[Any]:
    import ray

    from rnnlane.execution.run import training_data
    from rnnlane.search.dispatcher import TrialEvents
    from rnnlane.search.ray_tune import run_trials
    from rnnlane.search.search import data_key, trial_resources
    from rnnlane.search.study import open_trials
    from rnnlane.search.trial_worker import TrialTask

    prepared = pipeline.prepare(config)
    data = ray.put(training_data(config, prepared, splits=("train", "val")))
    runtime = config.runtime.model_copy(update={"num_workers": 1})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        study = open_trials(folder / "trials.sqlite", config, key="bare")

        def make_task(spec: Any) -> TrialTask:
            plain = spec.config.model_copy(update={"runtime": runtime})
            return TrialTask(
                config=plain.model_dump_json(exclude={"tracking"}),
                data=data_key(config),
                checkpoints=str(folder / spec.key),
                gpus_per_worker=0.0,
            )

        run_trials(
            study,
            resources=trial_resources(config),
            datasets={data_key(config): data},
            make_task=make_task,
            deadline=float("inf"),
            scratch=folder / "tune",
            events=TrialEvents(),
        )
        return list(study.records())


def _trained_s(history: Any) -> float:
    return sum(record["time/epoch_s"] + record["time/validation_s"] for record in history)


def stopping(num_trials: int) -> None:
    """The same random trials, in full and cut by asha."""
    gaps, shares = [], []
    for seed in (0, 1, 2):
        answers = {}
        for scheduler in ("none", "asha"):
            config = experiment(
                f"stopping-{scheduler}-{seed}",
                seed=seed,
                data={"source": {"kind": "generated", "num_rows": 4000}, "val": 0.3, "test": 0.1},
                model={"cell": "lstm", "embedding_dim": 16},
                training={"epochs": 8, "clip": {"policy": "none"}},
                search={
                    "space": {
                        "model.hidden_size": "choice(8, 16, 32)",
                        "model.num_layers": "randint(1, 2)",
                        "model.pooling": "choice(last, mean, max)",
                        "training.learning_rate": "loguniform(1e-3, 2e-2)",
                    },
                    "algorithm": "random",
                    "scheduler": scheduler,
                    "num_trials": num_trials,
                },
            )
            _, answers[scheduler] = records(config)
        full, cut = answers["none"], answers["asha"]
        gap = full["best"]["value"] - cut["best"]["value"]
        share = cut["epochs_trained"] / full["epochs_trained"]
        gaps.append(gap)
        shares.append(share)
        print(
            f"seed {seed}: full {full['best']['value']:.4f} in {full['epochs_trained']} epochs, "
            f"asha {cut['best']['value']:.4f} in {cut['epochs_trained']} ({share:.0%})",
            flush=True,
        )
    print(
        f"mean of {len(gaps)} seeds: asha {100 * statistics.mean(gaps):.2f} points below the best "
        f"of the full search, with {statistics.mean(shares):.0%} of its epochs"
    )


def clip(num_clauses: int, learning_rate: float) -> None:
    """Every clip setting with three seeds."""
    config = experiment(
        "clip",
        data={
            "source": {"kind": "generated", "num_rows": 8000, "mean_clauses": num_clauses},
            "val": 0.3,
            "test": 0.1,
        },
        text={"max_length": 300},
        model={"cell": "rnn", "embedding_dim": 32, "hidden_size": 64, "num_layers": 2},
        training={
            "epochs": 10,
            "learning_rate": learning_rate,
            "clip": {"policy": "auto", "calibration_steps": 56},
        },
        search={
            "space": {
                "training.clip.policy": "choice(none, fixed, auto)",
                "training.clip.max_norm": {
                    "choice": [0.01, 0.1, 1, 10],
                    "when": {"training.clip.policy": ["fixed"]},
                },
                "training.clip.of_mean": {
                    "choice": [0.25, 0.5, 1],
                    "when": {"training.clip.policy": ["auto"]},
                },
            },
            "algorithm": "grid",
            "scheduler": "none",
            "num_trials": 20,
            "finalists": 20,
            "repeats": 3,
        },
    )
    table, _ = records(config)
    for row in sorted(table, key=lambda row: -float(row["score"])):
        print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["overhead", "stopping", "clip"])
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--clauses", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    arguments = parser.parse_args()
    print({**describe_environment(), "load before": f"{os.getloadavg()[0]:.2f}"}, flush=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        os.environ["RNNLANE_HOME"] = home
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if arguments.what == "overhead":
            overhead(arguments.trials or 50)
        elif arguments.what == "stopping":
            stopping(arguments.trials or 24)
        else:
            clip(arguments.clauses, arguments.learning_rate)
    print(f"{time.perf_counter() - started:.0f} s; load after {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
