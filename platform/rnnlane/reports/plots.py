"""The pictures that results draw of themselves; see :mod:`rnnlane.records.pictures`.

A result names the function. Each returns a figure that is written nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib import rcParams

from rnnlane.records.explanation import Explanation
from rnnlane.reports.figures import (
    BLUE,
    VERMILION,
    picture,
    save_confidence,
    save_confusion,
    save_curves,
    whole_number_ticks,
)
from rnnlane.reports.lettering import drawable, short_names
from rnnlane.reports.shown import ShownFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of the colored text: inches, letters in a line and in a token, and tokens.
_WIDTH, _LINE_HEIGHT, _CHARS, _WORD, MAX_TOKENS = 9.0, 0.3, 96, 40, 400


def training_curves(history: Sequence[Mapping[str, float]], *, metric: str) -> ShownFigure:
    """Accuracy, macro F1 and loss over the epochs; see :func:`save_curves`."""
    return save_curves(history, None, metric=metric)


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> ShownFigure:
    """The confusion matrix; see :func:`save_confusion`."""
    return save_confusion(np.array(matrix), class_names, None)


def confidence(
    texts: Sequence[str],
    probabilities: npt.NDArray[np.floating],
    class_names: Sequence[str],
) -> ShownFigure:
    """The most probable classes of each text; see :func:`save_confidence`."""
    return save_confidence(texts, probabilities, class_names, None)


def trial_scores(
    numbers: Sequence[int], scores: Sequence[float], *, winner: int | None
) -> ShownFigure:
    """The score of each trial, with the winner marked.

    Args:
        numbers: of the trials.
        scores: what they are ranked by; NaN for a trial without one.
        winner: its number; None if every trial failed.
    """
    with picture(None, width=8, height=4) as figure:
        axes = figure.subplots()
        axes.plot(numbers, scores, "o", color=BLUE, label="trial")
        if winner is not None:
            score = dict(zip(numbers, scores, strict=True))[winner]
            label = f"winner: trial {winner} with {score:.4g}"
            axes.plot([winner], [score], "o", color=VERMILION, markersize=10, label=label)
        axes.set(title="Score of each trial", xlabel="trial")
        whole_number_ticks(axes)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def token_shares(explanation: Explanation) -> ShownFigure:
    """The tokens of a text, line by line, each colored by its share."""
    tokens = list(explanation.tokens)[:MAX_TOKENS]
    words = [word if len(word) <= _WORD else f"{word[: _WORD - 1]}…" for word in drawable(tokens)]
    texts = [*tokens, explanation.label]
    lines = _lines(words)
    with picture(None, width=_WIDTH, height=1.2 + _LINE_HEIGHT * len(lines), texts=texts) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(0, _CHARS), ylim=(len(lines) - 0.5, -0.7))
        intensities = iter(explanation.intensities())
        for number, line in enumerate(lines):
            column = 0
            for word in line:
                _draw_word(axes, word, (column, number), next(intensities))
                column += len(word) + 1
        label = short_names([explanation.label])[0]
        title = f"{label} {explanation.probability:.1%}"
        if len(tokens) < len(explanation.tokens):
            title += f", the first {len(tokens)} of {len(explanation.tokens):,} tokens"
        axes.set_title(f"{title}; blue speaks for it, red against it", fontsize=10)
    return figure


def _lines(words: Sequence[str]) -> list[list[str]]:
    """The words in lines of at most ``_CHARS`` characters."""
    lines: list[list[str]] = [[]]
    room = _CHARS
    for word in words:
        if len(word) > room and lines[-1]:
            lines.append([])
            room = _CHARS
        lines[-1].append(word)
        room -= len(word) + 1
    return lines


def _draw_word(axes: Axes, word: str, place: tuple[float, float], intensity: float) -> None:
    color = BLUE if intensity > 0 else VERMILION
    axes.text(
        *place,
        word,
        family=["DejaVu Sans Mono", *rcParams["font.family"]],
        fontsize=10,
        va="center",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": color, "alpha": 0.6 * abs(intensity)}
        | {"linewidth": 0},
    )
