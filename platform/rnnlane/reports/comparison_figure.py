"""The picture of a comparison: differences of accuracy, and how far the answers moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rnnlane.inference.paired import shared_rows
from rnnlane.records.predictions import Predictions
from rnnlane.records.results import Comparison, p_value_text
from rnnlane.reports.figures import BLUE, GRAY, GREEN, ORANGE, PALE, VERMILION, picture
from rnnlane.reports.lettering import short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"better": GREEN, "worse": VERMILION, "no difference shown": GRAY}
_LINES = (BLUE, ORANGE, GREEN, VERMILION, GRAY)
_NUM_BINS = 40


def save_comparison(comparison: Comparison, predictions: Sequence[Predictions], path: Path) -> None:
    """Draws each run but the first against the first.

    On the left the difference of accuracy and its interval, on the right how many rows moved how
    far in the probability of their true class; of at most five runs.

    Args:
        comparison: of M runs.
        predictions: of the M runs.
        path: the PNG file.

    Raises:
        OSError: the file cannot be written.
    """
    short = short_names([run["name"] for run in comparison.runs], max_chars=24)
    ids = [run["run_id"][:6] for run in comparison.runs]
    names = [f"{name} ({run_id})" for name, run_id in zip(short, ids, strict=True)]
    num_others = len(comparison.tests)
    with picture(path, width=11, height=3.4 + 0.35 * num_others, texts=names) as figure:
        left, right = figure.subplots(1, 2)
        _draw_differences(left, comparison, names)
        _draw_moves(right, predictions, names)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        left.set_title(f"Accuracy on {comparison.split}, against {names[0]}")
        right.set_title("How far the answers moved")


def _draw_differences(axes: Axes, comparison: Comparison, names: Sequence[str]) -> None:
    axes.axvline(0.0, color=PALE, linewidth=1.2)
    for row, test in enumerate(comparison.tests):
        middle, low, high = (100 * test[key] for key in ("difference", "low", "high"))
        color = _COLORS[test["verdict"]]
        axes.plot([low, high], [row, row], color=color, linewidth=2.2, solid_capstyle="butt")
        axes.plot([middle], [row], marker="o", color=color)
        axes.annotate(
            f"{middle:+.2f}, p {p_value_text(test['p_value'])}",
            (middle, row),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            color=color,
        )
    axes.margins(x=0.25)
    axes.set_yticks(range(len(names) - 1), names[1:])
    axes.set_ylim(len(names) - 1.3, -0.7)
    axes.set_xlabel("percentage points, with the 95% interval")
    axes.grid(visible=False, axis="y")


def _draw_moves(axes: Axes, predictions: Sequence[Predictions], names: Sequence[str]) -> None:
    first, *others = predictions
    bins = np.linspace(-1.0, 1.0, _NUM_BINS + 1)
    for other, name, color in zip(others, names[1:], _LINES, strict=False):
        ours, theirs = shared_rows(first, other)
        moved = np.nan_to_num(other.of_truth[theirs] - first.of_truth[ours])
        counts, _ = np.histogram(moved, bins=bins)
        axes.stairs(counts, bins, color=color, linewidth=1.6, label=name)
    axes.axvline(0.0, color=PALE, linewidth=1.2)
    # Most rows hardly move; on a linear axis the others could not be seen.
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlim=(-1, 1), ylabel="rows")
    axes.set_xlabel(f"probability of the true class, minus that of {names[0]}")
    axes.set_ylim(bottom=0)
