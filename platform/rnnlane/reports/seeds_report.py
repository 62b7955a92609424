"""The runs of several seeds in words: a self-contained HTML page, and a CSV of the seeds."""

from __future__ import annotations

import csv
import io

from rnnlane.records.seeds import SHOWN_METRICS, SeedsResult, plus_minus, seed_table
from rnnlane.reports.page import render_page

_COLUMNS = ("seed", "run_id", "best_epoch", "epochs")


def seeds_csv(result: SeedsResult) -> str:
    """One line per seed: its run, its best epoch, and its metrics."""
    keys = list(result.metrics)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *keys])
    for one in result.seeds:
        metrics = (one["metrics"][key] for key in keys)
        writer.writerow([*(one[column] for column in _COLUMNS), *metrics])
    return text.getvalue()


def seeds_html(result: SeedsResult, *, name: str, experiment: str) -> str:
    """One HTML page that needs no other file, no script and no network.

    Args:
        result: of the seeds.
        name: of the experiment.
        experiment: as YAML.
    """
    spread = {key: plus_minus(one["mean"], one["std"]) for key, one in result.metrics.items()}
    return render_page(
        "seeds_report.html.j2",
        kind=f"{result.num_seeds} seeds of an experiment",
        name=name,
        facts={shown: spread[key] for key, shown in SHOWN_METRICS.items() if key in spread},
        pictures=(),
        found=_found(result),
        notes=result.notes,
        seeds=seed_table(result.seeds),
        best=str(result.best_seed),
        metrics=[
            [key, *(f"{one[what]:.4f}" for what in ("mean", "std", "min", "max"))]
            for key, one in result.metrics.items()
        ],
        experiment=experiment,
    )


def _found(result: SeedsResult) -> list[str]:
    return [
        "Mean ± sample standard deviation over the seeds, which change initial weights, batches "
        "and dropout; the splits are the same.",
        "A difference between two experiments that is no larger than this may be chance.",
        f"Seed {result.best_seed} is the best on val (by {result.metric}): predict, evaluate and "
        "promote take its model.",
    ]
