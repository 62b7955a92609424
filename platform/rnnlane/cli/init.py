"""`rnnlane init`."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json
from rnnlane.errors import ConfigError
from rnnlane.pipeline import copy_examples, init_experiment
from rnnlane.records.draft import ExperimentDraft, Hints

Path = Annotated[
    str | None,
    typer.Argument(
        metavar="PATH",
        help="A csv, tsv, jsonl or Parquet file with labeled texts, or a folder, a pattern or a "
        "URI of such files; with --examples, the folder to write.",
    ),
]
Examples = Annotated[
    bool, typer.Option("--examples", help="Copy the experiments that come with rnnlane instead.")
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="The experiment to write; default: NAME.yaml."
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Of the experiment; default: that of the file."),
]
Text = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="COLUMN",
        help="Column with the text; may be given several times, to join them.",
    ),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Column with the class.")
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="CHAR",
        help="Of a csv file: a character, or comma, tab, semicolon or pipe.",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Of a text file, such as windows-1251."),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header", help="Whether the first line of a csv file names the columns."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")]


def init(  # noqa: PLR0913, PLR0917 - one for each option
    path: Path = None,
    examples: Examples = False,
    file: Output = None,
    name: Name = None,
    text: Text = None,
    label: Label = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    header: Header = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write an experiment for a file of labeled texts; it says what it found in it.

    Examples:
        rnnlane init tickets.csv
        rnnlane init tickets.csv --text Title --text Body --label Queue
        rnnlane init --examples
    """
    if examples:
        _copy_examples(path, force=force, as_json=as_json)
        return
    if path is None:
        raise ConfigError(
            "a file with labeled texts is needed, but got none",
            where="command line",
            remedy="for example: rnnlane init tickets.csv; or rnnlane init --examples",
        )
    hints = Hints(tuple(text or ()), label, delimiter, encoding, header)
    draft = init_experiment(path, output=file, name=name, hints=hints, force=force)
    if as_json:
        output.write_json(draft.as_dict())
    else:
        _show(draft)


def _show(draft: ExperimentDraft) -> None:
    """The findings, in which what is doubtful comes last."""
    for finding in draft.findings:
        output.write(f"{finding.what}: {output.one_line(finding.found)}")
    for finding in draft.findings:
        if finding.doubt:
            output.note(f"check: {finding.what}: {output.one_line(finding.doubt)}")
    output.write(f"{draft.path} is written; train it: rnnlane train {draft.path}")


def _copy_examples(folder: str | None, *, force: bool, as_json: bool) -> None:
    written = copy_examples(folder or "experiments", force=force)
    if as_json:
        output.write_json({"files": written})
        return
    for each in written:
        output.write(each)
    first = next(each for each in written if each.endswith("demo.yaml"))
    output.write(f"{len(written)} files are written; a first run: rnnlane train {first}")
