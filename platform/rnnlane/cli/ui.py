"""`rnnlane ui`."""

from __future__ import annotations

from typing import Annotated

import typer

from rnnlane.cli import output
from rnnlane.cli.options import Json, TrackingUri, whole_number

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
    str | None,
    typer.Option(
        "--mlflow-experiment",
        metavar="NAME",
        help="MLflow experiment to open; default rnnlane, else the one with the newest run.",
    ),
]
ShownRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Open the page of a run: its id or the start of it, its name, or latest.",
    ),
]


def ui(
    port: Port = 5000,
    mlflow_experiment: MlflowExperiment = None,
    run: ShownRun = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Open MLflow's web pages; an embedded store is served on loopback until Ctrl-C.

    Examples:
        rnnlane ui
        rnnlane ui --run latest
        rnnlane ui --port 5001
        rnnlane ui --tracking-uri http://HOST:5000
    """
    from rnnlane.errors import redact
    from rnnlane.tracking.links import is_server
    from rnnlane.tracking.ui import page_address, serve_store
    from rnnlane.tracking.uris import resolve_uri

    uri = resolve_uri(tracking_uri)
    served = not is_server(uri)
    url = page_address(
        uri,
        served_at=f"http://127.0.0.1:{port}",
        mlflow_experiment=mlflow_experiment,
        run=run,
    )
    if as_json:
        output.write_json({"url": url, "tracking_uri": redact(uri), "served_here": served})
    else:
        # The address on a line of its own: a click opens it.
        hint = "it answers in some seconds; Ctrl-C ends it" if served else "the store is a server"
        output.write(f"{url}\n({hint})")
    if served:
        serve_store(uri, port=port)
    else:
        typer.launch(url)
