"""`rnnlane compare`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, TrackingUri, whole_number
from rnnlane.errors import ConfigError
from rnnlane.pipeline import compare as compare_runs
from rnnlane.records.results import p_value_text

if TYPE_CHECKING:
    from rnnlane.records.results import Comparison

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        help="Two runs or more: of each its id or the start of it, its name, latest, or "
        "models:/NAME@ALIAS. The others are compared with the first.",
    ),
]
SplitName = Annotated[
    Literal["val", "test"], typer.Option("--split", help="The rows to compare on.")
]
NumTexts = Annotated[
    int,
    typer.Option(
        "--texts",
        parser=whole_number(at_least=0),
        metavar="N",
        help="Texts on which the runs disagree most, at most.",
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Also draw the comparison to this PNG file.")
]

# Of the metrics, those that people compare runs by; --json has all.
_SCORES, _SPEEDS = ("val/", "test/", "train/"), ("throughput/rows_per_s", "time/epoch_s")
# All tables fit 80 columns: a key, and a column for each run of at most so many.
RUNS_PER_TABLE = 4
_HEAD_CHARS, _TAIL_CHARS = 250, 150
_WIDTH, _KEY_CHARS, _VALUE_CHARS, _NAME_CHARS = 78, 26, 10, 30


def compare(
    runs: Runs,
    split: SplitName = "test",
    texts: NumTexts = 5,
    plot: Plot = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Compare finished runs on the same rows: settings, metrics, a paired test, texts.

    The test is McNemar's with mid-p; the interval of the difference is a bootstrap of the rows.
    Rows are matched by text and class, so runs may differ in every setting of text and model.

    Examples:
        rnnlane compare 1f3e22ab 9c0d77e1
        rnnlane compare rnn-1 lstm-1 bilstm-3 --plot compared.png
    """
    _check_picture(plot)
    try:
        comparison = compare_runs(
            runs, split=split, num_texts=texts, plot=plot, tracking_uri=tracking_uri
        )
    except OSError as error:
        if plot is None:
            raise
        raise ConfigError(f"cannot write the picture: {error.strerror}", where=str(plot)) from None
    if as_json:
        output.write_json(comparison.as_dict())
        return
    _show(comparison)


def _check_picture(plot: Path | None) -> None:
    """Refuses a picture that cannot be written, before anything is fetched."""
    if plot is not None and (plot.suffix.lower() != ".png" or not plot.parent.is_dir()):
        reason = "its folder must exist" if plot.suffix.lower() == ".png" else "it must be a .png"
        raise ConfigError(
            f"a picture is written to a file, and {reason}, but got {str(plot)!r}",
            where="--plot",
            remedy="give a name such as compared.png",
        )


def _show(comparison: Comparison) -> None:
    letters = [_letter(number) for number in range(len(comparison.runs))]
    rows = [
        [letter, run["run_id"][:8], _cut(run["name"], _NAME_CHARS), _epoch(run)]
        for letter, run in zip(letters, comparison.runs, strict=True)
    ]
    split = comparison.split
    output.write_table(rows, header=["", "run", "name", "best epoch"])
    _write_tests(comparison, letters)
    metrics = {
        key: [_number(v) for v in row]
        for key, row in comparison.metrics.items()
        if key.startswith(_SCORES) or key in _SPEEDS
    }
    _write_by_run(metrics, letters, title="metrics of the best epoch")
    config = {
        key: [_cut("-" if v is None else v, _VALUE_CHARS) for v in row]
        for key, row in comparison.config.items()
    }
    _write_by_run(config, letters, title="settings that differ")
    if comparison.texts:
        output.write(f"texts of {split} on which they disagree most; each answer is followed by")
        output.write("the probability that the run gave to the true class\n")
        for row in comparison.texts:
            _write_text(row, letters)
    for note in comparison.notes:
        for line in _filled(f"note: {note}"):
            output.write(line)


def _write_tests(comparison: Comparison, letters: Sequence[str]) -> None:
    first = letters[0]
    rows = [
        [
            f"{letter} - {first}",
            f"{100 * test['difference']:+.2f}",
            f"{100 * test['low']:+.2f} to {100 * test['high']:+.2f}",
            p_value_text(test["p_value"]).removeprefix("= "),
            f"{test['num_won']:,} / {test['num_lost']:,}",
            test["verdict"],
        ]
        for letter, test in zip(letters[1:], comparison.tests, strict=True)
    ]
    fewest = min(test["num_rows"] for test in comparison.tests)
    title = f"accuracy on {fewest:,} rows of {comparison.split}, in percentage points"
    header = ["", "diff.", "95% interval", "p", "won / lost", "verdict"]
    output.write_table(rows, header=header, title=title)


def _write_by_run(rows: dict[str, list[str]], letters: Sequence[str], *, title: str) -> None:
    """A column for each run, in several tables if there are many."""
    if not rows:
        output.write(f"{title}: none\n")
        return
    for start in range(0, len(letters), RUNS_PER_TABLE):
        columns = slice(start, start + RUNS_PER_TABLE)
        cells = [[_cut(key, _KEY_CHARS), *row[columns]] for key, row in rows.items()]
        output.write_table(cells, header=["", *letters[columns]], title=title)


def _write_text(row: dict[str, Any], letters: Sequence[str]) -> None:
    answers = ", ".join(
        f"{letter} {_cut(answer['label'], _NAME_CHARS)} ({answer['of_truth']:.1%})"
        for letter, answer in zip(letters, row["answers"], strict=True)
    )
    for line in _filled(f"- it is {_cut(row['label'], _NAME_CHARS)}: {answers}"):
        output.write(line)
    if row["text"] is not None:
        for line in _filled(_without_middle(" ".join(row["text"].split())), indent="  "):
            output.write(line)


def _without_middle(text: str) -> str:
    """A long text without its middle, because the judgment often comes at the end."""
    if len(text) <= _HEAD_CHARS + _TAIL_CHARS:
        return text
    return f"{text[:_HEAD_CHARS]} [...] {text[-_TAIL_CHARS:]}"


def _filled(text: str, *, indent: str = "") -> Iterator[str]:
    """Lines of a paragraph; what would act on a terminal is an escape before it is measured."""
    width = _WIDTH - len(indent)
    for number, line in enumerate(textwrap.wrap(output.one_line(text), width) or [""]):
        yield f"{indent or ('  ' if number else '')}{line}"


def _letter(number: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("A") + last)


def _epoch(run: dict[str, Any]) -> str:
    if run["epoch"] is not None:
        return str(run["epoch"])
    return "ensemble" if run["model"] == "ensemble" else "baseline"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _cut(text: str, most: int) -> str:
    text = output.one_line(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."
