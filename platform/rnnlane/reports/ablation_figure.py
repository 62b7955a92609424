"""The picture of an ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnlane.records.ablation import LEVEL
from rnnlane.records.search import SearchRecord
from rnnlane.reports.figures import GRAY, GREEN, PALE, VERMILION, picture

_COLORS = {"better": GREEN, "worse": VERMILION, "no difference seen": GRAY}


def save_ablation(search: SearchRecord, path: Path) -> bool:
    """Draws each setting's difference from the winner: a dot for each seed, mean and interval."""
    ablation = search.ablation
    if ablation is None:
        return False
    drawn = [
        (setting, difference)
        for setting in ablation.settings
        if (difference := ablation.difference(setting)) is not None
    ]
    if not drawn:
        return False
    with picture(path, width=8.5, height=1.9 + 0.45 * len(drawn)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=GRAY, linewidth=1, linestyle="--", zorder=1)
        for row, (setting, difference) in enumerate(drawn):
            pairs = zip(ablation.winner.values, setting.values, strict=True)
            seeds = [b - a for a, b in pairs if a is not None and b is not None]
            color = _COLORS[ablation.verdict(setting)]
            look: dict[str, Any] = {"color": color, "linewidth": 2, "zorder": 2}
            if difference.has_interval:
                axes.plot([difference.low, difference.high], [row, row], **look)
            axes.plot(difference.mean, row, "D", color=color, markersize=7, zorder=4)
            dot: dict[str, Any] = {"color": PALE, "markeredgecolor": color, "markersize": 6}
            axes.plot(seeds, [row] * len(seeds), "o", zorder=3, **dot)
        axes.set_yticks(range(len(drawn)), [setting.label for setting, _ in drawn])
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.set_title("The winner with one setting changed")
        better = "right" if search.is_larger_better else "left"
        axes.set_xlabel(f"{search.metric} less the winner's; better to the {better}")
        note = f"Dots: seeds. Diamonds: their means, with {LEVEL:.0%} intervals."
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=GRAY)
    return True
