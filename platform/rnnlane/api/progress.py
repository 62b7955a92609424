"""How a verb that is called from Python shows its progress, unless it is asked to be silent.

In a notebook: HTML that is updated in place, without ipywidgets. In a terminal: bars, as the
command shows them. Elsewhere: a line an epoch on stderr.
"""

from __future__ import annotations

import contextlib
import html as escaping
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rnnlane.api.interrupts import whole_imports
from rnnlane.cli.progress import epoch_line, events_for
from rnnlane.cli.search_table import search_line, settings
from rnnlane.config.paths import home, provide_account
from rnnlane.errors import RnnlaneError, disk_error, is_disk_error
from rnnlane.records import html
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from rnnlane.records.refit import chosen_among, epochs_of_refit
from rnnlane.records.search import SearchRecord

SILENT = RunEvents()
"""Events of a verb that shall show nothing: ``rnnlane.train(config, events=rnnlane.SILENT)``."""

# A browser need not draw more often, and each update is a message.
_PAUSE_S = 0.3
_MAX_TRIALS = 10
_COLUMNS = {
    "epoch": ("epoch", "{:.0f}"),
    "train/loss": ("train loss", "{:.4f}"),
    "train/accuracy": ("accuracy", "{:.4f}"),
    "val/loss": ("val loss", "{:.4f}"),
    "val/accuracy": ("accuracy", "{:.4f}"),
    "val/macro_f1": ("macro F1", "{:.4f}"),
    "throughput/rows_per_s": ("rows/s", "{:,.0f}"),
    "grad_norm/clipped_fraction": ("clipped", "{:.1%}"),
    "time/epoch_s": ("seconds", "{:.1f}"),
}


@contextlib.contextmanager
def shown(events: RunEvents | None) -> Iterator[RunEvents]:
    """The events for a verb: those given, else progress as it fits where the code runs.

    Raises:
        RnnlaneError: also where the block fails for a full or broken disk.
    """
    provide_account()
    chosen: AbstractContextManager[RunEvents]
    chosen = _fitting_events() if events is None else contextlib.nullcontext(events)
    try:
        with whole_imports(), _without_advice(), chosen as running:
            yield running
    except RnnlaneError:
        raise
    except Exception as error:
        if is_disk_error(error):
            raise disk_error(error, getattr(error, "filename", None) or home()) from error
        raise


def _fitting_events() -> AbstractContextManager[RunEvents]:
    return NotebookEvents() if in_notebook() else events_for(verbose=False)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Without what Ray and tqdm print in every notebook that has no ipywidgets."""
    if not in_notebook():
        yield
        return
    logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        yield


class Display(Protocol):
    """A place in a notebook that is shown once and then updated."""

    def __call__(self, content: dict[str, str], *, is_new: bool) -> None:
        """Shows ``text/html`` and ``text/plain``."""


class NotebookEvents(RunEvents):
    """Notes, epochs or trials, and a bar, in one place that is updated."""

    def __init__(self, display: Display | None = None) -> None:
        self._display = _IPythonDisplay() if display is None else display
        self._lock = threading.Lock()
        self._notes: list[str] = []
        self._history: list[dict[str, float]] = []
        self._search: SearchRecord | None = None
        self._stage = ""
        self._bar: Progress | None = None
        self._shown_at: float | None = None

    def __enter__(self) -> NotebookEvents:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stage, self._bar = "", None
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._notes.append("interrupted")
        if self._shown_at is not None:
            self._show()

    def stage(self, text: str) -> None:
        """Names what takes its time now."""
        self._stage, self._bar = text, None
        self._show()

    def progress(self, progress: Progress) -> None:
        """Moves the bar."""
        self._bar = progress
        if self._shown_at is None or time.monotonic() - self._shown_at >= _PAUSE_S:
            self._show()

    def epoch(self, history: list[dict[str, float]]) -> None:
        """Adds a line to the table of epochs."""
        self._history = [dict(record) for record in history]
        self._show()

    def trial(self, search: SearchRecord) -> None:
        """Shows the best and the running trials."""
        self._search = search
        self._show()

    def note(self, text: str) -> None:
        """Adds a line above the rest."""
        self._notes.append(text)
        self._show()

    def _show(self) -> None:
        with self._lock:
            content = {"text/html": self._html(), "text/plain": self._plain()}
            is_new, self._shown_at = self._shown_at is None, time.monotonic()
            self._display(content, is_new=is_new)

    def _html(self) -> str:
        parts = [
            html.paragraphs(self._notes),
            _epochs_html(chosen_among(self._history)),
            _epochs_html(epochs_of_refit(self._history), epoch="refit epoch"),
        ]
        if self._search is not None:
            parts.append(_trials_html(self._search))
        if self._bar is not None:
            parts.append(_bar_html(self._bar))
        elif self._stage:
            parts.append(html.paragraphs([f"{self._stage} ..."]))
        return "".join(parts)

    def _plain(self) -> str:
        """For what shows no HTML."""
        lines = [*self._notes, *map(epoch_line, self._history)]
        if self._search is not None:
            lines.append(search_line(self._search))
        return "\n".join(lines)


class _IPythonDisplay:
    """The output of the cell that is running."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, content: dict[str, str], *, is_new: bool) -> None:
        from IPython.display import display

        if is_new:
            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)


def _epochs_html(history: list[dict[str, float]], *, epoch: str = "epoch") -> str:
    columns = [key for key in _COLUMNS if history and key in history[0]]
    header = [epoch if key == "epoch" else _COLUMNS[key][0] for key in columns]
    rows = [[_COLUMNS[key][1].format(record[key]) for key in columns] for record in history]
    return html.table(rows, header=header)


def _trials_html(search: SearchRecord) -> str:
    running = [trial for trial in search.trials if trial.state == "running"]
    best = [trial for trial in search.ranked() if trial.state != "running"]
    rows = [
        [
            trial.number,
            trial.state,
            "-" if trial.score is None else f"{trial.score:.4f}",
            trial.num_epochs,
            settings(trial.params),
        ]
        for trial in [*best[:_MAX_TRIALS], *running[:_MAX_TRIALS]]
    ]
    header = ["trial", "state", search.metric, "epochs", "settings"]
    return html.table(rows, header=header) + html.paragraphs([search_line(search)])


def _bar_html(progress: Progress) -> str:
    limits = f' value="{progress.done}" max="{progress.total}"' if progress.total else ""
    label = escaping.escape(f"{progress.stage}  {progress.detail}")
    return f"<div><progress{limits}></progress> {label}</div>"
