"""The log line that names a driver's MLflow run: written by drivers, read by `jobs`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rnnlane.errors import redact

_LINE = re.compile(r"^run ([0-9a-f]{32}) in (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunMarker:
    """A run and its store.

    Attributes:
        run_id: MLflow's.
        tracking_uri: the store, without passwords.
    """

    run_id: str
    tracking_uri: str

    @property
    def url(self) -> str | None:
        """The run's page; None if the store is not a server."""
        if not self.tracking_uri.startswith(("http://", "https://")):
            return None
        return f"{self.tracking_uri.rstrip('/')}/#/runs/{self.run_id}"


def marker_line(run_id: str, tracking_uri: str) -> str:
    """The line that a driver prints once its run exists in MLflow."""
    return f"run {run_id} in {redact(tracking_uri)}"


def find_marker(log: str) -> RunMarker | None:
    """The newest marker of a log."""
    markers = _LINE.findall(log)
    return RunMarker(*markers[-1]) if markers else None
