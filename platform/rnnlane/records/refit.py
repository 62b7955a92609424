"""How the epochs of a refit, on train and val, differ from those that were chosen among."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

REFIT = "refit/"
"""What the keys of the records of a refit's epochs begin with."""
# Params of training runs, of those of a linear model, and of ensembles; a run has one of them.
_PARAMS = ("training.refit", "baseline.refit", "ensemble.refit")


def is_refit(record: Mapping[str, float]) -> bool:
    """Whether a record is of an epoch of the refit, which has no val metrics."""
    return f"{REFIT}epoch" in record


def is_refitted(params: Mapping[str, str]) -> bool:
    """Whether the model of a run, or a member of it, is refitted, by the run's params."""
    return any(params.get(name) == "True" for name in _PARAMS)


def chosen_among(records: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    """The records of the epochs on the train split, among which the best is chosen on val."""
    return [record for record in records if not is_refit(record)]


def epochs_of_refit(records: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """The records of the refit's epochs, with keys as those of other epochs have them."""
    return [
        {key.removeprefix(REFIT): value for key, value in record.items()}
        for record in records
        if is_refit(record)
    ]
