"""How the fields of a csv file are delimited and quoted, and whether its first line names them.

A layout is found by reading with each: the one that gives every row the same number of fields is
it. (``csv.Sniffer`` looks at single characters and takes a letter that texts have in common.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rnnlane.data.sources.csv import CsvSource
from rnnlane.data.sources.files import SourceFile
from rnnlane.data.survey.columns import LABEL_WORDS, TEXT_WORDS, Column
from rnnlane.errors import DataError

# Those first that texts hold most rarely.
DELIMITERS = {"\t": "tab", "|": "pipe", ";": "semicolon", ",": "comma"}

_ROWS = 1000
_MAX_SHORT = 0.1  # share of rows that may have fewer fields than the first
_NAME_CHARS, _NAME_WORDS = 60, 6
_VALUE = re.compile(r"[-+]?[\d.,:/ -]*\d[\d.,:/ -]*|true|false", re.IGNORECASE)
# First lines of formats that are nearly csv.
_NO_COLUMNS = {
    "sep=": ("'sep=...' is a note for Excel", "remove the line"),
    r"__label__\S+ ": (
        "it is fastText's, whose label ends at a blank",
        "put a tab behind each label: sed 's/ /\\t/' OLD > NEW",
    ),
}


@dataclass(frozen=True)
class Layout:
    """The settings of a csv source.

    Attributes:
        delimiter: between fields.
        quoting: ``standard`` or ``none``.
        header: whether the first line has the names of the columns.
        is_header_sure: whether that shows; else it is an assumption.
        others: delimiters that divide the rows just as well.
    """

    delimiter: str
    quoting: str
    header: bool = True
    is_header_sure: bool = True
    others: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """As ``data.source`` takes them."""
        return {"delimiter": self.delimiter, "quoting": self.quoting, "header": self.header}


@dataclass(frozen=True)
class _Attempt:
    layout: Layout
    rows: Sequence[Mapping[str, Any]]
    error: DataError | None

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0

    @property
    def share_short(self) -> float:
        """Share of the rows whose last field is missing."""
        last = str(self.width)
        return sum(row[last] is None for row in self.rows) / max(1, len(self.rows))

    @property
    def fits(self) -> bool:
        return self.error is None and self.width > 1 and self.share_short <= _MAX_SHORT


def layouts_of(
    file: SourceFile, *, encoding: str, delimiter: str | None = None, header: bool | None = None
) -> list[Layout]:
    """The layouts that a file may have, the likeliest first.

    Args:
        file: to look at.
        encoding: of a file without a byte order mark.
        delimiter: if a person named it.
        header: if a person said whether there is one.

    Raises:
        DataError: it has no columns, or its rows fit none.
    """
    tried = DELIMITERS if delimiter is None else {delimiter: delimiter}
    attempts = [
        _attempt(file, Layout(each, quoting), encoding=encoding)
        for quoting in ("standard", "none")
        for each in tried
    ]
    _check_first_line(attempts, where=str(file.path))
    fitting = sorted((a for a in attempts if a.fits), key=lambda a: round(a.share_short, 1))
    if not fitting:
        raise _no_layout(attempts, where=str(file.path))
    return [_complete(attempt, fitting, header=header) for attempt in fitting]


def _attempt(file: SourceFile, layout: Layout, *, encoding: str) -> _Attempt:
    settings = {**layout.settings(), "header": False, "encoding": encoding}
    source = CsvSource(kind="csv", path=str(file.path), **settings)
    rows: list[Mapping[str, Any]] = []
    try:
        for row in islice(source.read_records(file), _ROWS):
            rows.append(row)  # those before an error count too
    except DataError as error:
        return _Attempt(layout, rows, error)
    return _Attempt(layout, rows, None)


def _check_first_line(attempts: Sequence[_Attempt], *, where: str) -> None:
    """Refuses a first line that tells of another format.

    Raises:
        DataError: names the format.
    """
    first = next((str(attempt.rows[0]["1"]) for attempt in attempts if attempt.rows), "")
    for beginning, (what, remedy) in _NO_COLUMNS.items():
        if re.match(beginning, first):
            raise DataError(
                f"the first line must name the columns or be a row, but {what}",
                where=f"{where}:1",
                remedy=remedy,
            )


def _no_layout(attempts: Sequence[_Attempt], *, where: str) -> DataError:
    """Why no layout fits: of the attempts that found columns, the one that came furthest."""
    columns = [attempt for attempt in attempts if attempt.width > 1]
    if columns:
        furthest = max(columns, key=lambda attempt: len(attempt.rows))
        if furthest.error is not None:
            return furthest.error
    errors = [attempt.error for attempt in attempts if attempt.error and not attempt.width]
    if errors:
        return errors[0]
    return DataError(
        "a file must have a column of texts and one of labels, but no comma, tab, semicolon or "
        "pipe divides its lines into columns",
        where=where,
        remedy="add the labels; or name another delimiter by --delimiter",
    )


def _complete(attempt: _Attempt, fitting: Sequence[_Attempt], *, header: bool | None) -> Layout:
    own = attempt.layout
    others = tuple(
        other.layout.delimiter
        for other in fitting
        if other.layout.quoting == own.quoting and other.layout.delimiter != own.delimiter
    )
    has_header, is_sure = _has_header(attempt.rows) if header is None else (header, True)
    return Layout(own.delimiter, own.quoting, has_header, is_sure, others)


def _has_header(rows: Sequence[Mapping[str, Any]]) -> tuple[bool, bool]:
    """Whether the first row names the columns, and whether that is sure."""
    first, rest = rows[0], rows[1:]
    names = {key: str(value or "").strip() for key, value in first.items()}
    columns = {key: Column.of(names[key], [row[key] for row in rest]) for key in first}
    given = [name for name in names.values() if name]
    if len(given) < len(names) - 1 or any(
        _VALUE.fullmatch(name) or len(name) > _NAME_CHARS or len(name.split()) > _NAME_WORDS
        for name in given
    ):
        return False, True
    if any(names[key] in column.values for key, column in columns.items() if names[key]):
        return False, True
    is_known = any(c.rank(LABEL_WORDS) or c.rank(TEXT_WORDS) for c in columns.values())
    is_other = any(
        column.values
        and (column.mostly(_VALUE) or column.mean_words >= 2 * len(names[key].split()) + 1)
        for key, column in columns.items()
    )
    return True, is_known or is_other
