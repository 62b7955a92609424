"""Pictures and a table of finished runs: `python -m tests.benchmarks.real_runs FOLDER RUN...`.

Each RUN is a file that `rnnlane train --json` wrote, at least one for each of the four experiments;
FOLDER receives the pictures. Runs of one name are seeds of one experiment: the picture of each has
them all, that of the layers the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from rnnlane.reports.figures import BLUE, GREEN, ORANGE, VERMILION, picture

PAIRS = (("rnn-1", "birnn-3"), ("lstm-1", "bilstm-3"))
COLORS = {"rnn-1": ORANGE, "birnn-3": VERMILION, "lstm-1": GREEN, "bilstm-3": BLUE}


def read(file: Path) -> dict[str, Any]:
    """A run: its answer, and its history and its experiment's name from its folder."""
    answer = json.loads(file.read_text(encoding="utf-8"))
    folder = Path(answer["run_folder"])
    results = json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))
    return {**answer, "history": results["history"], "name": folder.name.rpartition("-")[0]}


def draw_each(runs: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Train against val over the epochs, a panel for each experiment."""
    with picture(file, width=10, height=6) as figure:
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        for axes, name in zip(panels.flat, COLORS, strict=True):
            for seed in runs[name]:
                for split, style in (("train", "--"), ("val", "-")):
                    values = [record[f"{split}/accuracy"] for record in seed["history"]]
                    label = split if seed is runs[name][0] else None
                    axes.plot(
                        range(1, len(values) + 1),
                        values,
                        style,
                        color=COLORS[name],
                        label=label,
                        alpha=1.0 if seed is runs[name][0] else 0.4,
                    )
            axes.set(title=name, ylim=(0.5, 1.0), xlabel="epoch", ylabel="accuracy")
            axes.legend(loc="lower right")


def draw_layers(runs: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """One layer beside three bidirectional ones: validation accuracy."""
    with picture(file, width=10, height=3.6) as figure:
        for axes, pair in zip(figure.subplots(1, 2, sharey=True), PAIRS, strict=True):
            for name in pair:
                values = [record["val/accuracy"] for record in runs[name][0]["history"]]
                axes.plot(range(1, len(values) + 1), values, "o-", color=COLORS[name], label=name)
            axes.set(title=" against ".join(pair), xlabel="epoch", ylabel="val accuracy")
            axes.legend()


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """A line for each experiment, means over its seeds."""
    lines = [
        "| Experiment | Seeds | Best epoch | Val accuracy | Test accuracy | Test macro F1 "
        "| Steps clipped | Sample sentence positive |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        best = [seed["metrics"]["best"] for seed in seeds]

        def told(key: str, best: list[dict[str, float]] = best) -> str:
            values = [metrics[key] for metrics in best]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            return f"{statistics.mean(values):.3f}{spread}"

        clipped = statistics.mean(seed["clip"]["clipped_fraction"] for seed in seeds)
        epochs = ", ".join(str(seed["best_epoch"]) for seed in seeds)
        positive = ", ".join(f"{seed['sample']['probabilities']['pos']:.0%}" for seed in seeds)
        lines.append(
            f"| `{name}` | {len(seeds)} | {epochs} | {told('val/accuracy')} "
            f"| {told('test/accuracy')} | {told('test/macro_f1')} | {clipped:.0%} | {positive} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in arguments.runs:
        run = read(file)
        runs[run["name"]].append(run)
    draw_each(runs, arguments.folder / "four-curves.png")
    draw_layers(runs, arguments.folder / "one-against-three-layers.png")
    print(table(runs))


if __name__ == "__main__":
    main()
