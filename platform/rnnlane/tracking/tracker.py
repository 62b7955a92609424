"""What the rest of rnnlane knows about tracking: one run that takes writes and never blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(Protocol):
    """One run. No write blocks on the store or fails because the store is away.

    Attributes:
        run_id: the store's id of the run.
        tracking_uri: the store's address; may hold a password, so redact it before showing it.
    """

    run_id: str
    tracking_uri: str

    def log_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Logs what is not logged yet.

        Args:
            history: the whole run so far, one mapping an epoch, each with its number from 1 under
                the key ``epoch``. Given whole each time, so that a resumed run has neither gaps nor
                doubles.
        """
        ...

    def log_artifacts(self, folder: Path, artifact_path: str | None = None) -> None:
        """Logs the files of a folder, which must stay until :meth:`finish`, and if that is False
        until the rest was sent.

        Args:
            folder: its content is logged, not the folder itself.
            artifact_path: folder within the run's artifacts; default: their root.
        """
        ...

    def log_model(self, bundle: Path) -> str:
        """Packages a trained model for serving and logs it.

        Args:
            bundle: folder that the run's predictor can load; copied before this returns.

        Returns:
            The model's MLflow address.
        """
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets or replaces tags of the run."""
        ...

    def finish(self, status: RunStatus, *, reason: str | None = None) -> bool:
        """Ends the run; the last call.

        Args:
            status: how it ended.
            reason: why, for a person to read; becomes the tag ``rnnlane.reason``.

        Returns:
            False if something could not be sent in time or was refused, and stays in the outbox.
        """
        ...
