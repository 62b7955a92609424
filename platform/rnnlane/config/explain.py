"""Plain values -> a validated experiment, or one line that says which rule was broken where."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.sources import SOURCES, SourceConfig, source_class
from rnnlane.config.yaml_source import KeyPath
from rnnlane.errors import ConfigError

# Keys of earlier versions, and their present names.
RENAMED = {"training.clip.trial_steps": "training.clip.calibration_steps"}


def validated(
    values: Mapping[str, Any], *, origin: str, locations: Mapping[KeyPath, str] | None = None
) -> ExperimentConfig:
    """The experiment that plain values describe; its search space is not checked.

    Args:
        values: nested mappings.
        origin: how errors name the source of the values.
        locations: of each key path, such as ``lstm-1.yaml:12``.

    Raises:
        ConfigError: a rule is broken; the first one is named, and how many more there are.
    """
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise _explained(error, origin, locations or {}) from None


def _explained(
    error: ValidationError, origin: str, locations: Mapping[KeyPath, str]
) -> ConfigError:
    problems = error.errors(include_url=False)
    problem = problems[0]
    path = _key_path(problem["loc"])
    message, remedy = _explain(dict(problem), path)
    if len(problems) > 1:
        others = sorted({".".join(_key_path(other["loc"])) or origin for other in problems[1:]})
        message += f"; {len(problems) - 1} more: {', '.join(others)}"
    return ConfigError(message, where=located(path, origin, locations), remedy=remedy)


def located(path: KeyPath, origin: str, locations: Mapping[KeyPath, str]) -> str:
    """The dotted key after the location of its innermost part that has one."""
    prefixes = (path[:length] for length in range(len(path), 0, -1))
    location = next((locations[prefix] for prefix in prefixes if prefix in locations), origin)
    return f"{location} {'.'.join(path)}".strip()


def _explain(problem: dict[str, Any], path: KeyPath) -> tuple[str, str | None]:
    kind, value = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return _explain_unknown(path)
    if kind == "missing":
        return f"the key `{path[-1]}` is required", "add it; `rnnlane schema` says what it means"
    if kind == "union_tag_not_found":
        return "a source needs its `kind`", f"add kind: one of {', '.join(SOURCES)}"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        return f"kind must be one of {context['expected_tags']}, but got '{context['tag']}'", None
    if kind == "value_error":
        return str(problem["ctx"]["error"]), None
    rule = problem["msg"].removeprefix("Input ").replace("should be", "must be")
    return f"{rule}, but got {shown(value)}", None


def _explain_unknown(path: KeyPath) -> tuple[str, str]:
    if (new := RENAMED.get(".".join(path))) is not None:
        return f"`{path[-1]}` is now `{new.rpartition('.')[2]}`", "rename the key"
    keys = _keys_beside(path)
    near = difflib.get_close_matches(path[-1], keys, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"the keys there are {', '.join(keys)}"
    return f"unknown key `{path[-1]}`", hint


def shown(value: Any) -> str:
    """A value as an error quotes it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key_path(location: Sequence[str | int]) -> KeyPath:
    """pydantic's location without the names of union members that it adds at the end."""
    path = [str(part) for part in location]
    while path and path[-1] in {"constrained-float", "constrained-str", "literal['official']"}:
        path.pop()
    return tuple(path)


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value of this annotation can be."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if annotation is SourceConfig:
        return [source_class(kind) for kind in SOURCES]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [model for part in get_args(annotation) for model in _members(part)]
    return []


def _keys_beside(path: KeyPath) -> list[str]:
    """The keys that are valid where the last part of ``path`` is."""
    annotations: list[Any] = [ExperimentConfig]
    for part in path[:-1]:
        annotations = [inner for outer in annotations for inner in _inside(outer, part)]
    models = [model for annotation in annotations for model in _members(annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _inside(annotation: Any, key: str) -> list[Any]:
    """The annotations of a key in a section or a mapping."""
    if get_origin(annotation) is dict:
        return [get_args(annotation)[1]]
    return [
        model.model_fields[key].annotation
        for model in _members(annotation)
        if key in model.model_fields
    ]
