"""One raw row, as every source yields it, and the normalization of its values."""

from __future__ import annotations

from typing import NamedTuple

from rnnlane.config.class_names import normal_form
from rnnlane.errors import DataError

_NAMED = {"label": "a label", "id": "an id", "group": "a group"}


class RawRow(NamedTuple):
    """One row of a source. ``text`` is UTF-8, not checked yet; None stands for a NULL.

    Rows of one ``group`` are dealt to one split; a row without one stands alone.
    """

    text: bytes | None
    label: str | None
    id: str | None = None
    official_test: bool = False
    group: str | None = None


def class_name_of(value: object, *, where: str) -> str | None:
    """The class that a label stands for, in the normal form of class names.

    Returns:
        None for a NULL, a NaN or an empty text.

    Raises:
        DataError: the value is no label, or not valid text.
    """
    try:
        return normal_form(value)
    except ValueError as error:
        raise _refused(value, "label", error, where=where) from None


def id_of(value: object, *, where: str) -> str | None:
    """A row id, in the normal form of class names; None for a NULL.

    Raises:
        DataError: it is not valid text.
    """
    return _name_of(value, "id", where=where)


def group_of(value: object, *, where: str) -> str | None:
    """The group of a row, in the normal form of class names; None for a NULL or an empty text.

    Raises:
        DataError: it is not valid text.
    """
    return _name_of(value, "group", where=where)


def _name_of(value: object, role: str, *, where: str) -> str | None:
    try:
        return normal_form(value, cached=False)
    except ValueError as error:
        if isinstance(value, str | bytes):
            raise _refused(value, role, error, where=where) from None
        return str(value)  # such as a date


def _refused(value: object, role: str, error: ValueError, *, where: str) -> DataError:
    is_damaged = isinstance(value, str | bytes)
    remedy = "correct the row; if many are like it, set data.source.encoding"
    if not is_damaged:
        remedy = f"name the right column in data.columns.{role}"
    return DataError(f"{_NAMED[role]} {error}", where=where, remedy=remedy)
