"""`rnnlane ui`."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, TrackingUri, whole_number
from rnnlane.config.experiment import TrackingConfig

DEFAULT_EXPERIMENT = TrackingConfig().mlflow_experiment
Port = Annotated[
    int,
    typer.Option(
        "--port",
        parser=whole_number(at_least=1, at_most=65535),
        metavar="N",
        help="Port on this machine.",
    ),
]
MlflowExperiment = Annotated[
    str,
    typer.Option("--mlflow-experiment", help="MLflow experiment to open if the store is a server."),
]


def ui(
    port: Port = 5000,
    mlflow_experiment: MlflowExperiment = DEFAULT_EXPERIMENT,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Open MLflow's web pages; an embedded store is served on loopback until Ctrl-C.

    Examples:
        rnnlane ui
        rnnlane ui --port 5001
        rnnlane ui --tracking-uri http://HOST:5000
    """
    from rnnlane.errors import redact
    from rnnlane.tracking.ui import experiment_page, serve_store
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(tracking_uri)
    served = not uri.startswith(("http://", "https://"))
    url = f"http://127.0.0.1:{port}" if served else experiment_page(uri, mlflow_experiment)
    if as_json:
        output.write_json({"url": url, "tracking_uri": redact(uri), "served_here": served})
    else:
        output.write(f"{url}   ({'Ctrl-C ends it' if served else 'the store is a server'})")
    if served:
        serve_store(uri, port=port)
    else:
        typer.launch(url)
