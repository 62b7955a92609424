"""Plain values -> a validated experiment, or all its mistakes: each a rule, a value and a place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.keys import dotted_fields, keys_beside
from rnnlane.config.near_names import RENAMED, meant_keys
from rnnlane.config.section import BrokenRulesError
from rnnlane.config.sources import SOURCES, source_class
from rnnlane.config.wording import choices_of, rule_of
from rnnlane.config.yaml_source import KeyPath
from rnnlane.errors import ConfigError, MistakesError

_ABSENT = object()
_MAX_ROUNDS = 5

# Values that are no mistake of writing, but of meaning.
_MEANT_VALUES = {
    ("training.early_stopping", True): "give the epochs without improvement to wait for, such as 3",
}


@dataclass(frozen=True)
class Problem:
    """A broken rule of an experiment.

    Attributes:
        path: of the key concerned.
        message: the rule, then the value.
        remedy: what to do.
    """

    path: KeyPath
    message: str
    remedy: str | None = None

    def error(self, place: str) -> ConfigError:
        """The error that a user reads; ``place`` is a file and line, or an override."""
        where = f"{place} {'.'.join(self.path)}".strip()
        return ConfigError(self.message, where=where, remedy=self.remedy)


def validated(values: Mapping[str, Any], *, origin: str) -> ExperimentConfig:
    """The experiment that plain values describe; its search space is not checked.

    Args:
        values: nested mappings.
        origin: how errors name the source of the values.

    Raises:
        ConfigError: a rule is broken.
        MistakesError: several are.
    """
    checked = check(values)
    if isinstance(checked, ExperimentConfig):
        return checked
    raise MistakesError.of([problem.error(origin) for problem in checked])


def check(values: Mapping[str, Any], *, thorough: bool = False) -> ExperimentConfig | list[Problem]:
    """The experiment that plain values describe, or the rules that they break.

    Args:
        values: nested mappings.
        thorough: whether rules between keys are looked at even if others are broken.
    """
    try:
        return ExperimentConfig.model_validate(values)
    except ValidationError as error:
        problems = _problems(error, values)
        # A rule of the whole experiment is only looked at where all sections are valid.
        is_rest_valid = any(not problem.path for problem in problems)
        if is_rest_valid or not thorough:
            return problems
        return problems + _between_the_others(values, problems)


def _problems(
    error: ValidationError, values: Mapping[str, Any], *, own_rules: bool = False
) -> list[Problem]:
    """What pydantic found; or only the rules that are ours, not its own."""
    by_path: dict[KeyPath, list[dict[str, Any]]] = {}
    for problem in error.errors(include_url=False):
        if own_rules and problem["type"] != "value_error":
            continue
        by_path.setdefault(_key_path(dict(problem), values), []).append(dict(problem))
    return [
        Problem(path, message, remedy)
        for path, problems in by_path.items()
        for message, remedy in _explain(problems, path, values)
    ]


def _between_the_others(values: Mapping[str, Any], problems: Sequence[Problem]) -> list[Problem]:
    """Rules between keys that are broken too; pydantic looks at them where each key is valid.

    The wrong keys are left out, and rules that may be about one of them are not told: what it
    should have been nobody knows.
    """
    rest = deepcopy(dict(values))
    found: list[Problem] = []
    wrong, doubtful = list(problems), set[str]()
    for _ in range(_MAX_ROUNDS):
        for problem in wrong:
            doubtful.add(_leave_out(rest, problem.path))
            meant = re.findall("`([^`]*)`", problem.remedy or "")
            doubtful |= {name.rpartition(".")[2] for name in meant}
        _complete(rest)
        try:
            ExperimentConfig.model_validate(rest)
        except ValidationError as error:
            wrong = _problems(error, rest)
            # What lacks something that was left out breaks other rules too.
            new = _problems(error, rest, own_rules=True)
            found += [p for p in new if not doubtful & set(re.findall(r"\w+", p.message))]
        else:
            break
        if not all(problem.path for problem in wrong):
            break
    return found


def _leave_out(values: dict[str, Any], path: KeyPath) -> str:
    """Removes what is at a path, and returns its key.

    Of something in a list it is the list, and of something that is missing the section.
    """
    before: tuple[dict[str, Any], str] = (values, "")
    for key in path:
        if key not in values:
            break
        before = (values, key)
        if not isinstance(values[key], dict):
            break
        values = values[key]
    section, key = before
    section.pop(key, None)
    return key


def _complete(values: dict[str, Any]) -> None:
    """Adds what an experiment cannot be without."""
    values.setdefault("name", "x")
    data = values.setdefault("data", {})
    if "kind" not in data.get("source", {}):
        data["source"] = {"kind": "generated"}


def _explain(
    problems: Sequence[dict[str, Any]], path: KeyPath, values: Mapping[str, Any]
) -> list[tuple[str, str | None]]:
    """The rules and remedies; a value of a union has a problem with each of its members."""
    problem = problems[0]
    kind, value = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return [_explain_unknown(path, values)]
    if kind == "missing":
        return [(f"the key `{path[-1]}` is required", _remedy_of_missing(path))]
    if kind == "union_tag_not_found":
        return [("a source needs its `kind`", f"add kind: one of {', '.join(SOURCES)}")]
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        message = f"kind must be one of {context['expected_tags']}, but got '{context['tag']}'"
        return [(message, _nearest(context["tag"], SOURCES))]
    meant = _MEANT_VALUES.get((".".join(path), value)) if isinstance(value, bool) else None
    own = [each["ctx"]["error"] for each in problems if each["type"] == "value_error"]
    if own:
        several = (e.messages if isinstance(e, BrokenRulesError) else (str(e),) for e in own)
        return [(message, meant) for messages in several for message in messages]
    rules = dict.fromkeys(rule_of(each) for each in problems)
    remedy = meant or _nearest(value, [choice for each in problems for choice in choices_of(each)])
    if remedy is None and "be text" in rules and isinstance(value, int | float):
        remedy = f'write it in quotes: "{shown(value)}"'
    rule = " or ".join(rules).replace(" or be ", " or ")
    return [(f"must {rule}, but got {shown(value)}", remedy)]


def _remedy_of_missing(path: KeyPath) -> str:
    if path == ("data",):
        return "add it: rnnlane init FILE writes an experiment for a file"
    return "add it; `rnnlane schema` says what it means"


def _nearest(value: Any, choices: Iterable[str]) -> str | None:
    """The remedy for a value that is close to one of the choices."""
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def _explain_unknown(path: KeyPath, values: Mapping[str, Any]) -> tuple[str, str]:
    if (new := RENAMED.get(".".join(path))) is not None:
        return f"`{path[-1]}` is now `{new.rpartition('.')[2]}`", "rename the key"
    key, section = path[-1], ".".join(path[:-1])
    message = f"unknown key `{key}`"
    if section in {"data.source", "data.unlabeled.source"}:
        source: Any = values
        for part in path[:-1]:
            source = source[part]
        kind = source["kind"]
        others = [k for k in SOURCES if key in source_class(k).model_fields and k != kind]
        if others:
            message = f"a source of kind {kind} has no key `{key}`"
            return message, _listed_kinds(others, section)
        beside = sorted(source_class(kind).model_fields)
    else:
        beside = keys_beside(path)
    meant = meant_keys(key, section=section, beside=beside, keys=dotted_fields())
    return message, hint_of(meant, section) or f"the keys there are {', '.join(beside)}"


def hint_of(meant: Sequence[str], section: str = "") -> str | None:
    """The remedy that names keys; one of the same section without it."""
    if not meant:
        return None
    own = [key.removeprefix(f"{section}.") for key in meant]
    names = [short if "." not in short else key for short, key in zip(own, meant, strict=True)]
    return f"did you mean {' or '.join(f'`{name}`' for name in names)}?"


def _listed_kinds(kinds: Sequence[str], section: str) -> str:
    if len(kinds) == 1:
        return f"kind {kinds[0]} has"
    return f"kinds {', '.join(kinds[:-1])} and {kinds[-1]} have; set {section}.kind"


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
