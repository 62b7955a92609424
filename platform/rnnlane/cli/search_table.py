"""The state of a search: a table on a terminal, a line per trial elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnnlane.records.progress import clock

if TYPE_CHECKING:
    from rich.table import Table

    from rnnlane.records.search import SearchRecord, TrialRecord

NUM_BEST_SHOWN, NUM_RUNNING_SHOWN = 8, 8


def trial_line(search: SearchRecord, trial: TrialRecord) -> str:
    """One line about a trial that has ended."""
    value = f"{search.metric} {_number(trial.value)} at epoch {trial.best_epoch}"
    parts = [
        f"trial {trial.number} {trial.state} after {_count(trial.num_epochs, 'epoch')}",
        "" if trial.value is None else value,
        trial.reason,
        settings(trial.params),
        f"[{search_line(search)}]",
    ]
    return "  ".join(part for part in parts if part)


def search_line(search: SearchRecord) -> str:
    """The progress of the search, in a few words."""
    winner = search.winner
    best = "" if winner is None else f", best {_number(winner.score)} (trial {winner.number})"
    left = "" if search.left_s is None else f", about {clock(search.left_s)} left"
    return f"{search.num_ended}/{search.num_planned} trials{best}{left}"


def search_table(search: SearchRecord) -> Table:
    """The running and the best trials, with their values of the varied keys."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    keys = list(search.space)
    table = Table(
        title=f"{search.name}: {search_line(search)}", box=box.SIMPLE, title_justify="left"
    )
    for name in ("trial", "state", search.metric, "epochs"):
        table.add_column(name, no_wrap=True)
    for key in keys:
        table.add_column(_short_key(key, keys), overflow="fold")
    running = [trial for trial in search.trials if trial.state == "running"]
    best = [trial for trial in search.ranked() if trial.state != "running"]
    for trial in (*running[:NUM_RUNNING_SHOWN], *best[:NUM_BEST_SHOWN]):
        style = "bold" if trial.number == search.best else None
        cells = [str(trial.number), trial.state, _number(trial.score), str(trial.num_epochs)]
        table.add_row(*cells, *(escape(_value(trial.params, key)) for key in keys), style=style)
    return table


def settings(params: Mapping[str, Any]) -> str:
    """Sampled values in one line."""
    return " ".join(f"{key}={_value(params, key)}" for key in params)


def _value(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key, "-")
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _short_key(key: str, keys: list[str]) -> str:
    """The last part of a dotted key, or all of it where the last part is ambiguous."""
    last = key.rsplit(".", 1)[-1]
    is_unique = sum(other.rsplit(".", 1)[-1] == last for other in keys) == 1
    return last if is_unique else key
