"""Output of the command: results on stdout, everything else on stderr.

Texts, class names, paths and errors come from outside. They are shown as they are: no library reads
markup in them, and characters that would act on the terminal are shown as escapes. Only this module
and ``cli.progress`` use rich, whose defaults do neither.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rnnlane.errors import RnnlaneError
from rnnlane.records import plain_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_stdout: TextIO | None = None
one_line, lines = plain_text.one_line, plain_text.lines


def claim_stdout() -> None:
    """Keeps stdout for results: whatever libraries print there goes to stderr from now on."""
    global _stdout  # noqa: PLW0603
    sys.stdout.flush()
    _stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)


def write(text: str) -> None:
    """Writes text and a line break to stdout."""
    write_piece(lines(text) + "\n")


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
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    write_piece(plain_text.ACTIVE.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def write_table(
    rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), title: str | None = None
) -> None:
    """Writes a table to stdout, up to 200 columns wide if stdout is not a terminal."""
    target = _stdout or sys.stdout
    _console_of_tables(target).print(table_of(rows, header=header, title=title))
    target.flush()


def fits(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> bool:
    """Whether :func:`write_table` would show these rows without breaking a cell into lines."""
    target = _stdout or sys.stdout
    unlimited = console(target, width=1_000_000)  # a measure is never wider than its console
    wanted = unlimited.measure(table_of(rows, header=header)).maximum
    return wanted <= _console_of_tables(target).width


def _console_of_tables(target: TextIO) -> Console:
    return console(target, width=None if target.isatty() else 200)


def table_of(
    rows: Sequence[Sequence[str]],
    *,
    header: Sequence[str] = (),
    title: str | None = None,
    bold: int | None = None,
    num_unwrapped: int = 0,
) -> RenderableType:
    """A table, for :func:`console`.

    Args:
        rows: of equally many cells.
        header: names of the columns; none: no header line.
        title: a line above the table, which may be wider than the table.
        bold: the row to emphasize.
        num_unwrapped: columns, from the left, whose cells keep to one line.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def shown(text: str) -> Text:
        return Text(one_line(text))

    table = Table(show_header=bool(header), box=box.SIMPLE)
    for number, name in enumerate(header or [""] * (len(rows[0]) if rows else 0)):
        table.add_column(shown(name), overflow="fold", no_wrap=number < num_unwrapped)
    for number, row in enumerate(rows):
        table.add_row(*map(shown, row), style="bold" if number == bold else None)
    # Not as the table's own title, which wraps where the table ends.
    return table if title is None else Group(shown(title), table)


def console(target: TextIO, *, width: int | None = None) -> Console:
    """A rich console that prints text as it is."""
    from rich.console import Console

    return Console(file=target, width=width, markup=False, emoji=False, highlight=False)


def write_error(error: RnnlaneError, *, as_json: bool) -> None:
    """Writes an error: one line on stderr, or one JSON object on stdout."""
    if as_json:
        write_json({"error": error.as_dict()})
        return
    line = f"error: {error.where}: {error.message}" if error.where else f"error: {error.message}"
    if error.remedy:
        line += f" -- {error.remedy}"
    sys.stderr.write(one_line(" ".join(line.split())) + "\n")


def note(text: str) -> None:
    """Writes a message and a line break to stderr."""
    write_error_piece(lines(text) + "\n")
