"""An experiment file and ``--set`` overrides -> a validated ExperimentConfig."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rnnlane.config.ablation import check_ablation
from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.explain import Problem, check, shown
from rnnlane.config.space_check import check_names, check_space
from rnnlane.config.yaml_source import MAX_BYTES, KeyPath, parse_value, parse_yaml
from rnnlane.errors import ConfigError, MistakesError, RnnlaneError


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Reads, overrides and validates one experiment file.

    Args:
        path: a YAML file.
        overrides: assignments such as ``training.clip.max_norm=1.5``; values are read as YAML.

    Raises:
        ConfigError: the file cannot be read, is not a YAML mapping, or breaks a rule; names file,
            line and dotted key, and for an unknown key the nearest valid one.
        MistakesError: it breaks several rules.
    """
    origin = str(path)
    try:
        with Path(path).open("rb") as file:
            # A file that is not an experiment can be of any size, or have no end.
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"an experiment must be UTF-8 text, but byte {error.start} is not", where=origin
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot read the experiment: {error.strerror}",
            where=origin,
            remedy="give the path of a YAML file, such as experiments/demo.yaml",
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"an experiment must have at most {MAX_BYTES:,} bytes, but this file has more",
            where=origin,
            remedy="give the path of a YAML file, such as experiments/demo.yaml",
        )
    values, lines = parse_yaml(text, origin=origin)
    return experiment_from_mapping(values, overrides, origin=origin, lines=lines)


def experiment_from_mapping(
    values: Any,
    overrides: Sequence[str] = (),
    *,
    origin: str = "experiment",
    lines: Mapping[KeyPath, int] | None = None,
) -> ExperimentConfig:
    """Validates plain values, as :func:`load_experiment` does a file.

    Args:
        values: nested mappings, as YAML or JSON gives them.
        overrides: assignments ``dotted.key=value``, applied in order.
        origin: how errors name the source of the values.
        lines: 1-based line of each key path in that source.

    Raises:
        ConfigError: the experiment, or one that its ``search.space`` contains, breaks a rule.
        MistakesError: it breaks several.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"an experiment must be a mapping of keys, but got {shown(values)}",
            where=origin,
            remedy="start with `name:` and `data:`; experiments/demo.yaml is an example",
        )
    states = [_copied(values)]
    errors: list[RnnlaneError] = []
    for override in overrides:
        try:
            states.append(_overridden(states[-1], override))
        except ConfigError as error:
            errors.append(error)
            states.append(states[-1])
    checked = _check(states[-1])
    if not isinstance(checked, ExperimentConfig):
        # Each state is checked once, and only if it has to be: a search space takes a second.
        before = cache(lambda number: _check(states[number]))
        places = [_place(problem, before, len(overrides), lines or {}) for problem in checked]
        for place, problem in sorted(zip(places, checked, strict=True), key=lambda each: each[0]):
            errors.append(problem.error(place.text(origin, overrides)))
    if isinstance(checked, ExperimentConfig) and not errors:
        return checked
    raise MistakesError.of(errors)


def _check(values: Mapping[str, Any]) -> ExperimentConfig | list[Problem]:
    """The experiment with its search space checked too, or the broken rules."""
    config = check(values, thorough=True)
    if not isinstance(config, ExperimentConfig):
        return config + _unknown_in_space(values)
    if config.search is None:
        return config
    try:
        check_space(config)
        check_ablation(config)
    except ConfigError as error:
        return _as_problems(error)
    return config


def _unknown_in_space(values: Mapping[str, Any]) -> list[Problem]:
    """Of an experiment that is not valid otherwise."""
    search = values.get("search")
    space = search.get("space") if isinstance(search, Mapping) else None
    try:
        check_names(list(space) if isinstance(space, Mapping) else [])
    except ConfigError as error:
        return _as_problems(error)
    return []


def _as_problems(error: ConfigError) -> list[Problem]:
    errors = error.errors if isinstance(error, MistakesError) else (error,)
    return [Problem(_split(each.where or "search"), each.message, each.remedy) for each in errors]


class _Place(NamedTuple):
    """Where a mistake is; places are ordered as people read them, the file first."""

    override: int  # from 1; 0: the file
    line: int  # from 1; 0: not known

    def text(self, origin: str, overrides: Sequence[str]) -> str:
        if self.override:
            return f"--set {overrides[self.override - 1]}"
        return f"{origin}:{self.line}" if self.line else origin


def _place(
    problem: Problem,
    before: Callable[[int], ExperimentConfig | list[Problem]],
    num_overrides: int,
    lines: Mapping[KeyPath, int],
) -> _Place:
    """The override that brought the problem about; if none did, the line of its key.

    Args:
        problem: of the last state.
        before: what the file was (0), or what it was after so many overrides.
        num_overrides: of the last state.
        lines: of the file's keys; an inner key without one has the line of its section.
    """
    for number in range(num_overrides, 0, -1):
        earlier = before(number - 1)
        is_new = isinstance(earlier, ExperimentConfig) or not any(
            (each.path, each.message) == (problem.path, problem.message) for each in earlier
        )
        if is_new:
            return _Place(number, 0)
    paths = (problem.path[:length] for length in range(len(problem.path), 0, -1))
    return _Place(0, next((lines[path] for path in paths if path in lines), 0))


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _overridden(values: dict[str, Any], override: str) -> dict[str, Any]:
    """A copy of the values with one of them replaced."""
    key, equals, text = override.partition("=")
    path = _split(key.strip())
    if not equals or not all(path):
        raise ConfigError(
            f"an override must read dotted.key=value, but got {override!r}",
            where=f"--set {override}",
            remedy="for example --set training.clip.max_norm=1.5",
        )
    copy: dict[str, Any] = _copied(values)
    _assign(copy, path, parse_value(text, origin=f"--set {override}"), override)
    return copy


def _split(dotted: str) -> KeyPath:
    parts = tuple(dotted.split("."))
    # Below these, a dotted name is one key.
    for above in (("search", "space"), ("search", "ablation", "keys")):
        depth = len(above)
        if parts[:depth] == above and len(parts) > depth:
            return (*above, ".".join(parts[depth:]))
    return parts


def _assign(values: dict[str, Any], path: KeyPath, value: Any, override: str) -> None:
    for depth, key in enumerate(path[:-1], start=1):
        inner = values.get(key)
        if inner is None:
            inner = values[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(
                f"`{'.'.join(path[:depth])}` holds {shown(inner)}, not a section",
                where=f"--set {override}",
                remedy="`rnnlane schema` lists the keys",
            )
        values = inner
    values[path[-1]] = value
