"""Plain values -> a validated experiment, or one line that says which rule was broken where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.sources import SOURCES, SourceConfig, source_class
from rnnlane.config.yaml_source import KeyPath
from rnnlane.errors import ConfigError

# Keys of earlier versions, and their present names.
RENAMED = {"training.clip.trial_steps": "training.clip.calibration_steps"}

_ABSENT = object()


@dataclass(frozen=True)
class Problem:
    """The first broken rule of an experiment.

    Attributes:
        path: of the key concerned.
        message: the rule, then the value.
        remedy: what to do.
        others: dotted names of the other keys that break a rule.
    """

    path: KeyPath
    message: str
    remedy: str | None
    others: tuple[str, ...] = ()

    def error(self, place: str) -> ConfigError:
        """The error that a user reads; ``place`` is a file and line, or an override."""
        others = f"; {len(self.others)} more: {', '.join(self.others)}" if self.others else ""
        where = f"{place} {'.'.join(self.path)}".strip()
        return ConfigError(self.message + others, where=where, remedy=self.remedy)


def validated(values: Mapping[str, Any], *, origin: str) -> ExperimentConfig:
    """The experiment that plain values describe; its search space is not checked.

    Args:
        values: nested mappings.
        origin: how errors name the source of the values.

    Raises:
        ConfigError: a rule is broken; the first one is named, and how many more there are.
    """
    checked = check(values)
    if isinstance(checked, Problem):
        raise checked.error(origin)
    return checked


def check(values: Mapping[str, Any]) -> ExperimentConfig | Problem:
    """The experiment that plain values describe, or the first rule that they break."""
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        return _first_problem(error, values)


def _first_problem(error: ValidationError, values: Mapping[str, Any]) -> Problem:
    by_path: dict[KeyPath, list[dict[str, Any]]] = {}
    for problem in error.errors(include_url=False):
        by_path.setdefault(_key_path(dict(problem), values), []).append(dict(problem))
    path, problems = next(iter(by_path.items()))
    message, remedy = _explain(problems, path, values)
    others = sorted(".".join(other) or "the experiment" for other in by_path if other != path)
    return Problem(path, message, remedy, tuple(others))


def _explain(
    problems: Sequence[dict[str, Any]], path: KeyPath, values: Mapping[str, Any]
) -> tuple[str, str | None]:
    """The rule and the remedy; a value of a union has a problem with each of its members."""
    problem = problems[0]
    kind, value = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return _explain_unknown(path, values)
    if kind == "missing":
        return f"the key `{path[-1]}` is required", "add it; `rnnlane schema` says what it means"
    if kind == "union_tag_not_found":
        return "a source needs its `kind`", f"add kind: one of {', '.join(SOURCES)}"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        message = f"kind must be one of {context['expected_tags']}, but got '{context['tag']}'"
        return message, _nearest(context["tag"], SOURCES)
    if kind == "value_error":
        return str(problem["ctx"]["error"]), None
    rules = dict.fromkeys(_rule(problem) for problem in problems)
    choices = [choice for problem in problems for choice in _choices(problem)]
    remedy = _nearest(value, choices)
    if remedy is None and "be text" in rules and isinstance(value, int | float):
        remedy = f'write it in quotes: "{shown(value)}"'
    rule = " or ".join(rules).replace(" or be ", " or ")
    return f"must {rule}, but got {shown(value)}", remedy


# pydantic's kinds of error by their beginnings, in words for who writes YAML.
_RULES = {
    "int_": "be a whole number",
    "float_": "be a number",
    "string_type": "be text",
    "string_unicode": "be text",
    "bool_": "be true or false",
    "tuple_type": "be a list",
    "list_type": "be a list",
    "dict_type": "be a mapping of keys",
    "model_": "be a mapping of keys",
}


def _rule(problem: dict[str, Any]) -> str:
    """What a value must be or have, from pydantic's "Input should ..."."""
    for beginning, rule in _RULES.items():
        if str(problem["type"]).startswith(beginning):
            return rule
    rule = str(problem["msg"]).partition(" should ")[2] or str(problem["msg"])
    return rule.partition(" after validation")[0]


def _choices(problem: dict[str, Any]) -> list[str]:
    """The texts that a literal allows."""
    expected = problem.get("ctx", {}).get("expected", "")
    return re.findall(r"'([^']*)'", expected) if problem["type"] == "literal_error" else []


def _nearest(value: Any, choices: Iterable[str]) -> str | None:
    """The remedy for a value that is close to one of the choices."""
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def _explain_unknown(path: KeyPath, values: Mapping[str, Any]) -> tuple[str, str]:
    if (new := RENAMED.get(".".join(path))) is not None:
        return f"`{path[-1]}` is now `{new.rpartition('.')[2]}`", "rename the key"
    key = path[-1]
    if path[:-1] == ("data", "source"):
        kind = values["data"]["source"]["kind"]
        others = [k for k in SOURCES if key in source_class(k).model_fields and k != kind]
        if others:
            return f"a source of kind {kind} has no key `{key}`", f"kind {' and '.join(others)} has"
        keys = sorted(source_class(kind).model_fields)
    else:
        keys = _keys_beside(path)
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"the keys there are {', '.join(keys)}"
    return f"unknown key `{key}`", hint


def shown(value: Any) -> str:
    """A value as an error quotes it, cut to 60 characters; null and booleans as in YAML."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    text = "null" if value is None else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key_path(problem: Mapping[str, Any], values: Any) -> KeyPath:
    """Where the values have a problem.

    pydantic's location also names the members of unions. Those are not keys of the values, unless
    the problem is that a key is missing.
    """
    location = list(problem["loc"])
    path: list[str] = []
    for index, part in enumerate(location):
        is_missing = problem["type"] == "missing" and index == len(location) - 1
        inner = _inner(values, part)
        if inner is _ABSENT and not is_missing:
            continue
        values = inner
        path.append(str(part))
    if str(problem["type"]).startswith("union_tag"):
        path.append("kind")
    return tuple(path)


def _inner(values: Any, part: str | int) -> Any:
    """The value at a key or an index, or _ABSENT."""
    if isinstance(values, Mapping):
        return values.get(part, _ABSENT)
    if isinstance(values, list | tuple) and isinstance(part, int):
        return values[part] if part < len(values) else _ABSENT
    return _ABSENT


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
