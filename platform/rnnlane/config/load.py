"""An experiment file and ``--set`` overrides -> a validated ExperimentConfig."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.yaml_source import KeyPath, parse_yaml
from rnnlane.errors import ConfigError


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Reads, overrides and validates one experiment file.

    Args:
        path: a YAML file.
        overrides: assignments such as ``training.clip.max_norm=1.5``; values are read as YAML.

    Raises:
        ConfigError: the file cannot be read, is no YAML mapping, or breaks a rule; names file,
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
        ConfigError: a rule is broken, by the experiment or by what its ``search.space`` can make
            of it; the first broken one is named, and how many more there are.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"an experiment must be a mapping of keys, but got {_shown(values)}",
            where=origin,
            remedy="start with `name:` and `data:`; experiments/demo.yaml is an example",
        )
    places = {path: f"{origin}:{line}" for path, line in (lines or {}).items()}
    merged = _copied(values)
    for override in overrides:
        path, value = _parse_override(override)
        _assign(merged, path, value, override)
        places[path] = f"--set {override}"
    try:
        config = ExperimentConfig.model_validate(merged)
    except ValidationError as error:
        raise _config_error(error, origin, places) from None
    if config.search is not None:
        _check_space(config, origin, places)
    return config


def _check_space(config: ExperimentConfig, origin: str, places: Mapping[KeyPath, str]) -> None:
    # Late, because space validates each trial through this module.
    from rnnlane.config.space_check import check_space

    try:
        check_space(config)
    except ConfigError as error:
        where = _located(_split(error.where or "search"), origin, places)
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
                f"`{'.'.join(path[:depth])}` holds {_shown(inner)}, not a section",
                where=f"--set {override}",
                remedy="`rnnlane schema` lists the keys",
            )
        values = inner
    values[path[-1]] = value


def _config_error(
    error: ValidationError, origin: str, places: Mapping[KeyPath, str]
) -> ConfigError:
    problems = error.errors(include_url=False)
    problem = problems[0]
    path = _key_path(problem["loc"])
    message, remedy = _explain(dict(problem), path)
    if len(problems) > 1:
        others = sorted({".".join(_key_path(other["loc"])) or origin for other in problems[1:]})
        message += f"; {len(problems) - 1} more: {', '.join(others)}"
    return ConfigError(message, where=_located(path, origin, places), remedy=remedy)


def _located(path: KeyPath, origin: str, places: Mapping[KeyPath, str]) -> str:
    """The dotted key after the place of its innermost part that has one."""
    place = next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), origin)
    return f"{place} {'.'.join(path)}".strip()


def _explain(problem: dict[str, Any], path: KeyPath) -> tuple[str, str | None]:
    kind, value = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        known = _keys_beside(path)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        return f"unknown key `{path[-1]}`", hint
    if kind == "missing":
        return f"the key `{path[-1]}` is required", "add it; `rnnlane schema` says what it means"
    if kind == "union_tag_not_found":
        tags = problem.get("ctx", {}).get("expected_tags") or "imdb, csv, jsonl, parquet, generated"
        return "a source needs its `kind`", f"add kind: one of {tags}" if tags else "add `kind`"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        return f"kind must be one of {context['expected_tags']}, but got '{context['tag']}'", None
    if kind == "value_error":
        return str(problem["ctx"]["error"]), None
    rule = problem["msg"].removeprefix("Input ").replace("should be", "must be")
    return f"{rule}, but got {_shown(value)}", None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key_path(location: Sequence[str | int]) -> KeyPath:
    """pydantic's location without the union tags that it puts between two keys."""
    path: list[str] = []
    model: Any = ExperimentConfig
    for part in location:
        members = _members(model)
        if isinstance(part, str) and len(members) > 1:
            tagged = [m for m in members if _tag(m) == part]
            if tagged:
                model = tagged[0]
                continue
        path.append(str(part))
        model = next(
            (m.model_fields[part].annotation for m in members if part in m.model_fields), None
        )
    while path and path[-1] in {"constrained-float", "constrained-str", "literal['official']"}:
        path.pop()
    return tuple(path)


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of this annotation can be."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [model for part in get_args(annotation) for model in _members(part)]
    return []


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation)[0] if kind is not None else None


def _keys_beside(path: KeyPath) -> list[str]:
    """The valid keys at the place of the last part of ``path``."""
    annotations: list[Any] = [ExperimentConfig]
    for part in path[:-1]:
        annotations = [inner for outer in annotations for inner in _inside(outer, part)]
    return sorted({key for part in annotations for m in _members(part) for key in m.model_fields})


def _inside(annotation: Any, key: str) -> list[Any]:
    """What can stand at a key of a section or of a mapping."""
    if get_origin(annotation) is dict:
        return [get_args(annotation)[1]]
    return [
        model.model_fields[key].annotation
        for model in _members(annotation)
        if key in model.model_fields
    ]
