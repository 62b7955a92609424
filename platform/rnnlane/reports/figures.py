"""The pictures of a run, as PNG files, and the style that all pictures share.

Text is shown verbatim: a dollar sign does not start a formula.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rnnlane.reports.lettering import drawable, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rnnlane.inference.calibration import Bin
    from rnnlane.reports.shown import ShownFigure

DPI = 120
MAX_SIDE = 13.4  # inches
# In the confusion matrix: numbers in the cells, names on the axes, cells without binning.
MAX_NUMBERED, MAX_NAMED, MAX_CELLS = 40, 100, 300
# In the picture of probabilities.
MAX_TEXTS, MAX_BARS, MIN_BARS = 8, 10, 3
# Okabe and Ito's palette, which color-blind people can tell apart.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GRAY, PALE = "#595959", "#B8C4CC"
# How scores are written beside accuracy: macro F1 always, another one if it chooses the epoch.
_SCORES = {"val/macro_f1": "macro F1", "val/roc_auc": "ROC AUC"}


def save_curves(
    history: Sequence[Mapping[str, float]], path: Path | None, *, metric: str = "val/accuracy"
) -> ShownFigure:
    """Draws accuracy, macro F1 and loss over the epochs, with the best epoch marked.

    Args:
        history: one mapping per epoch, with ``epoch`` and any of ``train/accuracy``,
            ``val/accuracy``, ``val/macro_f1``, ``train/loss``, ``val/loss`` and ``metric``; values
            may be missing or NaN.
        path: the PNG file; None: the figure is only returned.
        metric: chooses the best epoch; the lowest value if its name ends in ``loss``, else the
            highest. It is drawn whatever it is.
    """
    best = best_epoch(history, metric)
    others = {
        key: _SCORES.get(key, key.removeprefix("val/").replace("_", " "))
        for key in ("val/macro_f1", metric)
        if key not in ("val/accuracy", "val/loss")
    }
    panels = {
        ", ".join(["Accuracy", *others.values()]): {
            "train/accuracy": "train",
            "val/accuracy": "val",
            **{key: f"val {name}" for key, name in others.items()},
        },
        "Loss": {"train/loss": "", "val/loss": ""},
    }
    looks = ((BLUE, "o", "-"), (VERMILION, "s", "-"), (GREEN, "^", "--"), (ORANGE, "D", "--"))
    with picture(path, width=10, height=4.4) as figure:
        for axes, (title, curves) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            for (key, label), (color, marker, line) in zip(curves.items(), looks, strict=False):
                look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": line}
                axes.plot(*_series(history, key), markersize=4, label=label, **look)
            if best is not None:
                label = "" if title == "Loss" else f"best epoch {best} (by {metric})"
                axes.axvline(best, color=GRAY, linestyle="--", linewidth=1.2, label=label)
            axes.set(title=title, xlabel="epoch")
            axes.set_xlim(0.5, max((int(entry["epoch"]) for entry in history), default=1) + 0.5)
            whole_number_ticks(axes)
        # Beside the panels, where it cannot cover a curve.
        figure.legend(loc="outside lower center", ncols=5)
    return figure


def save_gradient_norms(
    norms: npt.NDArray[np.floating],
    path: Path,
    *,
    clip_norm: float | None,
    clipped_fraction: float,
    source: str,
) -> None:
    """Draws a histogram of the gradient norms on a logarithmic axis.

    Args:
        norms: global norm of each step's gradient before clipping, [num_steps]; may be empty. Zero
            and non-finite ones are left out and counted in the title.
        path: the PNG file.
        clip_norm: the largest norm let through; None if there was no limit.
        clipped_fraction: share of the steps that were scaled down, in [0, 1].
        source: where ``clip_norm`` comes from, in a few words.
    """
    norms = np.asarray(norms, dtype=np.float64).ravel()
    drawn = norms[np.isfinite(norms) & (norms > 0)]
    left_out = f", {len(norms) - len(drawn):,} left out" if len(drawn) < len(norms) else ""
    with picture(path, width=8, height=4.6) as figure:
        axes = figure.subplots()
        logarithmic(axes)
        if len(drawn):
            _histogram(axes, drawn)
        else:
            axes.text(0.5, 0.5, "no gradient was measured", ha="center", transform=axes.transAxes)
        if clip_norm is not None:
            label = f"clipped above {clip_norm:.3g}: {clipped_fraction:.1%} of the steps"
            axes.axvline(clip_norm, color=VERMILION, linestyle="--", label=label)
        axes.set(
            title=f"Gradient norms of {len(drawn):,} steps{left_out}",
            xlabel="global norm before clipping, logarithmic",
            ylabel="steps",
        )
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper right", ncols=3)
        note = textwrap.fill(f"Clip value: {source}", width=110)
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=GRAY)


def save_confusion(
    matrix: npt.NDArray[np.integer], class_names: Sequence[str], path: Path | None
) -> ShownFigure:
    """Draws the confusion matrix: shares of each true class as color, and up to 40 classes counts.

    Size and memory are bounded: above 100 classes only some are named, and above 300 a cell stands
    for several neighboring classes.

    Args:
        matrix: int [C, C]; rows are the true classes, columns the predicted ones.
        class_names: C names.
        path: the PNG file; None: the figure is only returned.
    """
    from matplotlib.colors import PowerNorm

    counts = np.asarray(matrix)
    num_classes, num_rows = len(counts), int(counts.sum())
    accuracy = np.trace(counts) / max(num_rows, 1)
    per_cell = -(-num_classes // MAX_CELLS)
    counts = _binned(counts, per_cell)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3.4 + 0.5 * num_classes, MAX_SIDE)
    with picture(path, width=side + 1.4, height=side, texts=class_names) as figure:
        axes = figure.subplots()
        # Of many classes a confusion is a dot: pale ones must be seen as well.
        norm = PowerNorm(1.0 if num_classes <= MAX_NUMBERED else 0.5, vmin=0, vmax=1)
        image = axes.imshow(shares, cmap="Blues", norm=norm)
        if num_classes <= MAX_NUMBERED:
            _write_cells(axes, counts, shares)
        _name_classes(axes, class_names, per_cell=per_cell)
        axes.set(xlabel="predicted class", ylabel="true class")
        title = f"Confusion: {num_rows:,} rows, accuracy {accuracy:.1%}"
        if per_cell > 1:
            title += f"; a cell is {per_cell} x {per_cell} of the {num_classes:,} classes"
        axes.set_title(title, pad=10)
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
    return figure


def save_confidence(
    texts: Sequence[str],
    probabilities: npt.NDArray[np.floating],
    class_names: Sequence[str],
    path: Path | None,
) -> ShownFigure:
    """Draws the probabilities of the most probable classes, a panel per text.

    Args:
        texts: N texts, 1 to ``MAX_TEXTS``; long ones are wrapped, and cut after 3 lines.
        probabilities: [N, C], in [0, 1].
        class_names: C names.
        path: the PNG file; None: the figure is only returned.
    """
    probabilities = np.asarray(probabilities)
    num_texts, num_classes = probabilities.shape
    names = np.array(short_names(class_names))
    fitting = int((1.5 * MAX_SIDE / num_texts - 1.5) / 0.32)
    num_bars = min(num_classes, max(MIN_BARS, min(fitting, MAX_BARS)))
    height = (1.5 + 0.32 * (num_bars + (num_bars < num_classes))) * num_texts
    shown = [*texts, *class_names]
    with picture(path, width=8, height=height, texts=shown) as figure:
        panels = figure.subplots(num_texts, 1, squeeze=False)[:, 0]
        for axes, text, row in zip(panels, drawable(texts), probabilities, strict=True):
            # Of few classes all, in their own order; of many the most probable, best first.
            chosen = np.arange(num_classes)
            if num_bars < num_classes:
                chosen = np.argsort(-row, kind="stable")[:num_bars]
            _draw_bars(axes, names[chosen], row[chosen], others=num_classes - num_bars)
            lines = textwrap.wrap(text, width=84, max_lines=3, placeholder=" ...")
            axes.set_title("\n".join(lines), fontweight="normal")
    return figure


def save_calibration(curves: Mapping[str, Sequence[Bin]], path: Path) -> None:
    """Draws accuracy over confidence, and how many rows have that confidence.

    Args:
        curves: for each kind of probability, such as those before and after a temperature, its
            bins; the first one's rows are drawn below. At most four.
        path: the PNG file.
    """
    looks = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", ":"), (VERMILION, "D", "-."))
    with picture(path, width=6.4, height=4.8) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=GRAY, linewidth=1.2, linestyle="--", label="as it says")
        for (label, bins), (color, marker, line) in zip(curves.items(), looks, strict=False):
            xs, ys = [one.confidence for one in bins], [one.accuracy for one in bins]
            look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": line}
            upper.plot(xs, ys, linewidth=1, markersize=4, label=label, **look)
            # Large dots are of many rows; a dot of a few rows says little.
            total = sum(one.num_rows for one in bins)
            areas = [12 + 250 * one.num_rows / total for one in bins]
            upper.scatter(xs, ys, areas, color=color, marker=marker, alpha=0.85)
        shown = next(iter(curves.values()))
        edges = [one.lower for one in shown], [one.upper - one.lower for one in shown]
        heights = [one.num_rows for one in shown]
        lower.bar(edges[0], heights, edges[1], align="edge", color=PALE, edgecolor="white")
        start = max(0.0, math.floor(10 * min((one.lower for one in shown), default=0)) / 10)
        upper.set(ylabel="share classified correctly", ylim=(-0.03, 1.03), xlim=(start, 1.01))
        upper.set_title("Confidence and accuracy; a large dot is of many rows")
        lower.set(xlabel="probability of the predicted class", ylabel="rows")
        figure.legend(loc="outside lower center", ncols=3)


@contextmanager
def picture(
    path: Path | None, *, width: float, height: float, texts: Iterable[str] = ()
) -> Iterator[ShownFigure]:
    """A figure, sized in inches and not registered with pyplot.

    Written when the block ends, unless ``path`` is None. ``texts`` come from outside, so the main
    font may lack their script.
    """
    from rnnlane.reports.shown import ShownFigure

    figure = ShownFigure(width=width, height=height, texts=texts)
    with figure.in_style():
        yield figure
        if path is not None:
            figure.write_png(path)


def _series(history: Sequence[Mapping[str, float]], key: str) -> tuple[list[int], list[float]]:
    """The epochs that have a value of one metric, and the values."""
    points = [(int(entry["epoch"]), entry[key]) for entry in history if key in entry]
    return [epoch for epoch, _ in points], [value for _, value in points]


def best_epoch(history: Sequence[Mapping[str, float]], metric: str) -> int | None:
    """The first epoch with the best finite value of a metric; None if there is none."""
    points = [(v, e) for e, v in zip(*_series(history, metric), strict=True) if math.isfinite(v)]
    if not points:
        return None
    sign = -1 if metric.endswith("loss") else 1
    return max(points, key=lambda point: (sign * point[0], -point[1]))[1]


def logarithmic(axes: Axes, *, which: Literal["x", "y"] = "x") -> None:
    """Makes one axis logarithmic, with plain numbers at its ticks."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """Writes 0.6 where LogFormatter writes 6e-01."""

        def _num_to_string(self, x: float, vmin: float, vmax: float) -> str:  # noqa: ARG002
            return f"{x:g}"

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(Plain(minor_thresholds=(2, 0.5)))


def whole_number_ticks(axes: Axes) -> None:
    """Puts the ticks of the x axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


def _histogram(axes: Axes, norms: npt.NDArray[np.float64]) -> None:
    num_bins = min(60, max(10, len(norms) // 8))
    bins = np.geomspace(norms.min() / 1.05, norms.max() * 1.05, num=num_bins + 1)
    axes.hist(norms, bins=list(bins), color=BLUE, alpha=0.55, edgecolor="white", linewidth=0.4)
    mean, p90 = norms.mean(), np.percentile(norms, 90)
    axes.axvline(mean, color=GREEN, label=f"mean {mean:.3g}")
    axes.axvline(p90, color=ORANGE, linestyle="-.", label=f"90th percentile {p90:.3g}")


def _binned(counts: npt.NDArray[np.integer], per_cell: int) -> npt.NDArray[np.integer]:
    """Sums over blocks of ``per_cell`` x ``per_cell`` cells; the last ones may be smaller."""
    starts = np.arange(0, len(counts), per_cell)
    summed: npt.NDArray[np.integer] = np.add.reduceat(
        np.add.reduceat(counts, starts, axis=0), starts, axis=1
    )
    return summed


def _write_cells(
    axes: Axes, counts: npt.NDArray[np.integer], shares: npt.NDArray[np.float64]
) -> None:
    is_small = len(counts) <= 6
    size = 10.0 if is_small else min(7.0, 200 / len(counts))
    cells = np.ndindex(counts.shape) if len(counts) <= 20 else np.argwhere(counts)
    for row, column in cells:
        count, share = counts[row, column], shares[row, column]
        if is_small:
            text = f"{count:,}\n{share:.1%}"
        else:
            text = f"{count:,}\n{share:.0%}" if share >= 0.01 else f"{count:,}"
        color = "white" if share > 0.55 else "black" if share >= 0.01 or is_small else GRAY
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)


def _name_classes(axes: Axes, class_names: Sequence[str], *, per_cell: int) -> None:
    every = -(-len(class_names) // MAX_NAMED)
    named = range(0, len(class_names), every)
    names = [short_names(class_names)[index] for index in named]
    positions = [(index + 0.5) / per_cell - 0.5 for index in named]
    size = min(9.5, 500 / len(names))
    axes.set_yticks(positions, names, fontsize=size)
    axes.set_xticks(positions, names, fontsize=size)
    if len(names) > 4 or max(map(len, names)) > 8:
        for label in axes.get_xticklabels():
            label.set(rotation=90 if len(names) > 20 else 45, ha="right", rotation_mode="anchor")
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _draw_bars(
    axes: Axes, names: npt.NDArray[np.str_], values: npt.NDArray[np.floating], *, others: int
) -> None:
    """A bar for each class, the highest in color, and one for all other classes together."""
    labels, heights = names.tolist(), values.tolist()
    colors = [BLUE if value == max(heights) else PALE for value in heights]
    if others:
        labels.append(f"{others:,} others")
        heights.append(max(0.0, 1.0 - sum(heights)))
        colors.append("#E4E8EB")
    axes.barh(range(len(heights)), heights, color=colors, height=0.68)
    for index, value in enumerate(heights):
        axes.text(value + 0.01, index, f"{value:.1%}", va="center")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.1), xticks=np.linspace(0, 1, 6), xlabel="probability")
    axes.grid(visible=False, axis="y")
