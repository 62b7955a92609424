"""Every kind of error that pydantic can raise for an experiment has words of its own."""

import re
import typing

import pytest
from pydantic import ValidationError

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.config.explain import check
from rnnlane.config.sources import SOURCES, source_class
from rnnlane.config.wording import KINDS, rule_of

MINIMAL = {"name": "x", "data": {"source": {"kind": "generated"}}}
NOT_OURS = re.compile(r"\binput\b|should|valid |instance|parse|pattern|constrained|permitted", re.I)


def values(path, value, source=None):
    """A minimal experiment with one value at a dotted path."""
    whole = {"name": "x", "data": {"source": dict(source or {"kind": "generated"})}}
    section = whole
    *outer, key = path.split(".")
    for part in outer:
        section = section.setdefault(part, {})
    section[key] = value
    return whole


PROVOKED = {
    "int_type": ("seed", None, "must be a whole number, but got null"),
    "int_parsing": ("seed", "x", "must be a whole number, but got 'x'"),
    "int_parsing_size": ("seed", "1" * 5000, "must be a whole number, but got '1111"),
    "int_from_float": ("seed", 1.5, "must be a whole number, but got 1.5"),
    "float_type": ("data.val", [], "must be a number, but got []"),
    "float_parsing": ("data.val", "x", "must be a number, but got 'x'"),
    "finite_number": ("training.weight_decay", float("inf"), "must be a finite number"),
    "string_type": ("name", 7, "must be text, but got 7"),
    "string_unicode": ("name", "\ud800", "must be text without halves of characters"),
    "bool_type": ("text.lowercase", [], "must be true or false, but got []"),
    "bool_parsing": ("text.lowercase", "x", "must be true or false, but got 'x'"),
    "tuple_type": ("data.classes", 3, "must be a list, but got 3"),
    "dict_type": ("tracking.tags", 3, "must be a mapping of keys, but got 3"),
    "model_type": ("model", "lstm", "must be a mapping of keys, but got 'lstm'"),
    "model_attributes_type": ("data.source", 3, "must be a mapping of keys, but got 3"),
    "invalid_key": ("model", {1: 2}, "must have text as its keys, but got"),
    "greater_than": ("data.val", 0, "must be greater than 0, but got 0"),
    "greater_than_equal": ("seed", -1, "must be greater than or equal to 0, but got -1"),
    "less_than": ("data.val", 1, "must be less than 1, but got 1"),
    "less_than_equal": ("data.max_unknown", 2, "must be less than or equal to 1, but got 2"),
    "literal_error": ("model.cell", "x", "must be 'rnn', 'lstm' or 'gru', but got 'x'"),
    "string_too_short": ("sample_text", "", "must have at least 1 character, but got ''"),
    "string_too_long": ("name", "x" * 81, "must have at most 80 characters, but got"),
    "too_short": ("data.classes", ["a"], "must have at least 2 items, but got ['a']"),
    "string_pattern_mismatch": ("name", "-x", "with a letter or a digit first, but got '-x'"),
    "extra_forbidden": ("modl", 1, "unknown key `modl`"),
    "missing": ("data", {}, "the key `source` is required"),
    "union_tag_invalid": ("data.source.kind", "\ud800", r"kind must be one of 'imdb'"),
    "union_tag_not_found": ("data.source", {}, "a source needs its `kind`"),
    "value_error": ("seed", True, "must be a number, but got true"),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_can_be_provoked_and_has_its_words(kind):
    path, value, message = PROVOKED[kind]
    wrong = values(path, value)
    with pytest.raises(ValidationError) as raised:
        ExperimentConfig.model_validate(wrong)
    assert kind in {each["type"] for each in raised.value.errors()}
    (problem,) = check(wrong)
    assert message in problem.message


def all_keys(model, prefix=""):
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        for inner in (field.annotation, *typing.get_args(field.annotation)):
            if hasattr(inner, "model_fields") and name != "source":
                yield from all_keys(inner, f"{prefix}{name}.")


ODD = [
    *(None, True, 0, -1, 1.5, 1e400, float("nan"), 10**30, "x", "", "yes", "\ud800", b"x"),
    *([], [1], ["a", "b", "c"], [[1]], {}, {"a": 1}, {1: 2}, "f(a, b)"),
    *({"choice": 1}, {"choice": []}, {"uniform": [1]}, {"uniform": ["a", "b"]}),
]
CASES = [
    *((key, None) for key in (*all_keys(ExperimentConfig), "search.space.seed", "tracking.tags.a")),
    *(
        (f"data.source.{key}", {"kind": kind, **({"path": "a"} if "path" in keys else {})})
        for kind in SOURCES
        for keys in [source_class(kind).model_fields]
        for key in keys
    ),
]


def test_no_value_of_any_key_is_answered_in_the_words_of_pydantic():
    for path, source in CASES:
        for value in ODD:
            found = check(values(path, value, source), thorough=True)
            for problem in found if isinstance(found, list) else []:
                rule = problem.message.partition(", but got")[0]
                assert not NOT_OURS.search(rule.replace("must be valid text", "")), (path, value)


def test_a_kind_of_a_later_pydantic_is_told_in_its_words():
    assert rule_of({"type": "new", "msg": "Input should be green"}) == "be green"
    assert rule_of({"type": "new", "msg": "No"}) == "be valid (No)"
