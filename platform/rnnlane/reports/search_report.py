"""A search in words: its findings as sentences, a self-contained HTML page, a CSV of its trials."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnlane.records.search import SearchRecord
from rnnlane.reports import ablation
from rnnlane.reports.clip_layers import (
    CLIP,
    CLIP_KEYS,
    LAYERS,
    Group,
    clip_groups,
    is_clip_varied,
    layer_groups,
)
from rnnlane.reports.importance import FEW_TRIALS, importances
from rnnlane.reports.page import counted, duration, render_page
from rnnlane.reports.scales import range_end
from rnnlane.reports.trials import best_of, format_value, measured, value_of, varied_keys

_SHOWN_TRIALS = 15
_CSV_COLUMNS = (
    *("number", "state", "value", "score", "best_epoch", "epochs", "seconds"),
    *("clip_norm", "mean_norm", "clipped_fraction", "seed_values"),
)
_ALGORITHMS = {"grid": "every combination", "random": "random sampling", "optuna": "Optuna (TPE)"}
_SCHEDULERS = {
    "none": "none was cut short as poor",
    "asha": "poor ones were cut short by successive halving (ASHA)",
    "median": "those below the median of the others were cut short",
}


def trials_csv(search: SearchRecord) -> str:
    """One line per trial: its outcome, its value of each varied key, and why it was cut or failed.

    Several seed values share one field, separated by spaces; unknown values are empty.
    """
    keys = varied_keys(search)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_CSV_COLUMNS, *keys, "reason"])
    for trial in search.trials:
        seeds = " ".join(f"{value:.6g}" for value in trial.seed_values)
        seconds = None if trial.ended_at is None else round(trial.ended_at - trial.started_at, 3)
        numbers = (trial.value, trial.score, trial.best_epoch, trial.num_epochs, seconds)
        norms = (trial.clip_norm, trial.mean_norm, trial.clipped_fraction)
        params = [trial.params.get(key, "") for key in keys]
        writer.writerow([trial.number, trial.state, *numbers, *norms, seeds, *params, trial.reason])
    return text.getvalue()


def report_html(search: SearchRecord, pictures: Sequence[Path], *, best_yaml: str) -> str:
    """One HTML page that needs no other file, no script and no network.

    Args:
        search: any search, also one without trials.
        pictures: PNG files with the names that ``write_pictures`` gives; embedded in the page.
        best_yaml: text of the experiment that trains the winner; "" if there is none.
    """
    return render_page(
        "search_report.html.j2",
        kind="Hyperparameter search",
        name=search.name,
        facts=_facts(search),
        pictures=pictures,
        search=search,
        findings=findings(search),
        space=list(search.space.items()),
        trials=_trial_table(search),
        clip_settings=_group_rows(search, clip_groups(search)),
        layer_settings=_group_rows(search, layer_groups(search)),
        ablation_heads=ablation.HEADS,
        ablation_rows=_ablation_table(search),
        best_yaml=best_yaml,
    )


def findings(search: SearchRecord) -> dict[str, list[str]]:
    """What the trials show, worked out from the numbers alone: sentences for each part of a report.

    A part without anything to say has no sentences.
    """
    return {
        "searched": _searched(search),
        "won": _won(search),
        "lead": _lead(search),
        "ablation": _ablation(search),
        "clip": _clip(search),
        "layers": _layers(search),
        "stopping": _stopping(search),
        "failures": _failures(search),
        "next_steps": _next_steps(search),
    }


def _searched(search: SearchRecord) -> list[str]:
    states = Counter(trial.state for trial in search.trials)
    outcome = ", ".join(f"{states[state]} {state}" for state in sorted(states))
    direction = "higher" if search.is_larger_better else "lower"
    return [
        f"{counted(len(search.space), 'key')} varied, chosen by {_ALGORITHMS[search.algorithm]}; "
        f"the objective is {search.metric}, where {direction} is better.",
        f"{counted(len(search.trials), 'trial')} ({outcome or 'none yet'}) of at most "
        f"{counted(search.max_epochs, 'epoch')} each; {_SCHEDULERS[search.scheduler]}.",
        f"The search took {duration(search.elapsed_s)} and trained "
        f"{counted(search.epochs_trained, 'epoch')}.",
    ]


def _won(search: SearchRecord) -> list[str]:
    best = search.winner
    if best is None or best.value is None:
        return ["No trial has a value, so nothing won."]
    params = ", ".join(f"{key} = {format_value(value)}" for key, value in best.params.items())
    norm, limit = best.mean_norm, best.clip_norm
    if limit is None:
        mean = f" The mean gradient norm was {format_value(norm)}." if norm else ""
        clip = f"Gradients were not clipped.{mean}"
    else:
        ratio = (
            norm and f", {format_value(limit / norm)} times the mean norm of {format_value(norm)}"
        )
        share = f"{best.clipped_fraction:.1%} of the steps were clipped"
        clip = f"Its clip value was {format_value(limit)}{ratio or ''}; {share}."
    end = "" if best.state == "finished" else f", where it was {best.state}"
    return [
        f"Trial {best.number} won with {params or 'the values of the experiment'}.",
        f"Its {search.metric} was {best.value:.4f}, at epoch {best.best_epoch} of "
        f"{best.num_epochs}{end}.",
        clip,
        f"This is the best of {counted(len(measured(search)), 'trial')} on the validation "
        "split, by which it was chosen: expect a little less on the test split.",
    ]


def _lead(search: SearchRecord) -> list[str]:
    best = search.winner
    if best is None or best.score is None:
        return []
    ranked = search.ranked()
    spreads = {t.number: statistics.stdev(t.seed_values) for t in ranked if len(t.seed_values) > 1}
    sentences = [
        f"Trial {trial.number} had {trial.score:.4f} ± {spreads[trial.number]:.4f} over "
        f"{len(trial.seed_values)} seeds."
        for trial in ranked
        if trial.number in spreads
    ]
    second = next((trial for trial in ranked if trial.number != search.best), None)
    if second is None or second.score is None:
        return [*sentences, "No other trial has a value to compare it with."]
    lead = (best.score - second.score) * (1 if search.is_larger_better else -1)
    sentences.insert(0, f"It leads trial {second.number}, the runner-up, by {lead:.4f}.")
    if not {best.number, second.number} <= spreads.keys():
        verdict = (
            "The two were not both repeated with other seeds, so the effect of the seed is "
            "unknown: the lead may be chance."
        )
    elif lead <= (spread := max(spreads[best.number], spreads[second.number])):
        verdict = (
            f"The lead is no larger than the spread of seeds ({spread:.4f}), so it may be chance: "
            "take the two as equally good."
        )
    else:
        verdict = (
            f"The lead is larger than the spread of seeds ({spread:.4f}), which suggests a real "
            f"difference, as far as {len(best.seed_values)} seeds can."
        )
    return [*sentences, verdict]


def _ablation(search: SearchRecord) -> list[str]:
    if search.ablation is None:
        return []
    num_seeds = len(search.ablation.seeds)
    return [
        "The winner was trained again, and with each of these alternatives and nothing else "
        f"changed: {num_seeds} seeds each, paired by seed.",
        ablation.recommendation(search.ablation, search.metric),
    ]


def _ablation_table(search: SearchRecord) -> list[tuple[str, ...]]:
    return [] if search.ablation is None else ablation.table_rows(search.ablation.as_dict())


def _ablated(search: SearchRecord, keys: Sequence[str]) -> list[str]:
    return [] if search.ablation is None else ablation.compared(search.ablation, keys)


def _clip(search: SearchRecord) -> list[str]:
    if shown := _ablated(search, (CLIP, *CLIP_KEYS)):
        return shown
    if not is_clip_varied(search):
        return []
    groups = [group for group in clip_groups(search) if group.trials]
    if not groups:
        return ["No trial has a value to compare."]
    sentences = _compared(search, groups, "clip setting")
    unclipped = [trial for group in groups if group.label == "none" for trial in group.trials]
    clipped = [trial for group in groups if group.label != "none" for trial in group.trials]
    if unclipped and clipped:
        best, without = best_of(search, clipped), best_of(search, unclipped)
        sentences.append(
            f"The best of {counted(len(clipped), 'clipped trial')} reached {best:.4f}, that of "
            f"{len(unclipped)} without clipping {without:.4f}."
        )
    return [*sentences, _no_evidence(search, CLIP_KEYS, "clipping")]


def _layers(search: SearchRecord) -> list[str]:
    if shown := _ablated(search, (LAYERS,)):
        return shown
    if LAYERS not in varied_keys(search):
        return []
    groups = layer_groups(search)
    if not groups:
        return ["No trial has a value to compare."]
    compared = _compared(search, groups, "number of layers")
    return [*compared, _no_evidence(search, (LAYERS,), "the number of layers")]


def _no_evidence(search: SearchRecord, keys: Sequence[str], what: str) -> str:
    """Why a comparison of trials shows little."""
    others = [key for key in varied_keys(search) if key not in keys]
    differ = f"differ in {', '.join(others)} as well and " if others else ""
    return (
        f"These trials {differ}had one seed each, so they do not show what {what} does: "
        "search.ablation compares with nothing else changed."
    )


def _compared(search: SearchRecord, groups: Sequence[Group], what: str) -> list[str]:
    """Which group has the best value, which comes next, and how much that is worth."""
    bests = {group.label: best_of(search, group.trials) for group in groups}
    order = sorted(bests, key=lambda label: bests[label], reverse=search.is_larger_better)
    sentences = [f"The best {what} was {order[0]} with {bests[order[0]]:.4f}."]
    if order[1:]:
        sentences.append(f"Next came {order[1]} with {bests[order[1]]:.4f}.")
    fewest, most = min(len(g.trials) for g in groups), max(len(g.trials) for g in groups)
    if fewest >= 5:
        return [*sentences, f"Each setting was tried by at least {fewest} trials."]
    tried = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return [*sentences, f"The settings were tried {tried} times each, which is thin evidence."]


def _stopping(search: SearchRecord) -> list[str]:
    trained = sum(trial.num_epochs for trial in search.trials)
    full = len(search.trials) * search.max_epochs
    if not full:
        return []
    sentences = [
        f"The trials trained {trained:,} of the {full:,} epochs that they would have taken in "
        f"full: {trained / full:.0%}. {search.count('pruned')} were pruned and "
        f"{search.count('cut')} cut by the time budget."
    ]
    if search.epochs_trained > trained:
        extra = counted(search.epochs_trained - trained, "further epoch")
        sentences.append(f"{extra} went into other seeds of finalists and repeated work.")
    return sentences


def _failures(search: SearchRecord) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for trial in search.trials:
        if trial.state == "failed":
            reasons.setdefault(trial.reason or "no reason is known", []).append(str(trial.number))
    return [
        f"{'Trial' if len(numbers) == 1 else 'Trials'} {', '.join(numbers)}: {reason}."
        for reason, numbers in sorted(reasons.items())
    ]


def _next_steps(search: SearchRecord) -> list[str]:
    best = search.winner
    if best is None:
        return ["Fix what made the trials fail, then search again."]
    without_effect = _without_effect(search)
    steps = [
        f"Widen {key}: the winner's {format_value(value)} is at the {end} end of its range, "
        f"{search.space[key]}."
        for key, value in best.params.items()
        if (end := range_end(search, key, value)) and key not in without_effect
    ]
    if best.best_epoch is not None and best.best_epoch >= search.max_epochs:
        last = f"the winner was still best at its last epoch, {best.best_epoch}"
        steps.append(f"Raise search.max_epochs: {last}.")
    is_clip_ablated = bool(_ablated(search, (CLIP, *CLIP_KEYS)))
    if best.clip_norm is not None and best.clipped_fraction <= 0.01 and not is_clip_ablated:
        steps.append(_unreached_clip(search, best.clip_norm))
    if best.clip_norm is not None and best.clipped_fraction >= 0.99:
        steps.append(
            "Tune the learning rate and the clip value together: almost every step of the winner "
            "was clipped, so only the direction of a gradient counted."
        )
    if without_effect:
        advice = "the trials show no effect, and fewer keys need fewer trials"
        steps.append(f"Fix {', '.join(without_effect)}: {advice}.")
    num_measured, num_keys = len(measured(search)), len(varied_keys(search))
    wanted = max(FEW_TRIALS, 5 * num_keys)
    if search.algorithm != "grid" and num_measured < wanted:
        steps.append(
            f"Raise search.num_trials to {wanted} or more: {counted(num_measured, 'trial')} with "
            f"a value tell little about {counted(num_keys, 'key')}."
        )
    steps += _ablation_steps(search)
    if len(best.seed_values) < 2:
        steps.append("Set search.repeats to 3 or more, to learn whether the lead is chance.")
    return steps or ["Nothing stands out: train the winner and look at the test split."]


def _ablation_steps(search: SearchRecord) -> list[str]:
    found = search.ablation
    if found is None:
        if not is_clip_varied(search) and LAYERS not in varied_keys(search):
            return []
        return [
            "Set search.ablation and continue with --resume, to learn what the clip value and the "
            "number of layers do with nothing else changed."
        ]
    if not found.is_complete:
        return [
            "Raise search.time_budget_s and continue with --resume: the ablation is not complete."
        ]
    return []


def _unreached_clip(search: SearchRecord, clip_norm: float) -> str:
    """What to do about a clip value of the winner that hardly any gradient reached."""
    if any(trial.clip_norm and trial.clip_norm < clip_norm for trial in measured(search)):
        return (
            "Leave out clipping: the winner's clip value was almost never reached, and trials with "
            "smaller ones did not win."
        )
    return (
        "Try smaller clip values: the winner's was almost never reached, so it trained as without "
        "clipping."
    )


def _without_effect(search: SearchRecord) -> list[str]:
    """Keys that could as well be fixed; none where the trials are too few to tell."""
    by_key = importances(search)
    if len(measured(search)) < FEW_TRIALS or not by_key or by_key[0].mean < 0.05:
        return []
    # The effect of a key that others depend on shows in theirs.
    conditions = {key for variation in search.space.values() for key in variation.when}
    return [one.key for one in by_key if one.mean < 0.01 and one.key not in conditions]


def _trial_table(search: SearchRecord) -> list[list[Any]]:
    """The heads, then the best trials with their values of the keys that any of them has."""
    ranked = search.ranked()[:_SHOWN_TRIALS]
    keys = [key for key in varied_keys(search) if any(key in trial.params for trial in ranked)]
    rows: list[list[Any]] = [["trial", search.metric, "state", "best epoch", *keys]]
    for trial in ranked:
        params = [format_value(trial.params[k]) if k in trial.params else "n/a" for k in keys]
        rows.append([trial.number, f"{trial.score:.4f}", trial.state, trial.best_epoch, *params])
    return rows


def _group_rows(search: SearchRecord, groups: Sequence[Group]) -> list[tuple[Any, ...]]:
    """For each group: label, best value, median value of the finished, trials, finished."""
    rows = []
    for group in (group for group in groups if group.trials):
        finished = [value_of(trial) for trial in group.trials if trial.state == "finished"]
        median = f"{statistics.median(finished):.4f}" if finished else "–"
        best = f"{best_of(search, group.trials):.4f}"
        rows.append((group.label, best, median, len(group.trials), len(finished)))
    return rows


def _facts(search: SearchRecord) -> dict[str, str]:
    """The figures at the top of the page, by what they are."""
    best = search.winner
    score = "–" if best is None or best.score is None else f"{best.score:.4f}"
    seeds = f", mean of {len(best.seed_values)} seeds" if best and best.seed_values else ""
    return {
        f"{search.metric} of the winner{seeds}": score,
        "trials": str(len(search.trials)),
        "epochs trained": f"{search.epochs_trained:,}",
        "time": duration(search.elapsed_s),
    }
