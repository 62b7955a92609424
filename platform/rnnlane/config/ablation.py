"""The alternatives of an ablation: the winner of a search with one setting changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.search import AblationConfig, format_value
from rnnlane.config.space import Params, search_of, trial_experiment
from rnnlane.config.space_check import accepts, check_names, problem_of
from rnnlane.errors import ConfigError, MistakesError, RnnlaneError

CLIP, NO_CLIP, LAYERS = "training.clip", "none", "model.num_layers"
_WHERE = "search.ablation.keys"
_VECTORS = "model.pretrained_vectors"


@dataclass(frozen=True)
class Alternative:
    """The winner with one setting changed.

    Attributes:
        key: the setting.
        value: what it has instead, as the ablation names it.
        label: both, short.
        params: the winner's sampled values with the change.
        experiment: what it trains; None where the change breaks a rule.
        problem: that rule; else "".
    """

    key: str
    value: Any
    label: str
    params: Params
    experiment: ExperimentConfig | None = None
    problem: str = ""


def check_ablation(config: ExperimentConfig) -> None:
    """Refuses keys that may not be changed, and values that they cannot have.

    Does nothing where there is no ablation. Values that only conflict with other keys pass: those
    depend on the winner.

    Raises:
        ConfigError: one key or value; names it as ``search.ablation.keys.<key>``.
        MistakesError: several.
    """
    ablation = search_of(config).ablation
    if ablation is None:
        return
    check_names([key for key in ablation.keys if key != CLIP], section=_WHERE)
    errors: list[RnnlaneError] = [
        ConfigError(message, where=f"{_WHERE}.{key}", remedy=remedy)
        for key, values in ablation.keys.items()
        for message, remedy in _mistakes(config, key, values)
    ]
    if errors:
        raise MistakesError.of(errors)


def alternatives(config: ExperimentConfig, winner: Mapping[str, Any]) -> list[Alternative]:
    """What the winner is compared with, in the ablation's order, without what it has itself.

    Args:
        config: an experiment with a search that has an ablation.
        winner: its sampled values by dotted key.
    """
    ablation = search_of(config).ablation
    assert ablation is not None
    own = trial_experiment(config, winner)
    found = []
    for key, values in ablation.keys.items():
        for value in values:
            params = {**winner, **_changes(key, value)}
            label = f"{_short(key, ablation)}={format_value(value)}"
            try:
                experiment = trial_experiment(config, params)
            except ConfigError as error:
                found.append(Alternative(key, value, label, params, problem=error.message))
                continue
            if experiment != own:
                found.append(Alternative(key, value, label, params, experiment))
    return found


def shown_value(config: ExperimentConfig, key: str) -> str:
    """The value of an ablated key in an experiment, for people."""
    clip = config.training.clip
    if key != CLIP:
        value: Any = config
        for name in key.split("."):
            value = getattr(value, name)
        return format_value(value)
    if clip.policy == "auto":
        statistic = "mean" if clip.statistic == "mean" else f"{clip.percentile:g}th percentile"
        return f"{clip.of_mean:.3g} × {statistic}"
    return NO_CLIP if clip.policy == "none" else f"fixed {clip.max_norm:g}"


def _changes(key: str, value: Any) -> Params:
    """The experiment's keys that one alternative sets."""
    if key != CLIP:
        return {key: value}
    clip = {"policy": NO_CLIP, "of_mean": 1.0}
    if value != NO_CLIP:
        clip = {"policy": "auto", "statistic": "mean", "of_mean": float(value)}
    return {f"{CLIP}.{name}": setting for name, setting in clip.items()}


def _mistakes(
    config: ExperimentConfig, key: str, values: tuple[Any, ...]
) -> Iterator[tuple[str, str]]:
    """What is wrong with an existing key, and what to do."""
    if key.startswith("text.") or key == _VECTORS:
        yield (
            f"the alternatives must train on the winner's data, but `{key}` changes what is "
            "prepared",
            "vary it in search.space",
        )
        return
    for value in values:
        if key == CLIP:
            is_multiple = not isinstance(value, bool) and accepts(f"{CLIP}.of_mean", value)
            if value != NO_CLIP and not is_multiple:
                yield (
                    "an alternative must be none or a multiple of the mean norm above 0, but got "
                    f"{format_value(value)}",
                    "such as [none, 0.25, 1, 4]",
                )
        # Whether true may stand for a number is no matter of its type alone.
        elif (isinstance(value, bool) or not accepts(key, value)) and (
            problem := problem_of(config, {key: value})
        ):
            yield problem, "`rnnlane schema` lists what it may be"


def _short(key: str, ablation: AblationConfig) -> str:
    """The last part of a dotted key, or all of it where the last part is ambiguous."""
    last = key.rpartition(".")[2]
    is_unique = sum(other.rpartition(".")[2] == last for other in ablation.keys) == 1
    return last if is_unique else key
