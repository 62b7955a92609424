"""What a value must be, in words for who writes YAML, by pydantic's kinds of error.

Every kind that the models of an experiment can raise has its words here; a test provokes each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

PATTERNS = {
    NAME_PATTERN: "be letters of a to z, digits, dots, dashes and underscores, "
    "with a letter or a digit first"
}

_PLAIN = {
    "int_type": "be a whole number",
    "int_parsing": "be a whole number",
    "int_parsing_size": "be a whole number",
    "int_from_float": "be a whole number",
    "float_type": "be a number",
    "float_parsing": "be a number",
    "finite_number": "be a finite number",
    "string_type": "be text",
    "string_unicode": "be text without halves of characters",
    "bool_type": "be true or false",
    "bool_parsing": "be true or false",
    "tuple_type": "be a list",
    "dict_type": "be a mapping of keys",
    "model_type": "be a mapping of keys",
    "model_attributes_type": "be a mapping of keys",
    "invalid_key": "have text as its keys",
}
_WITH_VALUE = {
    "greater_than": "be greater than {gt:.15g}",
    "greater_than_equal": "be greater than or equal to {ge:.15g}",
    "less_than": "be less than {lt:.15g}",
    "less_than_equal": "be less than or equal to {le:.15g}",
    "literal_error": "be {expected}",
    "string_too_short": "have at least {min_length} character{s}",
    "string_too_long": "have at most {max_length} character{s}",
    "too_short": "have at least {min_length} item{s}",
}
# Kinds that are told in other ways: by the message of our own rule, or by the key.
OTHERS = {"extra_forbidden", "missing", "union_tag_invalid", "union_tag_not_found", "value_error"}
KINDS = {*_PLAIN, *_WITH_VALUE, "string_pattern_mismatch", *OTHERS}


def rule_of(problem: Mapping[str, Any]) -> str:
    """What a value must be or have; begins with a verb."""
    kind, context = str(problem["type"]), problem.get("ctx", {})
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _WITH_VALUE:
        length = context.get("min_length", context.get("max_length"))
        return _WITH_VALUE[kind].format(**context, s="" if length == 1 else "s")
    if kind == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return PATTERNS[context["pattern"]]
    # A kind of a later version of pydantic: better its words than none.
    return str(problem["msg"]).partition(" should ")[2] or f"be valid ({problem['msg']})"


def choices_of(problem: Mapping[str, Any]) -> list[str]:
    """The texts that a literal allows."""
    expected = problem.get("ctx", {}).get("expected", "")
    return re.findall(r"'([^']*)'", expected) if problem["type"] == "literal_error" else []
