"""The pictures of a search, as PNG files. Each function says whether there was anything to draw."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports import search_importance as evidence
from rnnlane.reports.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    VERMILION,
    logarithmic,
    picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

# Colour and marker of a trial by its state.
_LOOKS = {
    "finished": (BLUE, "o"),
    "pruned": ("#8A97A0", "v"),
    "cut": (ORANGE, "s"),
    "running": (GREEN, "D"),
    "failed": (VERMILION, "x"),
}
_UNITS = ((3 * 3600, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))
_HALO: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.8}


def write_pictures(search: SearchRecord, folder: Path) -> list[Path]:
    """Draws every picture that applies, of a search with any number of trials.

    Returns:
        The files drawn, in the order they are best read in; the folder is made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[SearchRecord, Path], bool]] = {
        "best_value.png": save_best_value,
        "clip_and_layers.png": save_clip_and_layers,
        "gradient_norms.png": save_gradient_norms,
        "importance.png": save_importance,
        "parallel_coordinates.png": save_parallel_coordinates,
        "learning_curves.png": save_learning_curves,
    }
    paths = {folder / name: save for name, save in drawings.items()}
    return [path for path, save in paths.items() if save(search, path)]


def save_best_value(search: SearchRecord, path: Path) -> bool:
    """Draws the value of each trial and the best so far, by number and by time."""
    if not search.trials:
        return False
    from matplotlib.ticker import MaxNLocator

    with picture(path, width=11, height=4.2) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_progress(left, search, {trial.number: float(trial.number) for trial in search.trials})
        left.set(title="Best value over trials", xlabel="trial", ylabel=search.metric)
        left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        since = {t.number: t.ended_at - search.started_at for t in search.trials if t.ended_at}
        longest = max(since.values(), default=0.0)
        seconds, unit = next((size, unit) for least, size, unit in _UNITS if longest >= least)
        _draw_progress(right, search, {number: s / seconds for number, s in since.items()})
        right.set(title="Best value over time", xlabel=f"{unit} since the search began")
        _keep_readable(left, search, evidence.values_of(evidence.measured(search)))
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return True


def save_parallel_coordinates(search: SearchRecord, path: Path) -> bool:
    """Draws each trial with a value as a line through its values of the varied keys."""
    trials = evidence.measured(search)
    keys = [key for key in evidence.varied_keys(search) if any(key in t.params for t in trials)]
    if not keys:
        return False
    scales = [evidence.scale(search, key) for key in keys]
    with picture(path, width=max(7.5, 1.7 * len(keys) + 2.5), height=5) as figure:
        axes = figure.subplots()
        colours = _colours(search, trials)
        # The best are drawn over the others, and the winner over all.
        sign = 1 if search.is_larger_better else -1
        order = {t.number: (t.number == search.best, sign * evidence.value_of(t)) for t in trials}
        for trial in sorted(trials, key=lambda trial: order[trial.number]):
            is_winner = trial.number == search.best
            places = [scale.place_in(trial) for scale in scales]
            if is_winner:
                axes.plot(places, color="black", linewidth=5, label="winner", zorder=5)
            colour = colours.to_rgba(np.array(evidence.value_of(trial)))
            width, alpha = (3, 1.0) if is_winner else (1.3, 0.8)
            axes.plot(places, color=colour, linewidth=width, alpha=alpha, zorder=5 + is_winner)
        _draw_scales(axes, scales, trials)
        _colour_bar(figure, axes, colours, search)
        note = "" if search.winner is None else f"; the winner, trial {search.best}, in black"
        axes.set_title(f"What was tried: {len(trials)} trials with a value{note}", pad=14)
    return True


def save_importance(search: SearchRecord, path: Path) -> bool:
    """Draws how much each key matters; says so if there are too few trials to tell."""
    if not evidence.varied_keys(search):
        return False
    found, num_trials = evidence.importances(search), len(evidence.measured(search))
    with picture(path, width=8, height=1.9 + 0.42 * max(len(found), 3)) as figure:
        axes = figure.subplots()
        axes.set_title("Importance of each key")
        if found:
            _draw_importances(axes, found)
        elif num_trials < evidence.MIN_TRIALS:
            _say(axes, f"trials with a value: {num_trials}; needed: {evidence.MIN_TRIALS}")
        else:
            _say(axes, f"nothing to tell apart: the {num_trials} values or all keys are the same")
        few = evidence.FEW_TRIALS
        rough = f"; rough, as there are fewer than {few}" if num_trials < few else ""
        note = (
            f"From {num_trials} trials{rough}. Bars: how much worse a random forest foretells\n"
            "unseen trials when the key is shuffled; 1 is the values' variance. Whiskers: std."
        )
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=GREY)
    return True


def save_clip_and_layers(search: SearchRecord, path: Path) -> bool:
    """Draws the best value of each clip setting with each number of layers, a panel a cell."""
    grids = evidence.clip_layer_grids(search)
    if not grids or not evidence.measured(search):
        return False
    num_rows, num_columns = grids[0].best.shape
    height = 1.3 + len(grids) * (0.35 + 0.55 * num_rows)
    with picture(path, width=max(2 + 0.9 * num_columns, 6), height=max(height, 3)) as figure:
        panels = list(figure.subplots(len(grids), 1, squeeze=False, sharex=True)[:, 0])
        colours = _colours(search, evidence.measured(search))
        for axes, grid in zip(panels, grids, strict=True):
            _draw_grid(axes, grid, colours)
            axes.set_ylabel(f"{grid.title} layers".strip())
        panels[0].set_title("Best value (and trials) by clip setting and layers")
        panels[-1].set_xlabel("clip setting")
        _colour_bar(figure, panels, colours, search)
    return True


def save_learning_curves(search: SearchRecord, path: Path) -> bool:
    """Draws the metric over the epochs of every trial, with those cut short marked."""
    from matplotlib.ticker import MaxNLocator

    curves = {trial.number: evidence.curve(search, trial) for trial in search.trials}
    if not any(curves.values()):
        return False
    with picture(path, width=9.5, height=4.8) as figure:
        axes = figure.subplots()
        order = sorted(search.trials, key=lambda trial: trial.state == "finished")
        seen: set[str] = set()
        for trial in order:
            points = curves[trial.number]
            if points and trial.number != search.best:
                label = None if trial.state in seen else trial.state
                seen.add(trial.state)
                _draw_curve(axes, trial, points, label)
        if search.best is not None and curves.get(search.best):
            epochs, values = zip(*curves[search.best], strict=True)
            axes.plot(epochs, values, color="white", linewidth=5.5, zorder=5)
            axes.plot(epochs, values, color="black", linewidth=3, marker="o", markersize=5,
                      zorder=6, label=f"winner (trial {search.best})")  # fmt: skip
        axes.set(title="All learning curves", xlabel="epoch", ylabel=search.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.7, max(epoch for points in curves.values() for epoch, _ in points) + 0.3)
        _keep_readable(axes, search, [value for points in curves.values() for _, value in points])
        figure.legend(loc="outside lower center", ncols=len(seen) + 1)
    return True


def save_gradient_norms(search: SearchRecord, path: Path) -> bool:
    """Draws the mean gradient norm before clipping against the clip value in force."""
    points = [(t, norm) for t in evidence.measured(search) if (norm := evidence.mean_norm(t))]
    if not points:
        return False
    clipped = [(trial, norm) for trial, norm in points if trial.clip_norm]
    unclipped = [(trial, norm) for trial, norm in points if not trial.clip_norm]
    ratios = [4.0] * bool(clipped) + [1.0 if clipped else 4.0] * bool(unclipped)
    with picture(path, width=9, height=5) as figure:
        panels = list(figure.subplots(1, len(ratios), sharey=True, squeeze=False,
                                      width_ratios=ratios)[0])  # fmt: skip
        colours = _colours(search, evidence.measured(search))
        for axes, members in zip(panels, filter(None, (clipped, unclipped)), strict=True):
            logarithmic(axes, which="y")
            _draw_norms(axes, members, colours, search)
        panels[0].set_title("Gradient norm against clip value")
        panels[0].set_ylabel("mean gradient norm before clipping")
        _size_legend(figure)
        _colour_bar(figure, panels, colours, search)
    return True


def _draw_progress(axes: Axes, search: SearchRecord, places: dict[int, float]) -> None:
    """Trials at their places along x; a step line joins the best values so far."""
    shown = sorted(
        (t for t in evidence.measured(search) if t.number in places), key=lambda t: places[t.number]
    )
    better = max if search.is_larger_better else min
    best = list(itertools.accumulate(evidence.values_of(shown), better))
    if best:
        last = max(places.values())
        xs = [places[trial.number] for trial in shown]
        axes.step([*xs, last], [*best, best[-1]], where="post", color=GREEN, label="best so far")
    for state, (colour, marker) in _LOOKS.items():
        members = [trial for trial in shown if trial.state == state]
        if members:
            xs, values = [places[trial.number] for trial in members], evidence.values_of(members)
            axes.scatter(xs, values, s=46, c=colour, marker=marker, label=state, zorder=3, **_HALO)
    with_value = {trial.number for trial in shown}
    lost = [place for number, place in places.items() if number not in with_value]
    if lost:
        axes.plot(lost, [0.02] * len(lost), "x", color=VERMILION, markersize=6,
                  transform=axes.get_xaxis_transform(), label="failed or no value")  # fmt: skip
    winner = next((trial for trial in shown if trial.number == search.best), None)
    if winner is not None:
        at = places[winner.number], evidence.value_of(winner)
        axes.scatter(*at, s=230, c="black", marker="*", label="winner", zorder=4, **_HALO)
    if not with_value:
        _say(axes, "no trial has a value yet", keep_axes=True)


def _draw_scales(
    axes: Axes, scales: Sequence[evidence.Scale], trials: Sequence[TrialRecord]
) -> None:
    """An upright line with ticks for each key, and a place for trials that it did not apply to."""
    backing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
    for x, one in enumerate(scales):
        axes.axvline(x, ymin=0, color=GREY, linewidth=1)
        ticks = one.ticks()
        if any(one.key not in trial.params for trial in trials):
            ticks.append((evidence.ABSENT_PLACE, "n/a"))
            axes.plot(x, evidence.ABSENT_PLACE, "s", color="white", markeredgecolor=GREY, zorder=8)
        for place, text in ticks:
            is_absent = place == evidence.ABSENT_PLACE
            axes.plot([x - 0.02, x + 0.02], [place, place], color=GREY, linewidth=1)
            axes.text(x + 0.05, place, text, va="center", fontsize=8.5, bbox=backing, zorder=9,
                      style="italic" if is_absent else "normal")  # fmt: skip
    axes.set_xticks(range(len(scales)), [one.key.replace(".", ".\n") for one in scales])
    lowest = evidence.ABSENT_PLACE - 0.06
    axes.set(xlim=(-0.15, len(scales) - 0.55), ylim=(lowest, 1.05), yticks=[])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _draw_importances(axes: Axes, found: Sequence[evidence.Importance]) -> None:
    means, stds = [one.mean for one in found], [one.std for one in found]
    bars: dict[str, Any] = {"color": BLUE, "height": 0.62, "capsize": 3, "ecolor": GREY}
    axes.barh(range(len(found)), means, xerr=stds, **bars)
    for index, (mean, std) in enumerate(zip(means, stds, strict=True)):
        end = max(mean + std, 0) + 0.01 * max(means)
        axes.text(end, index, f" {mean:.2f}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(found)), [one.key for one in found])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.grid(visible=False, axis="y")


def _draw_grid(axes: Axes, grid: evidence.Grid, colours: ScalarMappable) -> None:
    from matplotlib.patches import Rectangle

    for (r, c), value in np.ndenumerate(grid.best):
        is_empty = math.isnan(value)
        red, green, blue, _ = colours.to_rgba(np.array(value)) if not is_empty else (1, 1, 1, 1)
        look: dict[str, Any] = {"facecolor": (red, green, blue), "edgecolor": "white"}
        if is_empty:
            look = {"facecolor": "white", "edgecolor": PALE, "hatch": "////", "linewidth": 0.5}
        axes.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, **look))
        if not is_empty:
            colour = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.55 else "black"
            text = f"{value:.4f}\n({grid.counts[r, c]})"
            axes.text(c, r, text, ha="center", va="center", fontsize=8.5, color=colour)
    num_rows, num_columns = grid.best.shape
    axes.set(xlim=(-0.5, num_columns - 0.5), ylim=(-0.5, num_rows - 0.5))
    names = [label.replace(" ", "\n", 1) for label in grid.columns]
    axes.set_xticks(range(num_columns), names, fontsize=8)
    axes.set_yticks(range(num_rows), grid.rows)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_curve(
    axes: Axes, trial: TrialRecord, points: Sequence[tuple[int, float]], label: str | None
) -> None:
    colour, marker = _LOOKS[trial.state]
    epochs, values = zip(*points, strict=True)
    is_whole = trial.state == "finished"
    line_colour, width, alpha = (colour, 1.3, 0.6) if is_whole else (PALE, 0.9, 0.9)
    axes.plot(epochs, values, color=line_colour, linewidth=width, alpha=alpha, zorder=2 + is_whole)
    axes.plot(epochs[-1], values[-1], marker, color=colour, markersize=5, zorder=4, label=label,
              linestyle="-" if is_whole else "none")  # fmt: skip


def _draw_norms(
    axes: Axes,
    members: Sequence[tuple[TrialRecord, float]],
    colours: ScalarMappable,
    search: SearchRecord,
) -> None:
    is_clipped = bool(members[0][0].clip_norm)
    xs = [trial.clip_norm or 0.0 for trial, _ in members]
    if is_clipped:
        logarithmic(axes)
        ends = [min(xs) / 1.3, max(xs) * 1.3]
        axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
        axes.annotate("clip = mean", (ends[1], ends[1]), color=GREY, fontsize=8.5, ha="right",
                      xytext=(-12, -4), textcoords="offset points")  # fmt: skip
        axes.set_xlabel("clip value in force, logarithmic")
    else:
        # Spread out, so that trials with like norms do not hide each other.
        xs = list(np.linspace(-1, 1, len(members))) if len(members) > 1 else [0.0]
        axes.set(xlim=(-1.6, 1.6), xticks=[0], xticklabels=["none"], xlabel="not clipped")
        axes.grid(visible=False, axis="x")
    is_best = [trial.number == search.best for trial, _ in members]
    look: dict[str, Any] = {
        "s": [_size(trial) for trial, _ in members],
        "c": colours.to_rgba(np.array(evidence.values_of(trial for trial, _ in members))),
        "edgecolors": ["black" if best else "white" for best in is_best],
        "linewidths": [2.2 if best else 0.6 for best in is_best],
    }
    axes.scatter(xs, [norm for _, norm in members], zorder=3, **look)


def _size(trial: TrialRecord) -> float:
    return 28 + 190 * min(max(trial.clipped_fraction, 0.0), 1.0)


def _size_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=PALE, marker="o", linestyle="none", markeredgecolor="white",
               markersize=math.sqrt(28 + 190 * share), label=f"{share:.0%} of steps clipped")
        for share in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    ring = Line2D([], [], color="white", marker="o", linestyle="none", markersize=9,
                  markeredgecolor="black", markeredgewidth=2.2, label="winner")  # fmt: skip
    figure.legend(handles=[*handles, ring], loc="outside lower center", ncols=4)


def _colours(search: SearchRecord, trials: Sequence[TrialRecord]) -> ScalarMappable:
    """Darker is better. Of many trials the worst tenth share one colour; so the rest differ."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values = evidence.values_of(trials) or [0.0]
    low, high = min(values), max(values)
    if len(values) >= 10:
        tenth, ninetieth = (float(np.percentile(values, share)) for share in (10, 90))
        low, high = (tenth, high) if search.is_larger_better else (low, ninetieth)
    name = "viridis_r" if search.is_larger_better else "viridis"
    return ScalarMappable(Normalize(low, high if high > low else low + 1e-6), name)


def _colour_bar(figure: Figure, axes: Any, colours: ScalarMappable, search: SearchRecord) -> None:
    extend = "min" if search.is_larger_better else "max"
    kind = extend if len(evidence.measured(search)) >= 10 else "neither"
    bar = figure.colorbar(colours, ax=axes, fraction=0.04, pad=0.02, extend=kind, format="{x:.4g}")
    bar.set_label(f"{search.metric} (darker is better)")
    bar.outline.set_visible(False)


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
        axes.text(0.99, 0.98, note, ha="right", va="top", color=GREY, transform=axes.transAxes)


def _say(axes: Axes, text: str, *, keep_axes: bool = False) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=GREY)
    if not keep_axes:
        axes.set_axis_off()
