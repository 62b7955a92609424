"""Progress on stderr: bars on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rnnlane.cli import output
from rnnlane.cli.search_table import search_line, search_table, trial_line
from rnnlane.records.events import RunEvents
from rnnlane.records.refit import epochs_of_refit, is_refit

_WITHOUT_BARS = {"", "dumb", "unknown"}

if TYPE_CHECKING:
    from rnnlane.records.progress import Progress
    from rnnlane.records.search import SearchRecord


_shown: list[LineEvents | BarEvents] = []
_acknowledgments = ["stopping ..."]


def events_for(*, verbose: bool) -> LineEvents | BarEvents:
    """Bars where stderr is a terminal that can redraw them, else lines; both context managers."""
    has_bars = sys.stderr.isatty() and os.environ.get("TERM", "") not in _WITHOUT_BARS
    return BarEvents(verbose=verbose) if has_bars else LineEvents(verbose=verbose)


@contextlib.contextmanager
def interrupt_says(text: str) -> Iterator[None]:
    """What an interrupt in the block is acknowledged with, where it does not stop the work."""
    _acknowledgments.append(text)
    try:
        yield
    finally:
        _acknowledgments.pop()


def acknowledge_interrupt() -> None:
    """Says at once that the command is about to stop; what it does until then may take a while."""
    text = _acknowledgments[-1]
    if _shown:
        _shown[-1].stop(text)
    else:
        output.note(text)


class LineEvents(RunEvents):
    """A line per epoch or trial, and per stage if verbose."""

    def __init__(self, *, verbose: bool):
        self.verbose = verbose
        self._reported: set[str] | None = None

    def __enter__(self) -> LineEvents:
        _shown.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _shown.remove(self)

    def stage(self, text: str) -> None:
        """A line, if verbose."""
        if self.verbose:
            output.note(f"{text} ...")

    def epoch(self, history: list[dict[str, float]]) -> None:
        """A line for the newest epoch."""
        if history:
            output.note(epoch_line(history[-1]))

    def trial(self, search: SearchRecord) -> None:
        """A line for each trial that ends, except those that ended in an earlier attempt."""
        ended = [trial for trial in search.trials if trial.ended_at is not None]
        if self._reported is None:
            self._reported = {trial.key for trial in ended}
        for trial in ended:
            if trial.key not in self._reported:
                self._reported.add(trial.key)
                output.note(trial_line(search, trial))

    def note(self, text: str) -> None:
        """A line."""
        output.note(text)

    def stop(self, text: str) -> None:
        """A line."""
        output.note(text)


class BarEvents(RunEvents):
    """Bars that show rows prepared, and steps, loss, accuracy, rows/s and time left."""

    def __init__(self, *, verbose: bool):
        self.verbose = verbose
        self._lock = threading.Lock()
        self._tasks: dict[str, Any] = {}
        self._is_stopping = False
        self._bars = self._make_bars()

    def _make_bars(self) -> Any:
        from rich import progress as bars
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        class Bars(bars.Progress):
            """Bars, below a table if one is set."""

            table: Any = None

            def get_renderables(self) -> Any:
                """See Progress."""
                if self.table is not None:
                    yield self.table
                yield from super().get_renderables()

        return Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column()),
            BarColumn(bar_width=min(24, max(4, output.width_of(sys.stderr) - 80))),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column()),
            TimeElapsedColumn(),
            console=output.console(sys.stderr),
            transient=True,
        )

    def __enter__(self) -> BarEvents:
        self._bars.start()
        _shown.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _shown.remove(self)
        self._bars.stop()

    def stage(self, text: str) -> None:
        """A spinner until the next stage."""
        with self._lock:
            for task in self._tasks.values():
                self._bars.remove_task(task)
            self._tasks = {}
            description = output.one_line(text)
            self._tasks[text] = self._bars.add_task(description, total=None, detail="")

    def progress(self, progress: Progress) -> None:
        """A bar for the current stage or epoch."""
        self._show(progress.stage, progress.done, progress.total, progress.detail)

    def epoch(self, history: list[dict[str, float]]) -> None:
        """A line above the bars for each finished epoch."""
        if history:
            self.note(epoch_line(history[-1]))

    def trial(self, search: SearchRecord) -> None:
        """A table of the running and the best trials, and a bar."""
        self._bars.table = search_table(search, width=output.width_of(sys.stderr))
        self._show("trials", search.num_ended, search.num_planned, search_line(search))

    def note(self, text: str) -> None:
        """A line above the bars."""
        broken = output.broken(text, width=output.width_of(sys.stderr))
        self._bars.console.print(broken, soft_wrap=True)

    def stop(self, text: str) -> None:
        """A line, and a spinner instead of the bars from now on."""
        self.note(text)
        self.stage("stopping")
        self._is_stopping = True

    def _show(self, name: str, done: int, total: int | None, detail: str) -> None:
        with self._lock:
            if self._is_stopping:
                return
            if name not in self._tasks:
                for task in self._tasks.values():
                    self._bars.remove_task(task)
                self._tasks = {name: self._bars.add_task(name, total=total, detail=detail)}
            self._bars.update(self._tasks[name], completed=done, total=total, detail=detail)


def epoch_line(record: dict[str, float]) -> str:
    """One line about a finished epoch."""
    if "val/perplexity" in record:
        return (
            f"epoch {record['epoch']:.0f}  train loss {record['train/loss']:.4f}  "
            f"val loss {record['val/loss']:.4f} perplexity {record['val/perplexity']:.1f}  "
            f"{record['throughput/tokens_per_s']:,.0f} tokens/s  {record['time/epoch_s']:.1f} s"
        )
    if is_refit(record):
        (of_refit,) = epochs_of_refit([record])
        return (
            f"refit epoch {of_refit['epoch']:.0f}  train and val loss {of_refit['train/loss']:.4f} "
            f"acc {of_refit['train/accuracy']:.4f}  {of_refit['throughput/rows_per_s']:,.0f} rows/s"
            f"  clipped {of_refit['grad_norm/clipped_fraction']:.1%}  "
            f"{of_refit['time/epoch_s']:.1f} s"
        )
    return (
        f"epoch {record['epoch']:.0f}  train loss {record['train/loss']:.4f} "
        f"acc {record['train/accuracy']:.4f}  val loss {record['val/loss']:.4f} "
        f"acc {record['val/accuracy']:.4f} F1 {record['val/macro_f1']:.4f}  "
        f"{record['throughput/rows_per_s']:,.0f} rows/s  "
        f"clipped {record['grad_norm/clipped_fraction']:.1%}  {record['time/epoch_s']:.1f} s"
    )
