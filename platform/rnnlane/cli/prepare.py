"""`rnnlane prepare`."""

from __future__ import annotations

import time

from rnnlane.cli import output
from rnnlane.cli.options import Experiment, Json, Overrides, Verbose
from rnnlane.cli.progress import events_for
from rnnlane.config import load_experiment
from rnnlane.pipeline import prepare as prepare_data


def prepare(
    experiment: Experiment,
    overrides: Overrides = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Clean, tokenize, split and encode the texts, or reuse the data if that was done before.

    Examples:
        rnnlane prepare experiments/demo.yaml
        rnnlane prepare tickets.yaml --set text.max_length=200
    """
    config = load_experiment(experiment, overrides or ())
    started = time.perf_counter()
    with events_for(verbose=verbose) as events:
        prepared = prepare_data(config, events=events)
    elapsed_s = time.perf_counter() - started
    manifest = prepared.manifest
    if as_json:
        output.write_json(
            {
                "prepared_path": prepared.path,
                "data_fingerprint": prepared.fingerprint,
                "elapsed_s": elapsed_s,
                "manifest": manifest.model_dump(mode="json"),
            }
        )
        return
    # Imports pyarrow, which is there by now.
    from rnnlane.data.prepare.labels import counts_text

    rows = [
        [
            name,
            f"{stats.num_rows:,}",
            counts_text(stats.class_counts),
            f"{stats.length_quantiles['p50']:.0f} / {stats.length_quantiles['max']:.0f}",
            f"{stats.unknown_token_rate:.2%}",
        ]
        for name, stats in manifest.splits.items()
    ]
    header = ["split", "rows", "classes", "tokens, median / most", "unknown"]
    output.write_table(rows, header=header, title=f"{prepared.path}  ({elapsed_s:.1f} s)")
