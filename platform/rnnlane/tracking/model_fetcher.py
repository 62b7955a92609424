"""Fetching a run's model in a process of its own, which imports MLflow meanwhile.

torch and MLflow take seconds each to import, and one process imports one after the other.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rnnlane import errors
from rnnlane.errors import RnnlaneError, TrackingError
from rnnlane.tracking.store import (
    EXPERIMENT_PATH,
    download_artifacts,
    download_model,
    find_run,
)


class ModelFetcher:
    """Starts to copy the bundle of a run's model; a context manager, whose end kills the process.

    Args:
        uri: the store.
        run: as :func:`rnnlane.tracking.store.find_run` takes it.
        destination: folder to copy into, which exists.
        with_experiment: also copy the run's experiment, to :attr:`experiment`.

    Attributes:
        experiment: the run's experiment file, once :meth:`folder` has returned.
    """

    def __init__(self, uri: str, run: str, destination: Path, *, with_experiment: bool = False):
        self._destination = destination
        self.experiment = destination / EXPERIMENT_PATH
        # In a session of its own: Ctrl-C must interrupt the caller only.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
            text=True,
        )
        # Not as arguments, which all users of the machine can read: it may hold a password.
        request = {
            "uri": uri,
            "run": run,
            "destination": str(destination),
            "with_experiment": with_experiment,
        }
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process died: folder() reports it
            self._process.stdin.write(json.dumps(request))
            self._process.stdin.close()

    def folder(self) -> Path:
        """Waits for the copy, and returns its folder.

        Raises:
            ConfigError: no such run.
            TrackingError: the store or its artifacts cannot be read, or the run has no model.
        """
        code = self._process.wait()
        try:
            text = _answer_file(self._destination).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise TrackingError(
                f"the process that fetches the model must answer, but ended with code {code}"
            ) from None
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            kind: type[RnnlaneError] = getattr(errors, answer.pop("kind"))
            raise kind(**answer["error"])
        return Path(answer["folder"])

    def __enter__(self) -> ModelFetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def _answer_file(destination: Path) -> Path:
    return destination / "answer.json"


def _fetch(request: dict[str, Any]) -> dict[str, Any]:
    uri, destination = request["uri"], Path(request["destination"])
    try:
        run_id = find_run(uri, request["run"], with_model=True).run_id
        if request["with_experiment"]:
            download_artifacts(uri, run_id, EXPERIMENT_PATH, destination)
        return {"folder": str(download_model(uri, run_id, destination))}
    except RnnlaneError as error:
        return {"kind": type(error).__name__, "error": error.as_dict()}


def main() -> None:
    """Answers the request on stdin."""
    # No garbage collection during MLflow's import and at exit, for the reason in cli/main.py.
    gc.set_threshold(1_000_000)
    request = json.load(sys.stdin)
    answer = json.dumps(_fetch(request))
    _answer_file(Path(request["destination"])).write_text(answer, encoding="utf-8")
    gc.freeze()


if __name__ == "__main__":
    main()
