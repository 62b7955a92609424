"""The figures of a search, as PNG files. Each function returns whether it drew anything."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.ablation_figure import save_ablation
from rnnlane.reports.clip_layers import Grid, clip_layer_grids, is_clip_varied
from rnnlane.reports.figures import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PALE,
    VERMILION,
    logarithmic,
    picture,
    whole_number_ticks,
)
from rnnlane.reports.importance import FEW_TRIALS, MIN_TRIALS, Importance, importances
from rnnlane.reports.optional import optional
from rnnlane.reports.scales import ABSENT_POSITION, Scale, scale_of
from rnnlane.reports.trials import (
    learning_curve,
    mean_grad_norm,
    measured,
    value_of,
    values_of,
    varied_keys,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

# Color and marker of a trial by its state.
_LOOKS = {
    "finished": (BLUE, "o"),
    "pruned": ("#8A97A0", "v"),
    "cut": (ORANGE, "s"),
    "running": (GREEN, "D"),
    "failed": (VERMILION, "x"),
}
# From how many seconds on, the seconds in a unit, and its name.
_UNITS = ((3 * 3600, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))
_HALO: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.8}


def write_pictures(search: SearchRecord, folder: Path) -> list[Path]:
    """Draws every picture that applies, of a search with any number of trials.

    Returns:
        The files drawn, in the order they are best read in; the folder is created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[SearchRecord, Path], bool]] = {
        "best_value.png": save_best_value,
        "ablation.png": save_ablation,
        "clip_and_layers.png": save_clip_and_layers,
        "gradient_norms.png": save_gradient_norms,
        "importance.png": save_importance,
        "parallel_coordinates.png": save_parallel_coordinates,
        "learning_curves.png": save_learning_curves,
    }
    drawn = []
    for name, save in drawings.items():
        with optional(f"the picture {name}"):
            if save(search, folder / name):
                drawn.append(folder / name)
    return drawn


def save_best_value(search: SearchRecord, path: Path) -> bool:
    """Draws the value of each trial and the best so far, by number and by time."""
    if not search.trials:
        return False
    since = {t.number: t.ended_at - search.started_at for t in search.trials if t.ended_at}
    longest = max(since.values(), default=0.0)
    seconds, unit = next((size, unit) for least, size, unit in _UNITS if longest >= least)
    with picture(path, width=11, height=4.2) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_progress(left, search, {trial.number: float(trial.number) for trial in search.trials})
        left.set(title="Best value over trials", xlabel="trial", ylabel=search.metric)
        whole_number_ticks(left)
        _draw_progress(right, search, {number: s / seconds for number, s in since.items()})
        right.set(title="Best value over time", xlabel=f"{unit} since the search began")
        _keep_readable(left, search, values_of(measured(search)))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return True


def save_parallel_coordinates(search: SearchRecord, path: Path) -> bool:
    """Draws each trial with a value as a line through its values of the varied keys."""
    trials = measured(search)
    keys = [key for key in varied_keys(search) if any(key in t.params for t in trials)]
    if not keys:
        return False
    scales = [scale_of(search, key) for key in keys]
    # The best are drawn over the others, and the winner over all.
    sign = 1 if search.is_larger_better else -1
    trials.sort(key=lambda trial: (trial.number == search.best, sign * value_of(trial)))
    with picture(path, width=max(7.5, 1.7 * len(keys) + 2.5), height=5) as figure:
        axes = figure.subplots()
        colors = _add_color_bar(figure, axes, search)
        for trial in trials:
            is_winner = trial.number == search.best
            positions = [scale.position_of(trial) for scale in scales]
            if is_winner:
                axes.plot(positions, color="black", linewidth=5, zorder=5)
            color = colors.to_rgba(np.array(value_of(trial)))
            width, alpha = (3, 1.0) if is_winner else (1.3, 0.8)
            axes.plot(positions, color=color, linewidth=width, alpha=alpha, zorder=5 + is_winner)
        _draw_scales(axes, scales, trials)
        note = "" if search.winner is None else f"; the winner, trial {search.best}, in black"
        axes.set_title(f"What was tried: {len(trials)} trials with a value{note}", pad=14)
    return True


def save_importance(search: SearchRecord, path: Path) -> bool:
    """Draws how much each key matters; says so if there are too few trials to tell."""
    if not varied_keys(search):
        return False
    by_key, num_trials = importances(search), len(measured(search))
    with picture(path, width=8, height=1.9 + 0.42 * max(len(by_key), 3)) as figure:
        axes = figure.subplots()
        axes.set_title("Importance of each key")
        if by_key:
            _draw_importances(axes, by_key)
        elif num_trials < MIN_TRIALS:
            _say(axes, f"trials with a value: {num_trials}; needed: {MIN_TRIALS}")
        else:
            _say(axes, f"nothing to compare: the {num_trials} values or all keys are the same")
        rough = f"; rough, as there are fewer than {FEW_TRIALS}" if num_trials < FEW_TRIALS else ""
        note = (
            f"From {num_trials} trials{rough}. Bars: how much worse a random forest predicts\n"
            "unseen trials when the key is shuffled; 1 is the values' variance. Whiskers: std."
        )
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=GRAY)
    return True


def save_clip_and_layers(search: SearchRecord, path: Path) -> bool:
    """Draws the best value of each clip setting with each number of layers, a panel a cell."""
    grids = clip_layer_grids(search)
    if not grids or not measured(search):
        return False
    num_rows, num_columns = grids[0].best.shape
    height = 1.3 + len(grids) * (0.35 + 0.55 * num_rows)
    with picture(path, width=max(2 + 0.9 * num_columns, 6), height=max(height, 3)) as figure:
        panels = list(figure.subplots(len(grids), 1, squeeze=False, sharex=True)[:, 0])
        colors = _add_color_bar(figure, panels, search)
        for axes, grid in zip(panels, grids, strict=True):
            _draw_grid(axes, grid, colors)
            axes.set_ylabel(f"{grid.title} layers".strip())
        what = "clip setting and layers" if is_clip_varied(search) else "layers"
        panels[0].set_title(f"Best value (and trials) by {what}")
        panels[-1].set_xlabel("clip setting")
    return True


def save_learning_curves(search: SearchRecord, path: Path) -> bool:
    """Draws the metric over the epochs of every trial, with those cut short marked."""
    curves = {trial.number: learning_curve(search, trial) for trial in search.trials}
    curves = {number: points for number, points in curves.items() if points}
    if not curves:
        return False
    drawn = [trial for trial in search.trials if trial.number in curves]
    states: set[str] = set()
    with picture(path, width=9.5, height=4.8) as figure:
        axes = figure.subplots()
        for trial in sorted(drawn, key=lambda trial: trial.state == "finished"):
            if trial.number != search.best:
                label = None if trial.state in states else trial.state
                states.add(trial.state)
                _draw_curve(axes, trial, curves[trial.number], label)
        if search.best in curves:
            epochs, values = zip(*curves[search.best], strict=True)
            look: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 5}
            axes.plot(epochs, values, color="white", linewidth=5.5, zorder=5)
            look["label"] = f"winner (trial {search.best})"
            axes.plot(epochs, values, linewidth=3, zorder=6, **look)
        axes.set(title="All learning curves", xlabel="epoch", ylabel=search.metric)
        whole_number_ticks(axes)
        axes.set_xlim(0.7, max(points[-1][0] for points in curves.values()) + 0.3)
        _keep_readable(axes, search, [value for points in curves.values() for _, value in points])
        figure.legend(loc="outside lower center", ncols=len(states) + 1)
    return True


def save_gradient_norms(search: SearchRecord, path: Path) -> bool:
    """Draws the mean gradient norm before clipping against the clip value, where that varies."""
    if not is_clip_varied(search):
        return False
    norms = {trial.number: norm for trial in measured(search) if (norm := mean_grad_norm(trial))}
    trials = [trial for trial in measured(search) if trial.number in norms]
    if not trials:
        return False
    clipped = [trial for trial in trials if trial.clip_norm]
    unclipped = [trial for trial in trials if not trial.clip_norm]
    groups = [group for group in (clipped, unclipped) if group]
    ratios = [4, 1][: len(groups)]
    with picture(path, width=9, height=5) as figure:
        panels = list(
            figure.subplots(1, len(groups), sharey=True, squeeze=False, width_ratios=ratios)[0]
        )
        colors = _add_color_bar(figure, panels, search)
        for axes, members in zip(panels, groups, strict=True):
            logarithmic(axes, which="y")
            xs = _clip_axis(axes, members)
            is_best = [trial.number == search.best for trial in members]
            look: dict[str, Any] = {
                "s": [_area(trial.clipped_fraction) for trial in members],
                "c": colors.to_rgba(np.array(values_of(members))),
                "edgecolors": ["black" if best else "white" for best in is_best],
                "linewidths": [2.2 if best else 0.6 for best in is_best],
            }
            axes.scatter(xs, [norms[trial.number] for trial in members], zorder=3, **look)
        panels[0].set_title("Gradient norm against clip value")
        panels[0].set_ylabel("mean gradient norm before clipping")
        _area_legend(figure)
    return True


def _draw_progress(axes: Axes, search: SearchRecord, positions: dict[int, float]) -> None:
    """Trials at their positions along x; a step line joins the best values so far."""
    with_value = [trial for trial in measured(search) if trial.number in positions]
    with_value.sort(key=lambda trial: positions[trial.number])
    best = list(
        itertools.accumulate(values_of(with_value), max if search.is_larger_better else min)
    )
    if best:
        xs = [positions[trial.number] for trial in with_value]
        xs, best = [*xs, max(positions.values())], [*best, best[-1]]
        axes.step(xs, best, where="post", color=GREEN, label="best so far")
    else:
        _say(axes, "no trial has a value yet", keep_axes=True)
    for state, (color, marker) in _LOOKS.items():
        members = [trial for trial in with_value if trial.state == state]
        if members:
            xs, values = [positions[trial.number] for trial in members], values_of(members)
            axes.scatter(xs, values, s=46, c=color, marker=marker, label=state, zorder=3, **_HALO)
    without = positions.keys() - {trial.number for trial in with_value}
    if without:
        xs, ys = [positions[number] for number in sorted(without)], [0.02] * len(without)
        look: dict[str, Any] = {"color": VERMILION, "transform": axes.get_xaxis_transform()}
        axes.plot(xs, ys, "x", markersize=6, label="failed or no value", **look)
    for winner in (trial for trial in with_value if trial.number == search.best):
        at = positions[winner.number], value_of(winner)
        axes.scatter(*at, s=230, c="black", marker="*", label="winner", zorder=4, **_HALO)


def _draw_scales(axes: Axes, scales: Sequence[Scale], trials: Sequence[TrialRecord]) -> None:
    """An upright line with ticks for each key, and a mark for trials that it did not apply to."""
    backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
    text: dict[str, Any] = {"va": "center", "fontsize": 8.5, "bbox": backing, "zorder": 9}
    for x, scale in enumerate(scales):
        axes.axvline(x, ymin=0, color=GRAY, linewidth=1)
        for y, label in scale.ticks():
            axes.plot([x - 0.02, x + 0.02], [y, y], color=GRAY, linewidth=1)
            axes.text(x + 0.05, y, label, **text)
        if any(scale.key not in trial.params for trial in trials):
            axes.plot(x, ABSENT_POSITION, "s", color="white", markeredgecolor=GRAY, zorder=8)
            axes.text(x + 0.05, ABSENT_POSITION, "n/a", style="italic", **text)
    axes.set_xticks(range(len(scales)), [scale.key.replace(".", ".\n") for scale in scales])
    lowest = ABSENT_POSITION - 0.06
    axes.set(xlim=(-0.15, len(scales) - 0.55), ylim=(lowest, 1.05), yticks=[])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _draw_importances(axes: Axes, by_key: Sequence[Importance]) -> None:
    means, stds = [one.mean for one in by_key], [one.std for one in by_key]
    bars: dict[str, Any] = {"color": BLUE, "height": 0.62, "capsize": 3, "ecolor": GRAY}
    axes.barh(range(len(by_key)), means, xerr=stds, **bars)
    for index, (mean, std) in enumerate(zip(means, stds, strict=True)):
        end = max(mean + std, 0) + 0.01 * max(means)
        axes.text(end, index, f" {mean:.2f}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(by_key)), [one.key for one in by_key])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.axvline(0, color=GRAY, linewidth=1)
    axes.grid(visible=False, axis="y")


def _draw_grid(axes: Axes, grid: Grid, colors: ScalarMappable) -> None:
    """Cells with a value in its color; the others show the hatched background."""
    num_rows, num_columns = grid.best.shape
    edges = np.arange(num_columns + 1) - 0.5, np.arange(num_rows + 1) - 0.5
    axes.patch.set(facecolor="white", edgecolor=PALE, hatch="////")
    cells = np.ma.masked_invalid(grid.best)
    look: dict[str, Any] = {"norm": colors.norm, "cmap": colors.cmap, "edgecolors": "white"}
    axes.pcolormesh(*edges, cells, **look)
    for r, c in np.argwhere(grid.counts):
        red, green, blue, _ = colors.to_rgba(grid.best[r, c])
        color = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.55 else "black"
        text = f"{grid.best[r, c]:.4f}\n({grid.counts[r, c]})"
        axes.text(c, r, text, ha="center", va="center", fontsize=8.5, color=color)
    names = [label.replace(" ", "\n", 1) for label in grid.columns]
    axes.set_xticks(range(num_columns), names, fontsize=8)
    axes.set_yticks(range(num_rows), grid.rows)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_curve(
    axes: Axes, trial: TrialRecord, points: Sequence[tuple[int, float]], label: str | None
) -> None:
    color, marker = _LOOKS[trial.state]
    epochs, values = zip(*points, strict=True)
    end: dict[str, Any] = {"marker": marker, "color": color, "markersize": 5, "zorder": 4}
    if trial.state == "finished":
        axes.plot(epochs, values, color=color, linewidth=1.3, alpha=0.6, zorder=3)
        axes.plot(epochs[-1:], values[-1:], label=label, **end)
    else:
        axes.plot(epochs, values, color=PALE, linewidth=0.9, alpha=0.9, zorder=2)
        axes.plot(epochs[-1:], values[-1:], linestyle="none", label=label, **end)


def _clip_axis(axes: Axes, trials: Sequence[TrialRecord]) -> list[float]:
    """Sets up the x axis for trials that all clip, or all do not, and says where each one is."""
    if trials[0].clip_norm:
        xs = [trial.clip_norm or 0.0 for trial in trials]
        logarithmic(axes)
        ends = [min(xs) / 1.3, max(xs) * 1.3]
        axes.plot(ends, ends, color=GRAY, linestyle="--", linewidth=1.2, zorder=1)
        look: dict[str, Any] = {"color": GRAY, "fontsize": 8.5, "ha": "right"}
        look |= {"xytext": (-12, -4), "textcoords": "offset points"}
        axes.annotate("clip = mean", (ends[1], ends[1]), **look)
        axes.set_xlabel("clip value in force, logarithmic")
        return xs
    axes.set(xlim=(-1.6, 1.6), xticks=[0], xticklabels=["none"], xlabel="not clipped")
    axes.grid(visible=False, axis="x")
    # Spread out, so that trials with similar norms do not hide each other.
    return np.linspace(-1, 1, len(trials)).tolist() if len(trials) > 1 else [0.0]


def _area(clipped_fraction: float) -> float:
    """Area of a trial's dot, in square points."""
    return 28 + 190 * min(max(clipped_fraction, 0.0), 1.0)


def _area_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "none"}
    handles = [
        Line2D([], [], color=PALE, markersize=math.sqrt(_area(share)), label=label, **dot)
        for share, label in ((share, f"{share:.0%} of steps clipped") for share in (0, 0.5, 1))
    ]
    ring: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "markeredgewidth": 2.2}
    handles.append(Line2D([], [], markersize=9, label="winner", **ring, **dot))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)


def _add_color_bar(figure: Figure, axes: Any, search: SearchRecord) -> ScalarMappable:
    """Gives every value a color: darker is better. There must be a value.

    Of many trials the worst tenth share one color; so the rest differ.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values = values_of(measured(search))
    low, high, extend = min(values), max(values), "neither"
    if len(values) >= 10 and search.is_larger_better:
        low, extend = float(np.percentile(values, 10)), "min"
    elif len(values) >= 10:
        high, extend = float(np.percentile(values, 90)), "max"
    name = "viridis_r" if search.is_larger_better else "viridis"
    colors = ScalarMappable(Normalize(low, high if high > low else low + 1e-6), name)
    bar = figure.colorbar(colors, ax=axes, fraction=0.04, pad=0.02, extend=extend, format="{x:.4g}")
    bar.set_label(f"{search.metric} (darker is better)")
    bar.outline.set_visible(False)
    return colors


def _keep_readable(axes: Axes, search: SearchRecord, values: Iterable[float]) -> None:
    """Keeps a loss that exploded from flattening all the others, and says that it is not shown."""
    finite = [value for value in values if math.isfinite(value)]
    if search.is_larger_better or not finite:
        return
    limit = 3 * float(np.median(finite))
    outside = sum(value > limit for value in finite)
    if outside and limit > 0:
        axes.set_ylim(top=limit)
        note = f"{outside} above {limit:.2g} not shown"
        axes.text(0.99, 0.98, note, ha="right", va="top", color=GRAY, transform=axes.transAxes)


def _say(axes: Axes, text: str, *, keep_axes: bool = False) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GRAY)
    if not keep_axes:
        axes.set_axis_off()
