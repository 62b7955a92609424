"""One raw row, as every source yields it, and the normalization of its values."""

from __future__ import annotations

from typing import NamedTuple

from rnnlane.errors import DataError


class RawRow(NamedTuple):
    """One row of a source. ``text`` is UTF-8, not checked yet; None stands for a NULL."""

    text: bytes | None
    label: str | None
    id: str | None = None
    official_test: bool = False


def class_name_of(value: object, *, where: str) -> str | None:
    """The class that a label stands for; whole numbers of any type are equal (1, 1.0 -> "1").

    Returns:
        None for a NULL, a NaN or an empty text.

    Raises:
        DataError: the value is neither text, nor a truth value, nor a whole number.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or value != value:  # noqa: PLR0124 - true only of NaN
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise DataError(
        f"a label must be text, true or false, or a whole number, but got {_shown(value)}",
        where=where,
        remedy="name the right column in data.columns.label",
    )


def id_of(value: object) -> str | None:
    """A row id as text; None for a NULL."""
    return None if value is None or value != value else str(value)  # noqa: PLR0124


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
