"""Refuses an invalid search space before anything starts, naming the key at fault."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.explain import hint_of
from rnnlane.config.keys import dotted_fields
from rnnlane.config.near_names import RENAMED, meant_keys
from rnnlane.config.search import format_value, natural_mode, same_value
from rnnlane.config.space import (
    MAX_GRID,
    Params,
    applies,
    combinations,
    completed,
    data_variants,
    grid,
    objective,
    ordered_keys,
    probe_values,
    search_of,
    space_error,
    trial_experiment,
    value_of,
    with_ancestors,
)
from rnnlane.errors import ConfigError, MistakesError, RnnlaneError

_MAX_COMBINATIONS = 2_000
_MAX_VALUES_TRIED = 50

_NOT_VARIED = {
    "name": "it only labels the runs",
    "description": "it only labels the runs",
    "sample_text": "it does not change what is learned",
    "inference": "it does not change what is learned",
    "seed": "trials on different splits cannot be compared; search.repeats tries several seeds",
    "data": "trials on different rows cannot be compared",
    "training.adversarial.unlabeled": "trials on different texts cannot be compared",
    "training.seed": "the best seed would win by chance; search.repeats tries several",
    "training.seeds": "a trial trains with one seed; search.repeats tries several",
    "training.epochs": "search.max_epochs and the scheduler set it",
    "training.metric": "trials with different metrics cannot be compared; search.metric names "
    "the one to compare by",
    "training.refit": "trials are compared on val, which a refit trains on",
    "runtime": "it does not change what is learned; search.workers_per_trial, cpus_per_worker and "
    "gpus_per_worker set what a trial runs on",
    "tracking": "it does not change what is learned",
    "search": "it configures the search itself",
}


def check_space(config: ExperimentConfig) -> None:
    """Refuses a space with invalid combinations, or one that needs too many prepared data sets.

    Combinations of the keys' probe values are validated: all of them if there are at most 2,000,
    else 2,000 that include each value of each key.

    Raises:
        ConfigError: names the key at fault, as ``search.space.<key>``, and the values.
    """
    space = search_of(config).space
    check_names(list(space))
    for key in ordered_keys(space):
        _check_conditions(config, key)
        _check_continuous(config, key)
    _check_fixed_settings(config)
    if search_of(config).algorithm == "grid":
        grid(config)
    for params in _combinations_to_try(config):
        if problem_of(config, params) is not None:
            raise _explain(config, params)
    data_variants(config)


def check_names(keys: Sequence[str], *, section: str = "search.space") -> None:
    """Refuses keys that do not exist or may not vary.

    Raises:
        ConfigError: one; names it as ``<section>.<key>``.
        MistakesError: several.
    """
    errors: list[RnnlaneError] = []
    for key in keys:
        try:
            _check_may_vary(key, f"{section}.{key}")
            _check_known(key, f"{section}.{key}")
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise MistakesError.of(errors)


def _check_known(key: str, where: str) -> None:
    fields = dotted_fields()
    if key in RENAMED:
        raise ConfigError(f"`{key}` is now `{RENAMED[key]}`", where=where, remedy="rename the key")
    if key not in fields:
        meant = meant_keys(key, section="", beside=list(fields), keys=fields)
        remedy = hint_of(meant) or "`rnnlane schema` lists the keys"
        raise ConfigError(f"unknown key `{key}`", where=where, remedy=remedy)
    if fields[key] is None:
        inner = [name for name in fields if name.startswith(f"{key}.")]
        raise ConfigError(
            f"must be a key with a value, but `{key}` is a section",
            where=where,
            remedy=f"name one of its keys: {', '.join(inner)}",
        )


def _check_may_vary(key: str, where: str) -> None:
    for fixed, reason in _NOT_VARIED.items():
        if key == fixed or key.startswith(f"{fixed}."):
            raise ConfigError(
                f"`{key}` may not vary: {reason}",
                where=where,
                remedy=f"remove it from the {where.split('.')[1]}",
            )


def _check_conditions(config: ExperimentConfig, key: str) -> None:
    space = search_of(config).space
    for parent, allowed in space[key].when.items():
        _check_known(parent, f"search.space.{key}")
        for value in allowed:
            if not _can_take(config, parent, value):
                can_be = str(space[parent]) if parent in space else "no such value"
                raise space_error(
                    key,
                    f"a condition must name values that its key can have, but {parent} is never "
                    f"{format_value(value)}: it is {can_be}",
                    remedy="correct `when`; a condition needs a key with listed values",
                )
    _enabling_params(config, key)


def _can_take(config: ExperimentConfig, key: str, value: Any) -> bool:
    variation = search_of(config).space.get(key)
    if variation is None:
        return accepts(key, value)
    is_own = bool(variation.when) and same_value(value, value_of(config, key, {}))
    return is_own or variation.can_be(value)


def _enabling_params(config: ExperimentConfig, key: str) -> Params:
    """Values of a key's ancestors with which the key applies.

    Raises:
        ConfigError: there is none.
    """
    space = search_of(config).space
    ancestors = [name for name in with_ancestors(space, [key]) if name != key]
    options = {name: probe_values(space, name) for name in ancestors}
    for params in islice(combinations(config, ancestors, options), MAX_GRID):
        if applies(config, key, params):
            return params
    own = [f"{name} is {format_value(value_of(config, name, {}))}" for name in space[key].when]
    raise space_error(
        key,
        "a varied key must apply in some trial, but its conditions never hold together: "
        f"{space[key]}, while in the experiment {', '.join(own)}",
        remedy="correct `when`, vary the keys that it names, or remove the key from the space",
    )


def _check_continuous(config: ExperimentConfig, key: str) -> None:
    variation = search_of(config).space[key]
    if not variation.is_continuous:
        return
    shown = str(variation)
    listed = "use choice, randint or steps"
    if key.startswith("text."):
        raise space_error(
            key,
            f"each value of a text key needs prepared data of its own, but got {shown}",
            remedy=listed,
        )
    low, high = variation.arguments
    # Not at a round fraction: a whole-number key accepts both ends and maybe the middle.
    inside = low + 0.381966 * (high - low)
    if accepts(key, low) and accepts(key, high) and not accepts(key, inside):
        raise space_error(
            key, f"{key} does not accept every number in between, but got {shown}", remedy=listed
        )


def _check_fixed_settings(config: ExperimentConfig) -> None:
    metric, _ = objective(config)
    mode = search_of(config).mode
    if mode not in {None, natural_mode(metric)}:
        raise ConfigError(
            f"{metric} is better at its {natural_mode(metric)}, but got mode {mode}",
            where="search.mode",
            remedy="leave `mode` out",
        )


def _combinations_to_try(config: ExperimentConfig) -> list[Params]:
    space = search_of(config).space
    probed: dict[str, Sequence[Any]] = {key: probe_values(space, key) for key in space}
    every = combinations(config, ordered_keys(space), probed)
    first = list(islice(every, _MAX_COMBINATIONS + 1))
    if len(first) <= _MAX_COMBINATIONS:
        return first
    forced = [
        {**_enabling_params(config, key), key: value}
        for key, values in probed.items()
        for value in values
    ]
    forced += [{} for _ in range(_MAX_COMBINATIONS - len(forced))]
    # Seeded, so that the same space is always accepted or always refused.
    generator = random.Random(0)  # noqa: S311
    return [
        completed(config, params, {key: generator.choice(values) for key, values in probed.items()})
        for params in forced
    ]


def problem_of(config: ExperimentConfig, params: Params) -> str | None:
    """The message of the rule that an experiment with these values breaks; None if it is valid."""
    try:
        trial_experiment(config, params)
    except ConfigError as error:
        return error.message
    return None


def _explain(config: ExperimentConfig, params: Params) -> ConfigError:
    """The error of an invalid combination, which names as few of its values as break the rule."""
    blamed = dict(params)
    for key in params:
        rest = {other: value for other, value in blamed.items() if other != key}
        if rest and problem_of(config, rest) is not None:
            blamed = rest
    culprit, condition, valid = _find_condition(config, params, blamed)
    remedy = f"leave out {_assignment(culprit, params)}, or give the key a `when`"
    if condition is not None:
        blamed = {**blamed, condition: params[condition]}
        listed = ", ".join(format_value(value) for value in valid)
        remedy = f"add `when: {{{condition}: [{listed}]}}`"
    others = " and ".join(_assignment(key, params) for key in blamed if key != culprit)
    values = _assignment(culprit, params) + (f" with {others}" if others else "")
    return space_error(
        culprit, f"{values} breaks a rule: {problem_of(config, blamed)}", remedy=remedy
    )


def _assignment(key: str, params: Params) -> str:
    return f"{key}={format_value(params[key])}"


def _find_condition(
    config: ExperimentConfig, params: Params, blamed: Params
) -> tuple[str, str | None, list[Any]]:
    """The key at fault, a key for its ``when``, and the values of that key which make it valid.

    Of several candidates, those without fractions are preferred, then the one that leaves the most
    values. If there is none, the key sampled last is at fault, without a condition.
    """
    space = search_of(config).space
    candidates: list[tuple[str, str | None, list[Any]]] = []
    for culprit in blamed:
        for other in params:
            is_descendant = culprit in with_ancestors(space, [other])
            if other == culprit or is_descendant or space[other].is_continuous:
                continue
            values = list(islice(space[other].values, _MAX_VALUES_TRIED))
            valid = [v for v in values if problem_of(config, {**blamed, other: v}) is None]
            if valid and params[other] not in valid:
                candidates.append((culprit, other, valid))

    def rank(candidate: tuple[str, str | None, list[Any]]) -> tuple[bool, int]:
        return not any(isinstance(value, float) for value in candidate[2]), len(candidate[2])

    return max(candidates, key=rank, default=(list(blamed)[-1], None, []))


def accepts(key: str, value: Any) -> bool:
    """Whether a value has a key's type and range, regardless of the other keys."""
    field = dotted_fields()[key]
    assert field is not None
    annotation: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True
