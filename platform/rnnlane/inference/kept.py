"""What finished runs keep in the store to be compared by."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnlane.config.load import load_experiment
from rnnlane.config.paths import storage_root
from rnnlane.data.prepare.prepared import open_prepared
from rnnlane.data.storage import joined
from rnnlane.errors import ConfigError, RnnlaneError, TrackingError, redact
from rnnlane.records.predictions import FOLDER, Predictions
from rnnlane.tracking.references import check_several
from rnnlane.tracking.store import (
    DATA_TAG,
    EXPERIMENT_PATH,
    RunSummary,
    download_artifacts,
    find_run,
    has_artifact,
)

RESULTS_PATH = "results.json"


@dataclass(frozen=True)
class KeptRun:
    """A finished run, with its answers on a split.

    Attributes:
        summary: of the run.
        predictions: on the split.
        epoch: the best one, whose weights the model has; None without epochs.
        metrics: of that epoch.
    """

    summary: RunSummary
    predictions: Predictions
    epoch: int | None
    metrics: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.summary.name} ({self.summary.run_id[:8]})"


def find_runs_to_compare(
    uri: str, references: Sequence[str], *, purpose: str = "a comparison"
) -> list[RunSummary]:
    """The runs that references name, which must be finished, and two or more different ones.

    Args:
        uri: the store.
        references: of the runs.
        purpose: what they are for, in an error.

    Raises:
        ConfigError: there are fewer, or one names no run that has a model.
        TrackingError: the store cannot be read.
    """
    check_several(references, purpose=purpose)
    found: dict[str, str] = {}
    runs = []
    for reference in references:
        run = find_run(uri, reference, with_model=True, of_seeds="none")
        if run.run_id in found:
            raise ConfigError(
                f"the runs of {purpose} must differ, but {found[run.run_id]!r} and {reference!r} "
                f"are both {run.name} ({run.run_id})",
                where="runs",
                remedy="of runs that share a name, give the start of each id; `rnnlane runs` has "
                "them",
            )
        found[run.run_id] = reference
        runs.append(run)
    return runs


def read_kept(uri: str, run: RunSummary, split: str) -> KeptRun:
    """Fetches what a run keeps.

    Raises:
        ConfigError, DataError, TrackingError: see :func:`read_predictions`.
    """
    predictions = read_predictions(uri, run, split)
    with tempfile.TemporaryDirectory() as scratch:
        file = download_artifacts(uri, run.run_id, RESULTS_PATH, Path(scratch))
        try:
            results = json.loads(file.read_text(encoding="utf-8"))
            epoch = results.get("best_epoch")
            metrics = results["metrics"] if epoch is None else results["history"][epoch - 1]
        except (ValueError, LookupError, TypeError, AttributeError):
            raise TrackingError(
                f"{RESULTS_PATH} must have the history of the run, but it is damaged",
                where=f"{redact(uri)}: run {run.run_id}",
            ) from None
    return KeptRun(run, predictions, epoch, metrics)


def read_predictions(uri: str, run: RunSummary, split: str) -> Predictions:
    """Fetches the probabilities that a finished run keeps of ``val`` or ``test``.

    Raises:
        ConfigError: it keeps none.
        DataError: the file is damaged.
        TrackingError: the store or its artifacts cannot be read.
    """
    path = f"{FOLDER}/{split}.parquet"
    if not has_artifact(uri, run.run_id, path):
        raise ConfigError(
            f"a run is compared by the probabilities that it keeps, but {run.name} ({run.run_id}) "
            f"has no {path}: an earlier release has trained it",
            where=redact(uri),
            remedy="train it again with this release",
        )
    with tempfile.TemporaryDirectory() as scratch:
        return Predictions.read(download_artifacts(uri, run.run_id, path, Path(scratch)))


def read_texts(
    uri: str, runs: Sequence[RunSummary], split: str, row_keys: Sequence[int]
) -> tuple[dict[int, str], str | None]:
    """The texts of rows that all of the runs have, from the first prepared data that is found.

    Returns:
        The texts by key, and why there are none if there are none.
    """
    reason = ""
    for run in runs:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                file = download_artifacts(uri, run.run_id, EXPERIMENT_PATH, Path(scratch))
                storage = storage_root(load_experiment(file))
            fingerprint = run.tags.get(DATA_TAG, "")
            path = joined(storage, "prepared", fingerprint)
            return open_prepared(path).texts(split, row_keys), None
        except RnnlaneError as error:
            reason = reason or f"{error.where or 'the experiment'}: {error.message}"
    return {}, f"the texts are not shown, because the prepared data is not here ({redact(reason)})"
