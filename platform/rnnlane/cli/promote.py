"""`rnnlane promote`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, TrackingUri
from rnnlane.pipeline import promote as promote_run
from rnnlane.tracking.links import version_link

if TYPE_CHECKING:
    from rnnlane.records.promotion import Promotion

RunToPromote = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id or the start of it, its name, or latest."),
]
Name = Annotated[
    str,
    typer.Option("--name", metavar="NAME", help="The registered model; created if it is missing."),
]
Alias = Annotated[
    str, typer.Option("--alias", metavar="ALIAS", help="The alias that the version is to have.")
]
Force = Annotated[
    str | None,
    typer.Option(
        "--force",
        metavar="REASON",
        help="Move the alias whatever the comparison says; the reason is kept with the version.",
    ),
]


def promote(
    run: RunToPromote,
    name: Name,
    alias: Alias = "champion",
    force: Force = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Register the model of a run in MLflow, and give it an alias if it is better.

    Where another version has the alias, the model must classify the same test rows better than that
    one, by McNemar's test at 5%.

    Examples:
        rnnlane promote latest --name tickets --alias champion
        rnnlane promote 1f3e22ab --name tickets --force "new data"
    """
    result = promote_run(run, name=name, alias=alias, force=force, tracking_uri=tracking_uri)
    if as_json:
        output.write_json(result.as_dict())
    else:
        _show(result)


def _show(result: Promotion) -> None:
    verb = "is now" if result.is_moved else "is already"
    title = f"version {result.version} of {result.name} {verb} {result.alias}"
    rows = [["run", result.run_id], ["because", result.reason]]
    if result.previous is not None:
        rows.append(["before", f"version {result.previous['number']}"])
    if result.test is not None and result.difference is not None:
        first, second = result.test["first_accuracy"], result.test["second_accuracy"]
        rows.append(["accuracy", f"test {second:.4f} against {first:.4f}"])
        rows.append(["difference", result.difference])
    elif result.previous is not None:
        rows.append(["accuracy", "not compared"])
    output.write_table(rows, title=title)
    page = version_link(result.tracking_uri, result.name, result.version)
    if page is not None:
        output.write(page)
    output.write(f'use it: rnnlane predict --run {shlex.quote(result.model_uri)} "a text"')
