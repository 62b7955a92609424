"""Arguments and options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

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
        "--run", metavar="RUN", help="A run's id or the start of it, its name, or latest."
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
