"""The figure that all pictures are drawn on: one style, wherever and whenever it is drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from matplotlib import rc_context
from matplotlib.figure import Figure

from rnnlane.reports.lettering import fonts_for

DPI = 120
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.size": 9.5,
    "grid.alpha": 0.25,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.8,
    # A review or a class name may hold dollar signs.
    "text.parse_math": False,
    "text.usetex": False,
}


class ShownFigure(Figure):
    """A figure that keeps its style, and that a notebook shows without pyplot."""

    def __init__(self, *, width: float, height: float, texts: Iterable[str] = ()) -> None:
        """Makes an empty figure.

        Args:
            width: in inches.
            height: in inches.
            texts: what will stand in it and comes from outside: fonts are chosen for it.
        """
        self._look = {**STYLE, "font.family": fonts_for(texts)}
        with rc_context(self._look):
            super().__init__(figsize=(width, height))

    @contextmanager
    def in_style(self) -> Iterator[None]:
        """What is drawn in the block gets this figure's style, whatever pyplot's is."""
        with rc_context(self._look), warnings.catch_warnings():
            # Characters that no font has are drawn as boxes; users need no warning of that.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield

    def draw(self, renderer: Any) -> None:
        """Draws it, as whoever saves or shows it asks: ticks are made only now."""
        with self.in_style():
            super().draw(renderer)

    def write_png(self, target: Path | BinaryIO) -> None:
        """Writes it as all pictures are written."""
        self.savefig(target, dpi=DPI, format="png", bbox_inches="tight", pad_inches=0.12)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.write_png(content)
        return content.getvalue()
