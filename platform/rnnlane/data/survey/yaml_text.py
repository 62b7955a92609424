"""The text of a drafted experiment: YAML with comments that say what it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rnnlane.config.schema import SCHEMA_LINE
from rnnlane.config.search import format_value
from rnnlane.records.draft import Finding

_INDENT = "  "
# None is longer than a line.
_COMMENTS = {
    "data.source.path": "relative to the working directory",
    "data.test": "share of all rows; val is a share of the rest",
    "data.rare_classes": "or merge:NAME, to make them one class",
    "data.max_dropped": "share of the rows without a text or a label",
    "text.max_length": "tokens; the rest of a longer text is cut",
    "training.early_stopping": "epochs without improvement",
    "training.class_weights": "a row of a rare class counts more",
    "training.metric": "accuracy would hardly see rare classes",
    "training.clip": "at the mean norm of unclipped gradients",
}
# Sections that are short enough for a line.
_IN_A_LINE = {"data.columns", "text.vocabulary", "training.clip"}
_UNSAFE = re.compile(r"[^\x20-\x7e\xa1-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def yaml_text(values: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """Writes nested values as an experiment file.

    Args:
        values: of the experiment.
        findings: named at the top.
    """
    head = [SCHEMA_LINE, "# Drafted by `rnnlane init`. What it found, and what decides otherwise:"]
    notes = [f"#   {_UNSAFE.sub('?', str(finding))}" for finding in findings]
    return "\n".join([*head, *notes, *_lines(values, ""), ""])


def _lines(values: Mapping[str, Any], path: str) -> Iterator[str]:
    indent = _INDENT * (path.count(".") + 1 if path else 0)
    for key, value in values.items():
        inner = f"{path}.{key}" if path else key
        comment = f"  # {_COMMENTS[inner]}" if inner in _COMMENTS else ""
        if isinstance(value, Mapping) and inner not in _IN_A_LINE:
            yield f"{indent}{key}:{comment}"
            yield from _lines(value, inner)
        else:
            yield f"{indent}{key}: {_in_a_line(value)}{comment}"


def _in_a_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_in_a_line(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_in_a_line, value)) + "]"
    return format_value(value)
