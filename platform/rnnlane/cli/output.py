"""Output of the command: results on stdout, everything else on stderr.

Texts, class names, paths and errors come from outside. They are shown as they are: no library reads
markup in them, and characters that would act on the terminal are shown as escapes. Only this module
and ``cli.progress`` use rich, whose defaults do neither.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rnnlane.cli import layout
from rnnlane.errors import MistakesError, RnnlaneError
from rnnlane.records import plain_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_stdout: TextIO | None = None

_PIPE_WIDTH = 200

one_line, lines = plain_text.one_line, plain_text.lines


def claim_stdout() -> None:
    """Keeps stdout for results: whatever libraries print there goes to stderr from now on."""
    global _stdout  # noqa: PLW0603
    sys.stdout.flush()
    _stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)


def write(text: str) -> None:
    """Writes text and a line break to stdout; on a terminal its lines break between words."""
    target = _stdout or sys.stdout
    write_piece(_broken(text, target) + "\n")


def write_piece(text: str) -> None:
    """Writes text to stdout unchanged, without a line break."""
    target = _stdout or sys.stdout
    target.write(text)
    target.flush()


def write_file(content: str) -> None:
    """Writes the content of a text file to stdout: unchanged, unless a person reads it there."""
    is_read = (_stdout or sys.stdout).isatty()
    write_piece(lines(content) if is_read else content)


def write_error_piece(text: str) -> None:
    """Writes text to stderr unchanged, without a line break."""
    sys.stderr.write(text)
    sys.stderr.flush()


def write_json(value: Mapping[str, Any]) -> None:
    """Writes one JSON object on a line of its own; numbers that JSON lacks become null."""
    text = json.dumps(plain_text.finite(value), ensure_ascii=False, allow_nan=False)
    write_piece(plain_text.ACTIVE.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n")


def write_table(
    rows: Sequence[Sequence[str]],
    *,
    header: Sequence[str] = (),
    title: str | None = None,
    droppable: Sequence[str] = (),
) -> None:
    """Writes a table to stdout as :func:`table_of` lays it out, 200 columns wide in a pipe."""
    target = _stdout or sys.stdout
    _print_table(target, rows, header=header, title=title, droppable=droppable)


def note_table(rows: Sequence[Sequence[str]]) -> None:
    """Writes a table without a header to stderr; nothing without rows."""
    if rows:
        _print_table(sys.stderr, rows)


def _print_table(target: TextIO, rows: Sequence[Sequence[str]], **options: Any) -> None:
    table = table_of(rows, width=_table_width(target), is_limit=target.isatty(), **options)
    console(target).print(table, soft_wrap=True)
    target.flush()


def fits(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), width: int | None = None
) -> bool:
    """Whether a table shows these rows without breaking a cell into lines.

    Args:
        rows: of equally many cells.
        header: names of the columns.
        width: of the terminal; default: what :func:`write_table` has.
    """
    cells = [[one_line(cell) for cell in row] for row in [*([header] if header else []), *rows]]
    return layout.natural_width(cells) <= (width or _table_width(_stdout or sys.stdout))


def _table_width(target: TextIO) -> int:
    return width_of(target) if target.isatty() else _PIPE_WIDTH


def table_of(
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    header: Sequence[str] = (),
    title: str | None = None,
    droppable: Sequence[str] = (),
    bold: int | None = None,
    is_limit: bool = True,
) -> RenderableType:
    """A table, for :func:`console`. No word is broken, and a command can be copied.

    A cell that is too wide continues on the next line. Where that does not suffice, columns are
    left out and named below the table, and then each row becomes a table of its own, a cell a line.

    Args:
        rows: of equally many cells.
        width: columns of the terminal.
        header: names of the columns; none: no header line.
        title: a line above the table.
        droppable: columns that may be left out, the first one first.
        bold: the row to emphasize.
        is_limit: whether the table may be no wider, so that columns are left out.
    """
    from rich.console import Group
    from rich.text import Text

    cells = [[one_line(cell) for cell in row] for row in rows]
    laid_out = layout.table(
        cells,
        width=width,
        header=[one_line(name) for name in header],
        droppable=droppable if is_limit else (),
        stacks=is_limit,
    )
    above = layout.wrapped(one_line(title), width) if title is not None else []
    texts = [Text(line) for line in [*above, ""]]
    texts += [Text(line, style="bold" if header else "") for line in laid_out.head]
    for number, lines_of_row in enumerate(laid_out.rows):
        style = "bold" if number == bold else ""
        texts += [Text(line, style=style) for line in lines_of_row]
    texts += [Text(line) for line in ["", *laid_out.foot]]
    return Group(*texts)


def console(target: TextIO, *, width: int | None = None) -> Console:
    """A rich console that prints text as it is."""
    from rich.console import Console

    return Console(file=target, width=width, markup=False, emoji=False, highlight=False)


def write_error(error: RnnlaneError, *, as_json: bool) -> None:
    """Writes an error: a line for each mistake on stderr, or one JSON object on stdout."""
    if as_json:
        write_json({"error": error.as_dict()})
        return
    if isinstance(error, MistakesError):
        for each in error.errors:
            write_error(each, as_json=False)
        note(f"error: {len(error.errors)} mistakes")
        return
    line = f"error: {error.where}: {error.message}" if error.where else f"error: {error.message}"
    if error.remedy:
        line += f" -- {error.remedy}"
    sys.stderr.write(_broken(one_line(" ".join(line.split())), sys.stderr) + "\n")


def note(text: str) -> None:
    """Writes a message and a line break to stderr; on a terminal its lines break between words."""
    write_error_piece(_broken(text, sys.stderr) + "\n")


def _broken(text: str, target: TextIO) -> str:
    return broken(text, width=width_of(target)) if target.isatty() else lines(text)


def broken(text: str, *, width: int) -> str:
    """Text from outside, with line breaks where a terminal would break words."""
    return "\n".join(
        line
        for long in lines(text).split("\n")
        for line in layout.wrapped(long, width, indent="  ")
    )


def width_of(target: TextIO) -> int:
    """Columns of a terminal: COLUMNS, as rich reads it, or what it says itself; else 80."""
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    try:
        return os.get_terminal_size(target.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
