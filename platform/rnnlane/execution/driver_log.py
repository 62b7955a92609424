"""What the driver says and logs while it works on a run, in a file that becomes an artifact."""

from __future__ import annotations

import contextlib
import logging
import platform
import sys
import time
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path

import rnnlane
from rnnlane.errors import redact
from rnnlane.records.events import ForwardedEvents, RunEvents
from rnnlane.records.refit import epochs_of_refit, is_refit
from rnnlane.records.search import SearchRecord, TrialRecord

FILE_NAME = "driver.log"
# Of each of two files: of a longer log the newest part stays.
MAX_BYTES = 512 << 10
_EPOCH_KEYS = ("train/", "val/", "throughput/rows_per_s", "time/epoch_s")


class DriverLog(ForwardedEvents):
    """Passes events on, and writes them and what libraries log into ``driver.log``.

    Secrets are redacted. Without room on the disk the log has gaps, and nothing else happens.

    Attributes:
        folder: holds the file, and ``driver.1.log``, the part before it, if it has become long.
    """

    def __init__(self, events: RunEvents, folder: Path):
        super().__init__(events)
        self.folder = folder
        self._file = _File(folder)
        self._handlers: list[logging.Handler] = []
        self._ended: set[str] | None = None

    def open(self) -> None:
        """Starts to write, also what libraries log; an earlier attempt's log is continued."""
        root = logging.getLogger()
        # Python prints warnings to stderr only while the root logger has no handler.
        self._handlers = [self._file, *([] if root.handlers else [_to_stderr()])]
        for handler in self._handlers:
            root.addHandler(handler)
        command = " ".join(sys.argv)
        self._write(f"rnnlane {rnnlane.__version__} on {platform.node()}: {command}")

    def close(self) -> None:
        """Ends the file, which stays as it is from now on; events are still passed on."""
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
        self._handlers = []
        self._file.close()

    @property
    def has_file(self) -> bool:
        """Whether anything could be written."""
        return (self.folder / FILE_NAME).exists()

    def stage(self, text: str) -> None:
        """See :class:`RunEvents`."""
        self._write(f"{text} ...")
        super().stage(text)

    def epoch(self, history: list[dict[str, float]]) -> None:
        """See :class:`RunEvents`."""
        if history:
            self._write(_epoch_line(history[-1]))
        super().epoch(history)

    def trial(self, search: SearchRecord) -> None:
        """See :class:`RunEvents`."""
        ended = [trial for trial in search.trials if trial.ended_at is not None]
        known = self._ended
        # Those of an earlier attempt are in the log already.
        self._ended = {trial.key for trial in ended}
        for trial in ended:
            if known is not None and trial.key not in known:
                self._write(_trial_line(search, trial))
        super().trial(search)

    def note(self, text: str) -> None:
        """See :class:`RunEvents`."""
        self._write(text)
        super().note(text)

    def error(self, error: BaseException) -> None:
        """Writes an error with its traceback."""
        lines = traceback.format_exception(error)
        self._write("".join(lines).rstrip(), level=logging.ERROR)

    def _write(self, text: str, *, level: int = logging.INFO) -> None:
        if self._handlers:
            record = logging.LogRecord("rnnlane", level, "", 0, "%s", (text,), None)
            self._file.handle(record)


class _File(RotatingFileHandler):
    def __init__(self, folder: Path):
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
        super().__init__(
            folder / FILE_NAME, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", delay=True
        )
        self.setFormatter(_Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def rotation_filename(self, default_name: str) -> str:
        """``driver.1.log``, which MLflow shows as text, for ``driver.log.1``."""
        del default_name
        path = Path(self.baseFilename)
        return str(path.with_name(f"{path.stem}.1{path.suffix}"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (its name in logging)
        """Nothing: a run is worth more than its log."""


class _Redacted(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """UTC, because drivers run anywhere."""
        del datefmt
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        return redact(super().format(record))


def _to_stderr() -> logging.Handler:
    assert logging.lastResort is not None
    return logging.lastResort


def _epoch_line(record: dict[str, float]) -> str:
    if is_refit(record):
        (of_refit,) = epochs_of_refit([record])
        return f"refit {_epoch_line(of_refit)}"
    values = [f"{k} {v:.6g}" for k, v in record.items() if k.startswith(_EPOCH_KEYS)]
    return f"epoch {record['epoch']:.0f}: {', '.join(values)}"


def _trial_line(search: SearchRecord, trial: TrialRecord) -> str:
    end = f"trial {trial.number} {trial.state} after epoch {trial.num_epochs}"
    value = "no value" if trial.value is None else f"{search.metric} {trial.value:.6g}"
    varied = ", ".join(f"{key}={value}" for key, value in trial.params.items())
    return f"{end}, {value} ({varied}) {trial.reason}".rstrip()
