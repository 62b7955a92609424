"""`rnnlane predict`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Device, Json, Run, TrackingUri
from rnnlane.config import load_experiment
from rnnlane.data.tables import (
    SUFFIXES,
    TextTable,
    answered_table,
    read_table,
    table_kind,
)
from rnnlane.data.text_files import decode_text, split_lines
from rnnlane.errors import ConfigError

if TYPE_CHECKING:
    from rnnlane.inference.predictor import Predictions

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="Texts to classify; default: from stdin, one per line."),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="A file with one text per line, or a .csv, .tsv, .jsonl or .parquet table whose text "
        "column is named as in the run's experiment.",
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write the answers to this file: a table with all columns of the one that was read. "
        f"Its name must end in {SUFFIXES}.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Also plot the answers of the first 8 texts to this PNG file."),
]

NOT_SURE = "not sure"


class Target(NamedTuple):
    """Where a table of answers goes, and as what."""

    file: Path
    kind: str


def predict(  # noqa: PLR0913, PLR0917 - each is an option
    texts: Texts = None,
    run: Run = "latest",
    file: File = None,
    output_file: OutputFile = None,
    plot: Plot = None,
    device: Device = "auto",
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Classify texts with the model of a run: label and confidence for each.

    Examples:
        rnnlane predict --run latest "The parcel never arrived."
        rnnlane predict --run 1a2b3c4d --file texts.csv --output answers.csv
        cat texts.txt | rnnlane predict --json
    """
    target = None if output_file is None else _target(output_file, file)
    asked = _asked(texts, file)
    table, predictions = _classify(asked, run=run, device=device, tracking_uri=tracking_uri)
    answered = None
    if target is not None:
        delimiter = "\t" if target.file.suffix.lower() == ".tsv" else ","
        columns = predictions.columns()
        answered = answered_table(table, columns, kind=target.kind, delimiter=delimiter)
    answers = predictions.answers(table.texts)
    if plot is not None:
        _draw(answers, plot)
    _tell(table, predictions)
    if target is not None and answered is not None:
        _write(answered, target.file)
        output.note(f"wrote {len(answers):,} answers to {target.file}")
    if as_json:
        output.write_json({"predictions": answers})
    elif target is None:
        _print(table, predictions, answers)


def _classify(
    asked: TextTable | Path, *, run: str, device: Device, tracking_uri: str | None
) -> tuple[TextTable, Predictions]:
    """Like :func:`rnnlane.pipeline.predict`, but imports MLflow in a second process meanwhile.

    Within one process, torch and MLflow are imported one after the other, even with threads.

    Args:
        asked: texts; or a table, which is read as the run's experiment says.
        run: as the pipeline takes it.
        device: as the pipeline takes it.
        tracking_uri: the MLflow store.
    """
    from rnnlane.tracking.model_fetcher import ModelFetcher
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(tracking_uri)
    is_file = isinstance(asked, Path)
    with (
        tempfile.TemporaryDirectory() as scratch,
        ModelFetcher(uri, run, Path(scratch), with_experiment=is_file) as fetcher,
    ):
        from rnnlane.inference.ensemble import load_bundled
        from rnnlane.training.group import in_process

        group = in_process(device, where="device")
        folder = fetcher.folder()
        if isinstance(asked, Path):
            asked = read_table(asked, load_experiment(fetcher.experiment).data)
        predictor = load_bundled(folder, device=group.device)
    return asked, predictor.predict(asked.texts)


def _asked(texts: list[str] | None, file: Path | None) -> TextTable | Path:
    """The texts; or the file, if it is a table."""
    if texts and file is not None:
        raise ConfigError(
            "texts come from the command line or from --file, but got both",
            where="command line",
            remedy="leave one of them out",
        )
    if texts:
        return TextTable.of_texts(texts)
    where = str(file or "stdin")
    try:
        if file is not None and table_kind(file.name) is not None:
            with file.open("rb"):  # a file that is not there is told before anything starts
                return file
        content = _stdin() if file is None else file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the texts: {error.strerror}",
            where=where,
            remedy="give the path of a file; a text that begins with a dash comes after --",
        ) from None
    remedy = f"give text in UTF-8, or a table whose name ends in {SUFFIXES}"
    text, num_broken = decode_text(content, where=where, remedy=remedy)
    lines = split_lines(text)
    if not any(line.strip() for line in lines):
        raise ConfigError(
            "at least one text is needed, but got none",
            where=where,
            remedy='for example: rnnlane predict "A film to remember."',
        )
    return TextTable.of_texts(lines, num_broken=num_broken)


def _stdin() -> bytes:
    return sys.stdin.buffer.read() if sys.stdin is not None else b""  # None: it is closed


def _target(output_file: Path, file: Path | None) -> Target:
    where = f"--output {output_file}"
    kind = table_kind(output_file.name)
    if kind is None or output_file.suffix.lower() not in {".csv", ".tsv", ".jsonl", ".parquet"}:
        raise ConfigError(
            f"the file of the answers must end in {SUFFIXES}, but got {output_file.name!r}",
            where=where,
        )
    if not output_file.parent.is_dir():
        raise ConfigError(
            "the folder of the answers must exist, but there is none",
            where=where,
            remedy=f"make {output_file.parent}",
        )
    if file is not None and output_file.exists() and file.exists() and output_file.samefile(file):
        raise ConfigError(
            "the answers must not replace the texts, but --output is the file that is read",
            where=where,
            remedy="name another file",
        )
    return Target(output_file, kind)


def _write(content: bytes, file: Path) -> None:
    """Writes a file whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigError(f"cannot write the answers: {error.strerror}", where=str(file)) from None


def _tell(table: TextTable, predictions: Predictions) -> None:
    """What a person should know before using the answers."""
    num_empty = int((predictions.num_known_tokens == 0).sum())
    num_texts = f"{len(table.texts):,}"
    if table.num_broken:
        what = "texts" if table.kind == "parquet" else "lines"
        output.note(f"{what} with bytes that are not UTF-8, left out: {table.num_broken:,}")
    if table.num_missing:
        output.note(f"rows without a text: {table.num_missing:,} of {num_texts}")
    if num_empty:
        output.note(
            f"texts without a token that the model knows: {num_empty:,} of {num_texts}; "
            "their answers say nothing about them"
        )
    num_unsure = int((~predictions.is_sure).sum())
    if num_unsure > num_empty:
        output.note(
            f"answers that are hardly more than a guess ({NOT_SURE}): {num_unsure:,} of "
            f"{num_texts}; no class is a fifth of the way from chance to certainty, or most of "
            "the text's tokens are unknown"
        )


def _print(table: TextTable, predictions: Predictions, answers: list[dict[str, Any]]) -> None:
    """A table as it was read, JSON lines for Parquet; a line for each of texts alone."""
    if table.kind is not None:
        kind = "csv" if table.kind == "csv" else "jsonl"
        content = answered_table(table, predictions.columns(), kind=kind, delimiter=table.delimiter)
        output.write_file(content.decode())
        return
    for answer in answers:
        label, text = output.one_line(answer["label"]), output.one_line(answer["text"])
        probability = answer["probabilities"][answer["label"]]
        output.write(f"{label}\t{probability:.4f}\t{text}{_mark(answer)}")


def _mark(answer: dict[str, Any]) -> str:
    """What is to be said of an answer, as a further column; nothing of a sure one."""
    remarks = [] if answer["is_sure"] else [NOT_SURE]
    known, total = answer["num_known_tokens"], answer["num_tokens"]
    if known == 0:
        remarks.append("no known token")
    elif known < total:
        remarks.append(f"{1 - known / total:.0%} of the tokens unknown")
    return f"\t({'; '.join(remarks)})" if remarks else ""


def _draw(predictions: list[dict[str, Any]], plot: Path) -> None:
    import numpy as np

    from rnnlane.reports.figures import MAX_TEXTS, save_confidence

    if not predictions:
        output.note("there is no picture, as there are no texts")
        return
    shown = predictions[:MAX_TEXTS]
    if len(shown) < len(predictions):
        output.note(f"the picture shows the first {len(shown)} of {len(predictions)} texts")
    probabilities = [prediction["probabilities"] for prediction in shown]
    names = list(probabilities[0])
    values = np.array([[row[name] for name in names] for row in probabilities])
    try:
        texts = [output.one_line(prediction["text"]) for prediction in shown]
        save_confidence(texts, values, names, plot)
    except OSError as error:
        raise ConfigError(f"cannot write the picture: {error.strerror}", where=str(plot)) from None
