"""Output of the command: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rnnlane.errors import RnnlaneError

_stdout: TextIO | None = None


def claim_stdout() -> None:
    """Keeps stdout for results: whatever libraries print there goes to stderr from now on."""
    global _stdout  # noqa: PLW0603
    sys.stdout.flush()
    _stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def write(text: str) -> None:
    """Writes text and a line break to stdout."""
    target = _stdout or sys.stdout
    target.write(text + "\n")
    target.flush()


def write_piece(text: str) -> None:
    """Writes text to stdout unchanged, without a line break."""
    target = _stdout or sys.stdout
    target.write(text)
    target.flush()


def write_error_piece(text: str) -> None:
    """Writes text to stderr unchanged, without a line break."""
    sys.stderr.write(text)
    sys.stderr.flush()


def write_json(value: Mapping[str, Any]) -> None:
    """Writes one JSON object on a line of its own; numbers that JSON lacks become null."""
    write(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False))


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
    from rich import box
    from rich.console import Console
    from rich.table import Table

    target = _stdout or sys.stdout
    console = Console(file=target, width=None if target.isatty() else 200, highlight=False)
    table = Table(title=title, title_justify="left", show_header=bool(header), box=box.SIMPLE)
    for name in header or [""] * (len(rows[0]) if rows else 0):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_escaped(cell) for cell in row))
    console.print(table)
    target.flush()


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def write_error(error: RnnlaneError, *, as_json: bool) -> None:
    """Writes an error: one line on stderr, or one JSON object on stdout."""
    if as_json:
        write_json({"error": error.as_dict()})
        return
    line = f"error: {error.where}: {error.message}" if error.where else f"error: {error.message}"
    if error.remedy:
        line += f" -- {error.remedy}"
    sys.stderr.write(" ".join(line.split()) + "\n")


def note(text: str) -> None:
    """Writes a message and a line break to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
