"""An experiment file and ``--set`` overrides -> a validated ExperimentConfig."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.explain import located, shown, validated
from rnnlane.config.space_check import check_space
from rnnlane.config.yaml_source import KeyPath, parse_yaml
from rnnlane.errors import ConfigError


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Reads, overrides and validates one experiment file.

    Args:
        path: a YAML file.
        overrides: assignments such as ``training.clip.max_norm=1.5``; values are read as YAML.

    Raises:
        ConfigError: the file cannot be read, is not a YAML mapping, or breaks a rule; names file,
            line and dotted key, and for an unknown key the nearest valid one.
    """
    origin = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
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
    values, lines = parse_yaml(text, origin=origin)
    return experiment_from_mapping(values, overrides, origin=origin, lines=lines)


def experiment_from_mapping(
    values: Any,
    overrides: Iterable[str] = (),
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
        ConfigError: the experiment, or one that its ``search.space`` contains, breaks a rule; the
            error names the first and counts the others.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"an experiment must be a mapping of keys, but got {shown(values)}",
            where=origin,
            remedy="start with `name:` and `data:`; experiments/demo.yaml is an example",
        )
    locations = {path: f"{origin}:{line}" for path, line in (lines or {}).items()}
    merged = _copied(values)
    for override in overrides:
        path, value = _parse_override(override)
        _assign(merged, path, value, override)
        locations[path] = f"--set {override}"
    config = validated(merged, origin=origin, locations=locations)
    if config.search is not None:
        _check_space(config, origin, locations)
    return config


def _check_space(config: ExperimentConfig, origin: str, locations: Mapping[KeyPath, str]) -> None:
    try:
        check_space(config)
    except ConfigError as error:
        where = located(_split(error.where or "search"), origin, locations)
        raise ConfigError(error.message, where=where, remedy=error.remedy) from None


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _parse_override(override: str) -> tuple[KeyPath, Any]:
    key, equals, text = override.partition("=")
    path = _split(key.strip())
    if not equals or not all(path):
        raise ConfigError(
            f"an override must read dotted.key=value, but got {override!r}",
            where=f"--set {override}",
            remedy="for example --set training.clip.max_norm=1.5",
        )
    value, _ = parse_yaml(text, origin=f"--set {override}")
    return path, value


def _split(dotted: str) -> KeyPath:
    parts = tuple(dotted.split("."))
    is_varied_key = parts[:2] == ("search", "space") and len(parts) > 2
    return (*parts[:2], ".".join(parts[2:])) if is_varied_key else parts


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
