"""Addresses of MLflow's pages, for people to click."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from rnnlane.tracking.uris import without_secrets

# Without the type, MLflow 3 can show an experiment as one of language models.
_TYPE = {"workflowType": "machine_learning"}


@dataclass(frozen=True)
class Pages:
    """MLflow's pages of a run; None if the store is no server.

    Attributes:
        run: the run's page.
        runs: the page of all runs of its experiment.
    """

    run: str | None = None
    runs: str | None = None


def is_server(uri: str) -> bool:
    """Whether a store has pages of its own; of any other, `rnnlane ui` shows them."""
    return uri.startswith(("http://", "https://"))


def run_link(uri: str, experiment_id: str, run_id: str) -> str | None:
    """Address of a run's page, never with credentials; None if the store is no server.

    Args:
        uri: the store.
        experiment_id: MLflow's id of the run's experiment.
        run_id: MLflow's id of the run.
    """
    return _link(uri, run_anchor(experiment_id, run_id))


def run_anchor(experiment_id: str, run_id: str) -> str:
    """A link to a run's page from any other page of the same server."""
    return f"#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}?{urlencode(_TYPE)}"


def runs_link(uri: str, experiment_id: str, *, view: str | None = None) -> str | None:
    """Address of the page of an experiment's runs; None if the store is no server.

    Args:
        uri: the store.
        experiment_id: MLflow's id of the experiment.
        view: key of a shared view that the experiment has; MLflow shows an error for any other.
    """
    query = _TYPE if view is None else {**_TYPE, "viewStateShareKey": view}
    return _link(uri, f"#/experiments/{quote(experiment_id)}/runs?{urlencode(query)}")


def version_link(uri: str, name: str, number: int) -> str | None:
    """Address of the page of a registered model's version; None if the store is no server.

    Args:
        uri: the store.
        name: of the registered model.
        number: of the version.
    """
    return _link(uri, f"#/models/{quote(name, safe='')}/versions/{number}?{urlencode(_TYPE)}")


def _link(uri: str, anchor: str) -> str | None:
    return f"{without_secrets(uri)}/{anchor}" if is_server(uri) else None
