"""The search space: its combinations, the experiment of a trial, the data sets that trials need.

A condition (``when``) makes the space a tree: a key is sampled only where it applies, so trials
never differ in a key that none of them uses.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.explain import validated
from rnnlane.config.search import SearchConfig, Space, Variation, natural_mode, same_value
from rnnlane.errors import ConfigError

Params = dict[str, Any]

MAX_DATA_VARIANTS = 32
MAX_GRID = 100_000
FEW_VALUES = 16


def objective(config: ExperimentConfig) -> tuple[str, bool]:
    """The metric that trials are compared by, and whether a larger value is better."""
    metric = search_of(config).metric or config.training.metric
    return metric, natural_mode(metric) == "max"


def ordered_keys(space: Space) -> list[str]:
    """The varied keys in the file's order, except that parents come first.

    A key's parents are those that its conditions name.

    Raises:
        ConfigError: conditions form a cycle.
    """
    order: list[str] = []

    def visit(key: str, path: tuple[str, ...]) -> None:
        if key in path:
            cycle = " -> ".join([*path[path.index(key) :], key])
            raise space_error(key, f"conditions may not form a cycle, but got {cycle}")
        if key not in order:
            for parent in space[key].when:
                if parent in space:
                    visit(parent, (*path, key))
            order.append(key)

    for key in space:
        visit(key, ())
    return order


def draw(config: ExperimentConfig, choose: Callable[[str, Variation], Any]) -> Params:
    """Values for the keys that apply.

    Args:
        config: an experiment with a search.
        choose: gives a key's value; called only for keys that apply, parents first.
    """
    space = search_of(config).space
    params: Params = {}
    for key in ordered_keys(space):
        if applies(config, key, params):
            params[key] = choose(key, space[key])
    return params


def trial_experiment(
    config: ExperimentConfig, params: Mapping[str, Any], *, seed: int | None = None
) -> ExperimentConfig:
    """The experiment of one trial, validated like a hand-written one.

    Args:
        config: an experiment with a search.
        params: the sampled values by dotted key.
        seed: becomes ``training.seed``; the splits still depend on the experiment's own seed.

    Raises:
        ConfigError: the values break a rule.
    """
    search = search_of(config)
    settings = {
        "training.epochs": search.max_epochs,
        "training.metric": search.metric,
        "training.refit": False,
        "training.seed": seed,
    }
    values = config.model_dump(exclude={"search"})
    for key, value in settings.items():
        if value is not None:
            _put(values, key, value)
    for key, value in params.items():
        _put(values, key, value)
    return validated(values, origin=f"a trial of {config.name}")


def grid(config: ExperimentConfig) -> list[Params]:
    """Every distinct combination, in the file's order of keys and values, the last key fastest.

    Raises:
        ConfigError: a key is continuous, or there are more than 100,000 combinations.
    """
    space = search_of(config).space
    for key, variation in space.items():
        if variation.is_continuous:
            raise space_error(
                key,
                f"algorithm grid needs listed values, but got {variation}",
                remedy="use choice or steps, or algorithm random or optuna",
            )
    points = list(islice(_points(config), MAX_GRID + 1))
    if len(points) > MAX_GRID:
        raise ConfigError(
            f"a grid may have at most {MAX_GRID:,} combinations, but got more",
            where="search.algorithm",
            remedy="name fewer values, or use algorithm random or optuna",
        )

    values = {key: variation.values for key, variation in space.items()}

    def rank(params: Params) -> list[int]:
        return [values[key].index(params[key]) if key in params else -1 for key in space]

    return sorted(points, key=rank)


def other_points(config: ExperimentConfig, tried: Collection[str]) -> list[Params]:
    """Combinations, of the first 100,000, that are not among those tried; none if continuous.

    Args:
        config: an experiment with a search.
        tried: :func:`identity` of each.
    """
    tried = set(tried)
    if any(variation.is_continuous for variation in search_of(config).space.values()):
        return []
    return [params for params in islice(_points(config), MAX_GRID) if identity(params) not in tried]


def identity(params: Mapping[str, Any]) -> str:
    """The same text for the same values."""
    return json.dumps(dict(params), sort_keys=True)


def num_trials(config: ExperimentConfig) -> int:
    """Trials that the search runs if its time budget suffices: at most one for each setting."""
    wanted = search_of(config).num_trials
    space = search_of(config).space
    if any(variation.is_continuous for variation in space.values()):
        return wanted
    return sum(1 for _ in islice(_points(config), wanted))


def data_variants(config: ExperimentConfig) -> list[ExperimentConfig]:
    """One trial's experiment for each distinct prepared data set that the space needs.

    Raises:
        ConfigError: there are more than 32.
    """
    space = search_of(config).space
    text_keys = [key for key in ordered_keys(space) if key.startswith("text.")]
    probed: dict[str, Sequence[Any]] = {key: probe_values(space, key) for key in space}
    options = {**probed, **{key: space[key].values for key in text_keys}}
    others = {key: values[0] for key, values in probed.items()}
    concerned = with_ancestors(space, text_keys)
    variants: dict[tuple[str, ...], Params] = {}
    for params in islice(combinations(config, concerned, options), MAX_GRID):
        # By repr, because 1 and true are equal as keys of a mapping.
        identity = tuple(repr(value_of(config, key, params)) for key in text_keys)
        variants.setdefault(identity, params)
    if len(variants) > MAX_DATA_VARIANTS:
        raise space_error(
            max(text_keys, key=lambda key: len(space[key].values)),
            f"a search may prepare at most {MAX_DATA_VARIANTS} data sets, but the values of "
            f"{', '.join(text_keys)} make at least {len(variants)}",
            remedy="name fewer values for the text keys",
        )
    return [
        trial_experiment(config, completed(config, params, others)) for params in variants.values()
    ]


def search_of(config: ExperimentConfig) -> SearchConfig:
    """The search section.

    Raises:
        ConfigError: the experiment has none.
    """
    if config.search is None:
        raise ConfigError(
            f"a search needs a `search` section, but {config.name} has none",
            where="search",
            remedy="add `search:` with `space:`; `rnnlane schema` lists the keys",
        )
    return config.search


def space_error(key: str, message: str, *, remedy: str | None = None) -> ConfigError:
    """An error at a key of the space."""
    return ConfigError(message, where=f"search.space.{key}", remedy=remedy)


def value_of(config: ExperimentConfig, key: str, params: Params) -> Any:
    """A key's value in a trial: sampled, else the experiment's own."""
    if key in params:
        return params[key]
    return functools.reduce(getattr, key.split("."), config)


def applies(config: ExperimentConfig, key: str, params: Params) -> bool:
    """Whether a varied key's conditions hold."""
    return all(
        any(same_value(value_of(config, parent, params), value) for value in allowed)
        for parent, allowed in search_of(config).space[key].when.items()
    )


def combinations(
    config: ExperimentConfig,
    keys: Sequence[str],
    options: Mapping[str, Sequence[Any]],
    params: Params | None = None,
) -> Iterator[Params]:
    """All combinations of the values of ``keys``, each key only where it applies.

    Args:
        config: an experiment with a search.
        keys: varied keys, parents first.
        options: the values of each key.
        params: values already chosen.
    """
    params = params or {}
    if not keys:
        yield params
    elif not applies(config, keys[0], params):
        yield from combinations(config, keys[1:], options, params)
    else:
        for value in options[keys[0]]:
            yield from combinations(config, keys[1:], options, {**params, keys[0]: value})


def _points(config: ExperimentConfig) -> Iterator[Params]:
    """All combinations of a space without continuous keys."""
    space = search_of(config).space
    values = {key: variation.values for key, variation in space.items()}
    return combinations(config, ordered_keys(space), values)


def with_ancestors(space: Space, keys: Sequence[str]) -> list[str]:
    """The keys and those that their conditions depend on, parents first."""
    needed = set(keys)
    order = ordered_keys(space)
    for key in reversed(order):
        if key in needed:
            needed.update(space[key].when)
    return [key for key in order if key in needed]


def probe_values(space: Space, key: str) -> list[Any]:
    """Values that represent all values of a key: the few that it has, or both ends of a range.

    If conditions name values of a range, also those values, and one that none of them names.
    """
    variation = space[key]
    if variation.is_continuous:
        return list(dict.fromkeys(variation.arguments))
    values = variation.values
    if variation.choice is not None or len(values) <= FEW_VALUES:
        return list(values)
    named = [value for other in space.values() for value in other.when.get(key, ())]
    others = [value for value in islice(values, len(named) + 1) if value not in named][:1]
    inside = [value for value in named if variation.can_be(value)]
    return sorted({values[0], values[-1], *inside, *(others if named else ())})


def completed(config: ExperimentConfig, params: Params, others: Params) -> Params:
    """``params``, completed by those of ``others`` that apply."""
    values = {**others, **params}
    return draw(config, lambda key, _: values[key])


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        if values[section] is None:  # a section that is off, and that this key puts on
            values[section] = {}
        values = values[section]
    values[leaf] = value
