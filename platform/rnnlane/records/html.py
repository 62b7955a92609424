"""Small pieces of HTML for notebooks: no script, no style sheet, nothing from the network.

Whatever comes from outside is shown as it is, never read as markup. Colors are left to the page,
which may be dark.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from rnnlane.records.plain_text import lines, one_line

_CELL = "text-align:left;padding:0.1em 0.8em 0.1em 0;vertical-align:top"


def text(value: object) -> str:
    """A value as a part of a line."""
    return html.escape(one_line(str(value)))


def table(rows: Sequence[Sequence[object]], *, header: Sequence[object] = ()) -> str:
    """A table of rows of equally many cells; "" without rows."""
    if not rows:
        return ""
    head = "".join(f'<th style="{_CELL}">{text(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<table style="font-variant-numeric:tabular-nums">'
        f"{f'<tr>{head}</tr>' if header else ''}{body}</table>"
    )


def paragraphs(sentences: Sequence[str]) -> str:
    """A line for each sentence; "" for none."""
    shown = "<br>".join(html.escape(lines(sentence)) for sentence in sentences)
    return f'<div style="opacity:0.75;white-space:pre-wrap">{shown}</div>' if shown else ""


def link(address: str | None, shown: str) -> str:
    """A link to a page; "" where there is none, or no address of the web."""
    if address is None or not address.startswith(("http://", "https://")):
        return ""
    target = html.escape(one_line(address), quote=True)
    return f'<div><a href="{target}" target="_blank" rel="noopener">{text(shown)}</a></div>'


def card(title: str, *parts: str) -> str:
    """A title above some pieces of HTML."""
    shown = "".join(part for part in parts if part)
    return f'<div style="overflow-x:auto"><div><strong>{text(title)}</strong></div>{shown}</div>'


def _cell(value: object) -> str:
    return f'<td style="{_CELL}">{text(value)}</td>'
