"""Where lines break: text and tables for terminals of any width, without breaking a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

_INDENT = "  "
_GAP, _NARROW_GAP = "   ", "  "
# Words parted by single blanks, and the wider space after them.
_PHRASE = re.compile(r"(\S+(?:\s\S+)*)(\s*)")
_COMMAND = ("rnnlane ", "mlflow ")
# A word of a command may be quoted.
_COMMAND_WORD = re.compile(r"(?:\"[^\"]*\"|'[^']*'|\S)+")


@dataclass(frozen=True)
class Table:
    """The lines of a table.

    Attributes:
        head: the names of the columns and a rule; empty without names.
        rows: the lines of each row.
        foot: which columns are not shown.
    """

    head: list[str]
    rows: list[list[str]]
    foot: list[str]


def table(
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    header: Sequence[str] = (),
    droppable: Sequence[str] = (),
    stacks: bool = True,
) -> Table:
    """Lays out a table; see :func:`rnnlane.cli.output.table_of`.

    Args:
        rows: of equally many cells, each without a line break.
        width: of the terminal. A word that is wider is not broken: its line is wider.
        header: names of the columns.
        droppable: names of columns that may be left out, the first one first.
        stacks: whether a table that is still too wide becomes one for each row.
    """
    lines = [*([header] if header else []), *rows]
    least = [max(map(_longest_word, column)) for column in zip(*lines, strict=True)]
    shown, dropped = _shown(least, header, droppable, width=width)
    room = width - sum(least[column] for column in shown) - len(_INDENT)
    num_gaps = max(0, len(shown) - 1)
    if header and stacks and room < num_gaps * len(_NARROW_GAP):
        stacked = [_stacked(header, row, width=width) for row in rows]
        return Table([], [*([*lines, ""] for lines in stacked[:-1]), *stacked[-1:]], [])
    gap = _GAP if room >= num_gaps * len(_GAP) else _NARROW_GAP
    cells = [[line[column] for column in shown] for line in lines]
    widths = _widths(cells, room=width - len(_INDENT) - num_gaps * len(gap))
    shown_rows = [_row_lines(row, widths, gap=gap) for row in cells]
    rule = _INDENT + "\u2500" * (sum(widths) + num_gaps * len(gap))
    foot = f"not shown for lack of room, but in --json: {', '.join(dropped)}"
    return Table(
        [*shown_rows.pop(0), rule] if header else [],
        shown_rows,
        [*wrapped(foot, width), ""] if dropped else [],
    )


def natural_width(rows: Sequence[Sequence[str]]) -> int:
    """The width of a table in which each row, with a header among them, is one line."""
    widths = [max(map(_cells, column)) for column in zip(*rows, strict=True)]
    return len(_INDENT) + sum(widths) + max(0, len(widths) - 1) * len(_GAP)


def wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    """Text in lines of at most ``width`` columns, unless a word is wider or it has columns by tab.

    Words between which there are two blanks or more are parted sooner than others. A command that
    needs several lines can be copied: its lines end in a backslash.

    Args:
        text: one line.
        width: of all lines, with the indent.
        indent: at the beginning of all lines but the first.
    """
    if _cells(text) <= width or "\t" in text:
        return [text.rstrip()]
    end = " \\" if text.startswith(_COMMAND) else ""
    lines, line = [], text[: len(text) - len(text.lstrip())]
    is_empty = True
    for part, gap in _parts(text.strip(), width - len(indent) - len(end)):
        if not is_empty and _cells(line) + _cells(part) + len(end) > width:
            lines.append(line.rstrip() + end)
            line = indent
        line += part + gap
        is_empty = False
    return [*lines, line.rstrip()]


def _parts(text: str, width: int) -> Iterator[tuple[str, str]]:
    """What stays on one line, and the space after it: phrases that fit, else words."""
    if text.startswith(_COMMAND):
        yield from ((word, " ") for word in _words(text))
        return
    for phrase, gap in _PHRASE.findall(text):
        if _cells(phrase) <= width:
            yield phrase, gap
        else:
            *words, last = _words(phrase)
            yield from ((word, " ") for word in words)
            yield last, gap


def _shown(
    least: Sequence[int], header: Sequence[str], droppable: Sequence[str], *, width: int
) -> tuple[list[int], list[str]]:
    """The columns for which there is room, and the names of the others."""
    shown, dropped = list(range(len(least))), []
    for name in droppable:
        gaps = len(_NARROW_GAP) * (len(shown) - 1)
        if len(_INDENT) + sum(least[column] for column in shown) + gaps <= width:
            break
        if name in header:
            shown.remove(header.index(name))
            dropped.append(name)
    return shown, dropped


def _stacked(header: Sequence[str], row: Sequence[str], *, width: int) -> list[str]:
    """A row as lines of a name and a cell."""
    pairs = list(zip(header, row, strict=True))
    widths = _widths(pairs, room=width - len(_INDENT) - len(_GAP))
    return [line for pair in pairs for line in _row_lines(pair, widths, gap=_GAP)]


def _row_lines(row: Sequence[str], widths: Sequence[int], *, gap: str) -> list[str]:
    """The lines of one row of a table."""
    columns = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for parts in zip_longest(*columns, fillvalue=""):
        cells = [
            part + " " * max(0, width - _cells(part))
            for part, width in zip(parts, widths, strict=True)
        ]
        lines.append((_INDENT + gap.join(cells)).rstrip())
    return lines


def _widths(rows: Sequence[Sequence[str]], *, room: int) -> list[int]:
    """Widths of the columns: the widest give way until all fit, or until words would break.

    Then the last one, whose words may stick out.
    """
    columns = list(zip(*rows, strict=True))
    least = [max(map(_longest_word, column)) for column in columns]
    widths = [max(map(_cells, column)) for column in columns]
    while sum(widths) > room:
        wide = [number for number, width in enumerate(widths) if width > least[number]]
        if not wide:
            widths[-1] = max(1, room - sum(widths[:-1]))
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _longest_word(text: str) -> int:
    end = 2 if text.startswith(_COMMAND) else 0
    return max((_cells(word) + end for word in _words(text)), default=0)


def _words(text: str) -> list[str]:
    return _COMMAND_WORD.findall(text) if text.startswith(_COMMAND) else text.split()


def _cells(text: str) -> int:
    """The width of a text: some characters take two columns, some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
