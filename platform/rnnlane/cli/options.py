"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from rnnlane.config import runtime


def whole_number(*, at_least: int, at_most: int | None = None) -> Callable[[str], int]:
    """The parser of an option's number; its error states the rule and the value."""
    rule = f"from {at_least}" if at_most is None else f"from {at_least} to {at_most}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = at_least - 1
        if number < at_least or (at_most is not None and number > at_most):
            raise typer.BadParameter(f"it must be a whole number {rule}, but got {text!r}")
        return number

    return parse


Experiment = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="The experiment: a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key, such as training.clip.max_norm=1.5; may be given several times.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the stages, and Ray's own output.")
]
Run = Annotated[
    str,
    typer.Option(
        "--run",
        metavar="RUN",
        help="A run's id or the start of it, its name, latest, or models:/NAME@ALIAS.",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow store; default MLFLOW_TRACKING_URI, else the embedded one.",
    ),
]
Device = Annotated[
    runtime.Device,
    typer.Option("--device", help="Where to classify; auto takes a GPU if there is one."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The cluster's dashboard, http://HOST:8265; default RAY_ADDRESS if it is one.",
    ),
]
CredentialsFile = Annotated[
    str | None,
    typer.Option(
        "--credentials-file",
        metavar="PATH",
        help="File on the cluster, in MLflow's format, with the account for the MLflow server. "
        "Only the path is sent.",
    ),
]
