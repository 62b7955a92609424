"""`rnnlane baseline`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnlane.cli import output
from rnnlane.cli.class_table import sample_rows, write_classes
from rnnlane.cli.options import Experiment, Json, Overrides, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.cli.run_pages import browse_rows, store_option, write_pages
from rnnlane.cli.warm_up import open_store_and_import
from rnnlane.config import load_experiment
from rnnlane.pipeline import baseline as fit_baseline

if TYPE_CHECKING:
    from rnnlane.records.results import BaselineResult


def baseline(
    experiment: Experiment,
    overrides: Overrides = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Fit a logistic regression of weighted n-grams on the same data, as a baseline.

    Examples:
        rnnlane baseline experiments/demo.yaml
    """
    config = load_experiment(experiment, overrides or ())
    open_store_and_import("rnnlane.execution.baseline", tracking_uri=config.tracking.uri)
    with events_for(verbose=verbose) as events:
        result = fit_baseline(config, events=events)
    if as_json:
        output.write_json(result.as_dict())
        return
    accuracy = "   ".join(
        f"{split} {result.metrics[f'{split}/accuracy']:.4f}" for split in ("train", "val", "test")
    )
    store = store_option(config, result)
    rows = [
        ["accuracy", accuracy],
        ["macro F1", f"test {result.metrics['test/macro_f1']:.4f}"],
        ["fit", _fit(result)],
        *sample_rows(result.sample, verdict=result.verdict),
        ["run", f"{result.run_id} in {result.tracking_uri}"],
        *([["report", result.report]] if result.report else []),
        *browse_rows(result, store=store),
        ["ask", f'rnnlane predict{store} --run {result.run_id[:8]} "a text"'],
    ]
    output.write_table(rows, title=f"{config.name}, linear baseline: finished")
    write_classes(result.classes, result.confused)
    for note in result.notes:
        output.write(f"note: {note}")
    write_pages(result)


def _fit(result: BaselineResult) -> str:
    weighting = {"nb": "log-ratios", "tfidf": "TF-IDF"}[result.weighting]
    return (
        f"{weighting} of {result.num_ngrams:,} n-grams, of up to {result.num_words} words, in "
        f"{result.fit_s:.1f} s"
    )
