"""Texts and numbers from outside, without what would act on those who read them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# What a terminal obeys or a reader takes for a line end: control characters, Unicode's line and
# paragraph separators and its marks of direction; and surrogates, which cannot be written.
ACTIVE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Beside them, what lines and columns are made of.
_ACTIVE_BUT_LINES = re.compile(rf"(?![\n\t]){ACTIVE.pattern}")


def one_line(text: str) -> str:
    """Text from outside as a part of a line: what would act on a terminal becomes an escape."""
    return ACTIVE.sub(_escape, text)


def lines(text: str) -> str:
    """Text from outside that may have several lines, and tabs; else as :func:`one_line`."""
    return _ACTIVE_BUT_LINES.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, in an argument or a path
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def finite(value: Any) -> Any:
    """A value for JSON: numbers that it lacks, which are NaN and the infinities, are None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
