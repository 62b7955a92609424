"""Accuracy by the number of labels: `python -m tests.benchmarks.learning_curve --out FOLDER`.

IMDB's official test, for some numbers of labeled reviews: the linear baseline, a classifier from
scratch, and one that starts from a language model of the unlabeled reviews and of the texts of
train. Each seed draws reviews of its own, and a tenth of them for val, which chooses the epoch.

What is in FOLDER already is not measured again, so that an interrupted call goes on. Writes
`results.json`, `table.md` and `learning-curve.png` there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from rnnlane import pipeline  # noqa: E402
from rnnlane.config import experiment_from_mapping, load_experiment  # noqa: E402
from rnnlane.config.data import Columns  # noqa: E402
from rnnlane.config.experiment import ExperimentConfig  # noqa: E402
from rnnlane.data.sources.base import source_of  # noqa: E402

KINDS = {"baseline": "NB weights", "scratch": "from scratch", "pretrained": "pretrained"}
# With few labels an epoch has few steps.
FEWEST_STEPS, MOST_EPOCHS = 200, 75


def write_rows(folder: Path, config: ExperimentConfig) -> None:
    """Writes the labeled reviews as JSON lines: train.jsonl and test.jsonl."""
    if (folder / "test.jsonl").exists():
        return
    tasks = source_of(config.data).read_tasks(Columns())
    rows = [row for task in tasks for row in task()]
    for name, is_test in (("train", False), ("test", True)):
        lines = [
            json.dumps({"text": (row.text or b"").decode(errors="replace"), "label": row.label})
            for row in rows
            if row.official_test is is_test
        ]
        partial = folder / f"{name}.partial"
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.rename(folder / f"{name}.jsonl")


def write_sample(folder: Path, num_labels: int, seed: int) -> Path:
    """As many reviews of each class, drawn by the seed."""
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    labels = np.array([json.loads(line)["label"] for line in lines])
    random = np.random.default_rng((seed, num_labels))
    classes = sorted(set(labels.tolist()))
    chosen = [
        random.permutation(np.flatnonzero(labels == name))[: num_labels // len(classes)]
        for name in classes
    ]
    rows = np.sort(np.concatenate(chosen))
    file = folder / f"train-{num_labels}-{seed}.jsonl"
    file.write_text("\n".join(lines[row] for row in rows) + "\n", encoding="utf-8")
    return file


def experiment(
    base: ExperimentConfig, train: Path, *, seed: int, settings: Sequence[str] = ()
) -> ExperimentConfig:
    """The experiment on other labeled rows, with the official test."""
    values = base.model_dump(mode="json")
    source = {"kind": "jsonl", "path": str(train), "test_path": str(train.parent / "test.jsonl")}
    values["data"] = {**values["data"], "source": source, "columns": {}, "test": "official"}
    values |= {"seed": seed, "name": f"curve-{train.stem}", "sample_text": None}
    return experiment_from_mapping(values, settings)


def epochs_for(num_labels: int, config: ExperimentConfig) -> int:
    """More epochs where there are few labels."""
    steps = max(1, num_labels // config.training.global_batch_size)
    return min(MOST_EPOCHS, max(config.training.epochs, -(-FEWEST_STEPS // steps)))


def measured(
    folder: Path, base: ExperimentConfig, *, labels: Sequence[int], seeds: int, run_id: str
) -> Iterator[dict[str, Any]]:
    """A record for each kind, number of labels and seed."""
    # The linear model reads whole reviews, all but 2% of them: cutting them costs it a point.
    own = {"baseline": "text.max_length=1000", "pretrained": f"model.init_from={run_id}"}
    for num_labels in labels:
        for seed in range(seeds):
            train = write_sample(folder, num_labels, seed)
            for kind in KINDS:
                done: dict[str, Any] = {"kind": kind, "labels": num_labels, "seed": seed}
                done |= {"run": run_id} if kind == "pretrained" else {}
                if any(done.items() <= old.items() for old in read(folder)):
                    continue
                settings = [f"training.epochs={epochs_for(num_labels, base)}"]
                settings += [own[kind]] if kind in own else []
                config = experiment(base, train, seed=seed, settings=settings)
                verb = pipeline.baseline if kind == "baseline" else pipeline.train
                metrics = verb(config).metrics
                yield {**done, "accuracy": metrics["test/accuracy"]}


def read(folder: Path) -> list[dict[str, Any]]:
    """What was measured so far."""
    file = folder / "results.json"
    return json.loads(file.read_text()) if file.exists() else []


def table(results: Sequence[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds, in Markdown."""
    lines = [
        f"| labels | {' | '.join(KINDS.values())} |",
        f"|---:|{'---:|' * len(KINDS)}",
    ]
    for num_labels in sorted({one["labels"] for one in results}):
        cells = []
        for kind in KINDS:
            found = accuracies(results, kind, num_labels)
            spread = f" \u00b1 {statistics.stdev(found):.4f}" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found):.4f}{spread}" if found else "")
        lines.append(f"| {num_labels:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def accuracies(results: Sequence[dict[str, Any]], kind: str, num_labels: int) -> list[float]:
    """Of all seeds."""
    return [r["accuracy"] for r in results if (r["kind"], r["labels"]) == (kind, num_labels)]


def draw(results: Sequence[dict[str, Any]], file: Path) -> None:
    """Mean accuracy by the number of labels, a line a kind, and a dot a seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0))
    counts = sorted({one["labels"] for one in results})
    for kind, name in KINDS.items():
        points = [(n, found) for n in counts if (found := accuracies(results, kind, n))]
        means = [statistics.mean(found) for _, found in points]
        (line,) = axes.plot([n for n, _ in points], means, label=name)
        for n, found in points:
            axes.plot([n] * len(found), found, ".", color=line.get_color())
    axes.set_xscale("log")
    axes.set(xlabel="labeled reviews", ylabel="accuracy on the official test")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def main() -> None:
    """Measures what is not in the folder yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--experiment", default=str(ROOT / "experiments" / "pretrain-cpu.yaml"))
    parser.add_argument("--labels", default="100,1000,10000,25000")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--run", help="a run of `rnnlane pretrain`; default: one is trained")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    asked = parser.parse_args()
    folder: Path = asked.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    base = load_experiment(asked.experiment, asked.settings)
    write_rows(folder, base)
    run_id = asked.run or pipeline.pretrain(base, resume=True).run_id
    labels = [int(number) for number in asked.labels.split(",")]
    for record in measured(folder, base, labels=labels, seeds=asked.seeds, run_id=run_id):
        results = [*read(folder), record]
        (folder / "results.json").write_text(json.dumps(results, indent=1))
        print(record, flush=True)
    results = read(folder)
    (folder / "table.md").write_text(table(results))
    draw(results, folder / "learning-curve.png")
    print(table(results))


if __name__ == "__main__":
    main()
