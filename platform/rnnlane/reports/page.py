"""The pages that reports are: one style and one set of parts, in a file that needs no other."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnlane.records.plain_text import lines


def render_page(
    template: str,
    *,
    kind: str,
    name: str,
    facts: Mapping[str, str],
    pictures: Sequence[Path],
    **values: Any,
) -> str:
    """One HTML page that needs no other file, no script and no network; every value is escaped.

    Args:
        template: a file of this folder that extends ``page.html.j2``.
        kind: what the page is about, such as ``Hyperparameter search``.
        name: its heading.
        facts: the figures at the top, by what they are.
        pictures: PNG files, embedded where the template wants them by their stem.
        **values: what the template needs beside them.
    """
    # It takes a tenth of a second to import, which the start of a command should not wait for.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        # Texts and names from outside; what templates make is a Markup.
        finalize=lambda value: lines(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    encoded = {path.stem: base64.b64encode(path.read_bytes()).decode() for path in pictures}
    page = environment.get_template(template)
    return page.render(kind=kind, name=name, facts=facts, pictures=encoded, **values)


def duration(seconds: float) -> str:
    """Seconds, minutes, or hours and minutes: 75 s, 12 min, 3 h 5 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def counted(count: int, noun: str) -> str:
    """1 row, 2,000 rows."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
