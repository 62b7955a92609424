"""The line by which a log tells which MLflow run it is of: written by drivers, read by `jobs`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rnnlane.errors import redact

_LINE = re.compile(r"^run ([0-9a-f]{32}) in (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunMarker:
    """Which run of which store.

    Attributes:
        run_id: MLflow's.
        tracking_uri: the store, without passwords.
    """

    run_id: str
    tracking_uri: str

    @property
    def url(self) -> str | None:
        """The run's page; None where the store is no server."""
        if not self.tracking_uri.startswith(("http://", "https://")):
            return None
        return f"{self.tracking_uri.rstrip('/')}/#/runs/{self.run_id}"


def marker_line(run_id: str, tracking_uri: str) -> str:
    """What a driver says once MLflow knows of its run."""
    return f"run {run_id} in {redact(tracking_uri)}"


def find_marker(log: str) -> RunMarker | None:
    """The newest marker of a log."""
    found = _LINE.findall(log)
    return RunMarker(*found[-1]) if found else None
