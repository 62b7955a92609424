"""`rnnlane predict`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, Run, TrackingUri
from rnnlane.errors import ConfigError

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT]...", help="Texts to classify; default: one a line from stdin."),
]
File = Annotated[Path | None, typer.Option("--file", "-f", help="A file with one text per line.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Also plot them into this PNG file.")]


def predict(
    texts: Texts = None,
    run: Run = "latest",
    file: File = None,
    plot: Plot = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Classify texts with the model of a run: label and confidence for each."""
    asked = _asked(texts, file)
    predictions = _classify(asked, run=run, tracking_uri=tracking_uri)
    if plot is not None:
        _draw(predictions, plot)
    if as_json:
        output.write_json({"predictions": predictions})
        return
    for prediction in predictions:
        label = prediction["label"]
        output.write(f"{label}\t{prediction['probabilities'][label]:.4f}\t{prediction['text']}")


def _classify(texts: list[str], *, run: str, tracking_uri: str | None) -> list[dict[str, Any]]:
    """Like :func:`rnnlane.pipeline.predict`, but imports MLflow in a second process meanwhile.

    Within one process, torch and MLflow are imported one after the other, even with threads.
    """
    from rnnlane.tracking.model_fetcher import ModelFetcher
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(tracking_uri)
    with (
        tempfile.TemporaryDirectory() as scratch,
        ModelFetcher(uri, run, Path(scratch)) as fetcher,
    ):
        from rnnlane.inference.predictor import Predictor
        from rnnlane.reports.artifacts import answers

        predictor = Predictor.load(fetcher.folder())
    return answers(texts, predictor, predictor.probabilities(texts))


def _asked(texts: list[str] | None, file: Path | None) -> list[str]:
    if texts and file is not None:
        raise ConfigError(
            "texts come from the command line or from --file, but got both",
            where="command line",
            remedy="leave one of them out",
        )
    if texts:
        return texts
    try:
        content = sys.stdin.buffer.read() if file is None else file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the texts: {error.strerror}", where=str(file), remedy="give a text file"
        ) from None
    lines = content.decode("utf-8", errors="replace").splitlines()
    asked = [line for line in lines if line.strip()]
    if not asked:
        raise ConfigError(
            "at least one text is needed, but got none",
            where=str(file or "stdin"),
            remedy='for example: rnnlane predict "A film to remember."',
        )
    return asked


def _draw(predictions: list[dict[str, object]], plot: Path) -> None:
    import numpy as np

    from rnnlane.reports.figures import MAX_TEXTS, save_confidence

    shown = predictions[:MAX_TEXTS]
    if len(shown) < len(predictions):
        output.note(f"the picture shows the first {len(shown)} of {len(predictions)} texts")
    probabilities = [prediction["probabilities"] for prediction in shown]
    names = list(probabilities[0])  # type: ignore[call-overload]
    values = np.array([[row[name] for name in names] for row in probabilities])  # type: ignore[index]
    try:
        save_confidence([str(prediction["text"]) for prediction in shown], values, names, plot)
    except OSError as error:
        raise ConfigError(f"cannot write the picture: {error.strerror}", where=str(plot)) from None
