"""`rnnlane pretrain`."""

from __future__ import annotations

from rnnlane.cli import output
from rnnlane.cli.options import Experiment, Json, Overrides, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.cli.run_pages import browse_rows, store_option, write_pages
from rnnlane.cli.train import Resume, Workers
from rnnlane.cli.warm_up import open_store_and_import
from rnnlane.config import load_experiment
from rnnlane.pipeline import pretrain as pretrain_experiment


def pretrain(
    experiment: Experiment,
    overrides: Overrides = None,
    workers: Workers = None,
    resume: Resume = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train a language model on the texts of train and on unlabeled ones, for model.init_from.

    Examples:
        rnnlane pretrain experiments/pretrain-cpu.yaml
        rnnlane pretrain tickets.yaml --set pretraining.epochs=3 --workers 0
        rnnlane pretrain tickets.yaml --resume
    """
    settings = list(overrides or ())
    if workers is not None:
        settings.append(f"runtime.num_workers={workers}")
    config = load_experiment(experiment, settings)
    open_store_and_import("rnnlane.execution.pretraining", tracking_uri=config.tracking.uri)
    with events_for(verbose=verbose) as events:
        result = pretrain_experiment(config, resume=resume, events=events)
    if as_json:
        output.write_json(result.as_dict())
        return
    metrics = result.metrics
    backward = metrics.get("val/perplexity_backward")
    store = store_option(config, result)
    rows = [
        ["texts", "   ".join(f"{name} {count:,}" for name, count in result.num_texts.items())],
        [
            "perplexity",
            f"val {metrics['val/perplexity']:.1f}"
            + ("" if backward is None else f"   backward {backward:.1f}")
            + f"   (epoch {result.best_epoch} of {result.epochs})",
        ],
        ["speed", f"{metrics['throughput/tokens_per_s']:,.0f} tokens/s"],
        ["run", f"{result.run_id} in {result.tracking_uri}"],
        *browse_rows(result, store=store),
        ["use", f"rnnlane train {experiment} --set model.init_from={result.run_id[:8]}"],
    ]
    output.write_table(rows, title=f"{config.name}, language model: finished")
    write_pages(result)
