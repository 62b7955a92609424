"""The log line that names a driver's MLflow run: written by drivers, read by `jobs`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rnnlane.errors import redact

_LINE = re.compile(r"^run ([0-9a-f]{32}) (?:in|at) (.+)$", re.MULTILINE)
_PAGE = "/#/"


@dataclass(frozen=True)
class RunMarker:
    """A run and its store.

    Attributes:
        run_id: MLflow's.
        place: the run's page if the store is a server, else the store; without passwords.
    """

    run_id: str
    place: str

    @property
    def tracking_uri(self) -> str:
        """The store."""
        return self.place.partition(_PAGE)[0]

    @property
    def url(self) -> str | None:
        """The run's page; None if the store is not a server."""
        return self.place if _PAGE in self.place else None


def marker_line(run_id: str, tracking_uri: str, *, page: str | None) -> str:
    """The line that a driver prints once its run exists in MLflow.

    Args:
        run_id: MLflow's.
        tracking_uri: the store.
        page: the run's page; None if the store is not a server.
    """
    return f"run {run_id} at {page}" if page else f"run {run_id} in {redact(tracking_uri)}"


def find_marker(log: str) -> RunMarker | None:
    """The newest marker of a log."""
    markers = _LINE.findall(log)
    return RunMarker(*markers[-1]) if markers else None
