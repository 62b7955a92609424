"""Finds the rows of a csv file that a stray quote has swallowed."""

from __future__ import annotations

from collections.abc import Sequence

from rnnlane.errors import DataError

_MAX_LABELS, _MAX_SUSPECTS, _MAX_LINES = 10_000, 100, 1000


class SwallowedRows:
    """Watches the records of a csv file for quoted fields that hold whole rows.

    A text may hold line ends, so that alone is no mistake. But in ``ham<tab>"Pete said ...``, where
    the quote is only a character, the field goes on to the next quote, rows later: each of its
    lines alone has a row's number of fields, and in the right place a label that other rows have.

    Args:
        delimiter: of the fields.
        width: fields of a row.
        label: position of the label among them.
    """

    def __init__(self, delimiter: str, width: int, *, label: int):
        self._delimiter = delimiter
        self._width = width
        self._label = label
        self._labels: set[str] = set()
        self._suspects: list[tuple[int, list[str | None]]] = []

    def see(self, fields: Sequence[str | None], *, line: int, num_lines: int) -> None:
        """Takes in a record that begins at a line and consists of some lines."""
        if num_lines == 1:
            label = fields[self._label]
            if label and len(self._labels) < _MAX_LABELS:
                self._labels.add(label.strip())
            return
        if len(self._suspects) < _MAX_SUSPECTS:
            text = self._delimiter.join(field or "" for field in fields)
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n", _MAX_LINES)
            self._suspects.append((line, [self._label_of(each) for each in lines[:_MAX_LINES]]))

    def check(self, *, where: str, remedy: str) -> None:
        """Judges the records that were seen.

        Raises:
            DataError: most of the records of several lines are several rows; names the first.
        """
        found = [(line, labels) for line, labels in self._suspects if self._are_rows(labels)]
        if found and 2 * len(found) >= len(self._suspects):
            line, labels = found[0]
            raise DataError(
                f"a row must not hold others, but a quote that opens here makes one row of "
                f"{len(labels)} lines that look like rows",
                where=f"{where}:{line}",
                remedy=remedy,
            )

    def _label_of(self, line: str) -> str | None:
        """The label of a line if it were a row; None if it cannot be one."""
        fields = line.split(self._delimiter)
        return fields[self._label].strip(' "') if len(fields) == self._width else None

    def _are_rows(self, labels: Sequence[str | None]) -> bool:
        """Whether at least two in three lines are like rows."""
        # Few texts hold a tab or a pipe: there the number of fields says enough.
        known = None if self._delimiter in "\t|" else self._labels
        likely = [label for label in labels if label and (known is None or label in known)]
        return 3 * len(likely) >= 2 * len(labels)
