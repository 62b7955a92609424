"""The state of a search: a table on a terminal, a line per trial elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rnnlane.cli import output
from rnnlane.records.progress import clock

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    if search.afterwards:
        return f"{search.afterwards}{best}"
    left = "" if search.left_s is None else f", about {clock(search.left_s)} left"
    return f"{search.num_ended}/{search.num_planned} trials{best}{left}"


def search_table(search: SearchRecord, *, width: int) -> RenderableType:
    """The running and the best trials, with their values of the varied keys.

    Args:
        search: so far.
        width: of the terminal. Where a column for each key does not fit, one names all of them.
    """
    keys = list(search.space)
    columns = ["trial", "state", search.metric, "epochs"]
    running = [trial for trial in search.trials if trial.state == "running"]
    best = [trial for trial in search.ranked() if trial.state != "running"]
    trials = [*running[:NUM_RUNNING_SHOWN], *best[:NUM_BEST_SHOWN]]
    winners = [row for row, trial in enumerate(trials) if trial.number == search.best]
    facts = [
        [str(trial.number), trial.state, _number(trial.score), str(trial.num_epochs)]
        for trial in trials
    ]
    header = columns + [_short_key(key, keys) for key in keys]
    rows = [
        [*cells, *(_value(trial.params, key) for key in keys)]
        for cells, trial in zip(facts, trials, strict=True)
    ]
    if not output.fits(rows, header=header, width=width):
        names = {key: _short_key(key, keys) for key in keys}
        header = [*columns, "settings"]
        rows = [
            [*cells, settings({names[key]: value for key, value in trial.params.items()})]
            for cells, trial in zip(facts, trials, strict=True)
        ]
    return output.table_of(
        rows,
        width=width,
        header=header,
        title=f"{search.name}: {search_line(search)}",
        bold=winners[0] if winners else None,
    )


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
