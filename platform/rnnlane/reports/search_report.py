"""A search in words: its findings as sentences, a self-contained HTML page, and a CSV of trials."""

from __future__ import annotations

import base64
import csv
import io
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports import search_importance as evidence
from rnnlane.reports.search_importance import Group, shown, value_of

_SHOWN_TRIALS = 15
_FACTS = (
    *("number", "state", "value", "score", "best_epoch", "epochs", "seconds"),
    *("clip_norm", "mean_norm", "clipped_fraction", "seed_values"),
)
_CAPTIONS = {
    "best_value": "Each dot is a trial; the line is the best so far.",
    "clip_and_layers": "Best value and number of trials of each combination; hatched: not tried.",
    "gradient_norms": "Left of the dashed line the mean gradient is larger than the clip value.",
    "importance": "How much each key matters for the value.",
    "parallel_coordinates": "Each line is a trial; n/a: the key did not apply to it.",
    "learning_curves": "Trials that were cut short are grey, with a mark where they stopped.",
}
_CSS = """
:root{color-scheme:light dark;--ink:#1c2329;--soft:#59646d;--line:#d8dee3;--card:#f5f7f8;
--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ed;--soft:#9ba8b2;--line:#37424b;
--card:#1d252b;--page:#13191d}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;color:var(--ink);background:var(--page);
font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;
border-bottom:1px solid var(--line);padding-bottom:.25rem}
p,ul{margin:.5rem 0;max-width:46rem}.soft,figcaption{color:var(--soft);font-size:.9rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;
margin:1.2rem 0}
.facts div{background:var(--card);border-radius:.5rem;padding:.6rem .8rem}
.facts b{display:block;font-size:1.25rem}
.wide{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse;font-size:.9rem}
th,td{padding:.3rem .7rem;text-align:left;border-bottom:1px solid var(--line);overflow-wrap:normal}
th{color:var(--soft);font-weight:600}td{font-variant-numeric:tabular-nums}
tr.best td{font-weight:700}figure{margin:1.2rem 0}
img{max-width:100%;height:auto;background:#fff;border-radius:.4rem;border:1px solid var(--line)}
pre{background:var(--card);padding:1rem;border-radius:.5rem;overflow-x:auto;font-size:.85rem;
overflow-wrap:normal}
@media print{body{max-width:none;padding:0}figure,tr,.facts div{break-inside:avoid}
h2{break-after:avoid}pre{white-space:pre-wrap}.wide{overflow:visible}}
"""


def trials_csv(search: SearchRecord) -> str:
    """One line a trial, with its outcome, its value of each varied key, and why it was cut or lost.

    Several seed values stand in one field, separated by spaces; what is not known is empty.
    """
    keys = evidence.varied_keys(search)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FACTS, *keys, "reason"])
    for trial in search.trials:
        seeds = " ".join(f"{value:.6g}" for value in trial.seed_values)
        numbers = (trial.value, trial.score, trial.best_epoch, trial.num_epochs, _seconds(trial))
        norms = (trial.clip_norm, trial.mean_norm, trial.clipped_fraction)
        params = [trial.params.get(key, "") for key in keys]
        writer.writerow([trial.number, trial.state, *numbers, *norms, seeds, *params, trial.reason])
    return text.getvalue()


@dataclass(frozen=True)
class Findings:
    """What a search found, as sentences of plain English, part by part.

    Attributes:
        searched: what was varied, how, and what it took.
        won: the winner.
        lead: how far it is ahead, and whether that may be chance.
        clip: what speaks for the clip value.
        layers: what speaks for the number of layers.
        stopping: epochs that stopping early saved.
        failures: trials that failed, by reason; empty if none did.
        next_steps: what to try next.
    """

    searched: tuple[str, ...]
    won: tuple[str, ...]
    lead: tuple[str, ...]
    clip: tuple[str, ...]
    layers: tuple[str, ...]
    stopping: tuple[str, ...]
    failures: tuple[str, ...]
    next_steps: tuple[str, ...]


def findings(search: SearchRecord) -> Findings:
    """The sentences of a report, worked out from the numbers alone."""
    parts = (_searched, _won, _lead, _clip, _layers, _stopping, _failures, _next_steps)
    return Findings(*(tuple(part(search)) for part in parts))


def report_html(
    search: SearchRecord, pictures: Sequence[Path], *, best_yaml: str, baseline_note: str = ""
) -> str:
    """One HTML file that needs no other, no script and no network.

    Args:
        search: what is told of.
        pictures: PNG files as ``write_pictures`` names them; they are put into the page.
        best_yaml: text of the experiment that trains the winner; "" if there is none.
        baseline_note: a sentence that sets the winner against something else.
    """
    found = findings(search)
    draw = {path.stem: _figure(path) for path in pictures}.get
    steps = "".join(f"<li>{escape(text)}</li>" for text in found.next_steps)
    yaml = f"<pre>{escape(best_yaml)}</pre>" if best_yaml else None
    lead = (*found.lead, baseline_note) if baseline_note else found.lead
    sections = [
        _section("What was searched", found.searched,
                 _table(("key", "may be"), [(key, str(v)) for key, v in search.space.items()])),
        _section("What won", found.won, draw("best_value")),
        _section("By how much", lead, _trial_table(search)),
        _section("The clip value", found.clip, _group_table(search, evidence.clip_groups(search)),
                 draw("clip_and_layers"), draw("gradient_norms")),
        _section("The number of layers", found.layers,
                 _group_table(search, evidence.layer_groups(search))),
        _section("What matters", (), draw("importance"), draw("parallel_coordinates")),
        _section("Stopping early", found.stopping, draw("learning_curves")),
        _section("Failed trials", found.failures),
        _section("What to try next", (), f"<ul>{steps}</ul>"),
        _section("The winner as an experiment", (), yaml),
    ]  # fmt: skip
    name = escape(search.name)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Search {name}</title><style>{_CSS}</style></head><body>\n<header>"
        f'<p class="soft">Hyper-parameter search</p><h1>{name}</h1></header>'
        f"{_tiles(search)}\n<main>{''.join(sections)}</main></body></html>\n"
    )


def _searched(search: SearchRecord) -> list[str]:
    cuts = {
        "asha": "poor ones were cut short by successive halving (ASHA)",
        "median": "those below the median of the others were cut short",
    }
    how = {"grid": "every combination", "random": "random sampling", "optuna": "Optuna (TPE)"}
    states = Counter(trial.state for trial in search.trials)
    outcome = ", ".join(f"{states[state]} {state}" for state in sorted(states))
    cut = cuts.get(search.scheduler, "none was cut short as poor")
    direction = "higher" if search.is_larger_better else "lower"
    return [
        f"{_many(len(search.space), 'key')} varied, chosen by "
        f"{how.get(search.algorithm, search.algorithm)}; {search.metric} counted, "
        f"where {direction} is better.",
        f"{_many(len(search.trials), 'trial')} ({outcome or 'none yet'}) of at most "
        f"{_many(search.max_epochs, 'epoch')} each; {cut}.",
        f"The search took {_duration(search.elapsed_s)} and trained "
        f"{_many(search.epochs_trained, 'epoch')}.",
    ]


def _won(search: SearchRecord) -> list[str]:
    best = search.winner
    if best is None or best.value is None:
        return ["No trial has a value, so nothing won."]
    params = ", ".join(f"{key} = {shown(value)}" for key, value in best.params.items())
    norm, limit = best.mean_norm, best.clip_norm
    mean = f" The mean gradient norm was {shown(norm)}." if norm else ""
    clip = f"Gradients were not clipped.{mean}"
    if limit is not None:
        times = f", {shown(limit / norm)} times the mean norm of {shown(norm)}" if norm else ""
        share = f"{best.clipped_fraction:.1%} of the steps were clipped"
        clip = f"Its clip value was {shown(limit)}{times}; {share}."
    return [
        f"Trial {best.number} won with {params or 'the values of the experiment'}.",
        f"Its {search.metric} was {best.value:.4f}, at epoch {best.best_epoch} of "
        f"{best.num_epochs}{'' if best.state == 'finished' else f', where it was {best.state}'}.",
        clip,
        f"This is the best of {_many(len(evidence.measured(search)), 'trial')} on the validation "
        "split, by which it was chosen: expect a little less on the test split.",
    ]


def _lead(search: SearchRecord) -> list[str]:
    best = search.winner
    second = next((trial for trial in search.ranked() if trial.number != search.best), None)
    if best is None or best.score is None:
        return []
    said = [
        f"Trial {trial.number} had {statistics.fmean(trial.seed_values):.4f} ± "
        f"{statistics.stdev(trial.seed_values):.4f} over {len(trial.seed_values)} seeds."
        for trial in search.ranked()
        if len(trial.seed_values) > 1
    ]
    if second is None or second.score is None:
        return [*said, "No other trial has a value to compare it with."]
    lead = (best.score - second.score) * (1 if search.is_larger_better else -1)
    said.insert(0, f"It leads trial {second.number}, the runner-up, by {lead:.4f}.")
    spreads = [statistics.stdev(trial.seed_values) for trial in (best, second)
               if len(trial.seed_values) > 1]  # fmt: skip
    if len(spreads) < 2:
        return [*said, "The two were not both repeated with other seeds, so how much chance does "
                "is not known: the lead may be chance."]  # fmt: skip
    spread = max(spreads)
    if lead <= spread:
        return [*said, f"The lead is no larger than the spread of seeds ({spread:.4f}), so it may "
                "be chance: take the two as equally good."]  # fmt: skip
    return [*said, f"The lead is larger than the spread of seeds ({spread:.4f}), which speaks for "
            f"a real difference, as far as {len(best.seed_values)} seeds can."]  # fmt: skip


def _clip(search: SearchRecord) -> list[str]:
    groups = [group for group in evidence.clip_groups(search) if group.trials]
    if not groups:
        return ["The clip value was not varied, or no trial has a value to compare."]
    said = _compared(search, groups, "clip setting")
    none = [group for group in groups if group.label == "none"]
    clipped = [trial for group in groups if group.label != "none" for trial in group.trials]
    if none and clipped:
        both = (evidence.values_of(trials) for trials in (clipped, none[0].trials))
        best, without = (evidence.best_of(search, values) for values in both)
        gain = (best - without) * (1 if search.is_larger_better else -1)
        verdict = f"{abs(gain):.4f} {'better' if gain > 0 else 'worse'}" if gain else "no better"
        said.append(f"The best of {_many(len(clipped), 'clipped trial')} reached {best:.4f}, that "
                    f"of {len(none[0].trials)} without clipping {without:.4f}: clipping was "
                    f"{verdict}.")  # fmt: skip
    return said


def _layers(search: SearchRecord) -> list[str]:
    groups = evidence.layer_groups(search)
    if not groups:
        return ["The number of layers was not varied, or no trial has a value to compare."]
    return _compared(search, groups, "number of layers")


def _stopping(search: SearchRecord) -> list[str]:
    trained = sum(trial.num_epochs for trial in search.trials)
    full = len(search.trials) * search.max_epochs
    if not full:
        return []
    said = [f"The trials trained {trained:,} of the {full:,} epochs that they would have taken in "
            f"full: {trained / full:.0%}. {search.count('pruned')} were pruned and "
            f"{search.count('cut')} cut by the time budget."]  # fmt: skip
    if search.epochs_trained > trained:
        extra = _many(search.epochs_trained - trained, "further epoch")
        said.append(f"{extra} went into other seeds of finalists and repeated work.")
    return said


def _failures(search: SearchRecord) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for trial in (trial for trial in search.trials if trial.state == "failed"):
        reasons.setdefault(trial.reason or "no reason is known", []).append(str(trial.number))
    return [
        f"{'Trial' if len(numbers) == 1 else 'Trials'} {', '.join(numbers)}: {reason}."
        for reason, numbers in sorted(reasons.items())
    ]


def _next_steps(search: SearchRecord) -> list[str]:
    best = search.winner
    if best is None:
        return ["Mend what made the trials fail, then search again."]
    steps, idle = [], _unimportant(search)
    for key, value in best.params.items():
        end = evidence.edge(search, key, value)
        if end is not None and key not in idle:
            steps.append(f"Widen {key}: the winner's {shown(value)} is at the {end} end of its "
                         f"range, {search.space[key]}.")  # fmt: skip
    if best.best_epoch is not None and best.best_epoch >= search.max_epochs:
        steps.append(f"Raise search.max_epochs: the winner was still best at its last epoch, "
                     f"{best.best_epoch}.")  # fmt: skip
    steps += _clip_steps(best)
    if idle:
        advice = "the trials show no effect, and fewer keys need fewer trials"
        steps.append(f"Fix {', '.join(idle)}: {advice}.")
    num_measured, num_keys = len(evidence.measured(search)), len(evidence.varied_keys(search))
    wanted = max(evidence.FEW_TRIALS, 5 * num_keys)
    if search.algorithm != "grid" and num_measured < wanted:
        steps.append(f"Raise search.num_trials to {wanted} or more: {_many(num_measured, 'trial')} "
                     f"with a value tell little of {_many(num_keys, 'key')}.")  # fmt: skip
    if len(best.seed_values) < 2:
        steps.append("Set search.repeats to 3 or more, to learn whether the lead is chance.")
    return steps or ["Nothing stands out: train the winner and look at the test split."]


def _clip_steps(best: TrialRecord) -> list[str]:
    if best.clip_norm is not None and best.clipped_fraction <= 0.01:
        return ["Try smaller clip values, or none: the winner's was almost never reached."]
    if best.clip_norm is not None and best.clipped_fraction >= 0.99:
        return ["Tune the learning rate and the clip value together: almost every step of the "
                "winner was clipped, so only the direction of a gradient counted."]  # fmt: skip
    return []


def _unimportant(search: SearchRecord) -> list[str]:
    found = evidence.importances(search)
    if len(evidence.measured(search)) < evidence.FEW_TRIALS or not found or found[0].mean < 0.05:
        return []
    # The effect of a key that others depend on shows in theirs.
    conditions = {parent for variation in search.space.values() for parent in variation.when}
    return [one.key for one in found if one.mean < 0.01 and one.key not in conditions]


def _compared(search: SearchRecord, groups: Sequence[Group], what: str) -> list[str]:
    """Which group has the best value, which comes next, and how much that is worth."""
    bests = {g.label: evidence.best_of(search, evidence.values_of(g.trials)) for g in groups}
    order = sorted(bests, key=lambda label: bests[label], reverse=search.is_larger_better)
    said = [f"The best {what} was {order[0]} with {bests[order[0]]:.4f}."]
    if order[1:]:
        said.append(f"Next came {order[1]} with {bests[order[1]]:.4f}.")
    fewest, most = min(len(g.trials) for g in groups), max(len(g.trials) for g in groups)
    if fewest >= 5:
        return [*said, f"Each setting was tried by at least {fewest} trials."]
    tried = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return [*said, f"The settings were tried {tried} times each, which is thin evidence."]


def _group_table(search: SearchRecord, groups: Sequence[Group]) -> str | None:
    rows = []
    for group in filter(lambda group: group.trials, groups):
        finished = [value_of(trial) for trial in group.trials if trial.state == "finished"]
        median = f"{statistics.median(finished):.4f}" if finished else "–"
        best = evidence.best_of(search, evidence.values_of(group.trials))
        rows.append((group.label, f"{best:.4f}", median, len(group.trials), len(finished)))
    heads = ("setting", "best", "median of finished", "trials", "finished")
    return _table(heads, rows) if rows else None


def _trial_table(search: SearchRecord) -> str:
    ranked = search.ranked()[:_SHOWN_TRIALS]
    keys = [key for key in evidence.varied_keys(search) if any(key in t.params for t in ranked)]
    rows = [
        (trial.number, f"{trial.score:.4f}", trial.state, trial.best_epoch,
         *(shown(trial.params[key]) if key in trial.params else "n/a" for key in keys))
        for trial in ranked
    ]  # fmt: skip
    note = f'<p class="soft">The best {len(rows)} of {_many(len(search.trials), "trial")}.</p>'
    heads = ("trial", search.metric, "state", "best epoch", *keys)
    return note + _table(heads, rows, best=search.best) if rows else ""


def _tiles(search: SearchRecord) -> str:
    best = search.winner
    score = "–" if best is None or best.score is None else f"{best.score:.4f}"
    of_seeds = f", mean of {len(best.seed_values)} seeds" if best and best.seed_values else ""
    facts = {f"{search.metric} of the winner{of_seeds}": score,
             "trials": str(len(search.trials)), "epochs trained": f"{search.epochs_trained:,}",
             "time": _duration(search.elapsed_s)}  # fmt: skip
    tiles = (f"<div><b>{escape(v)}</b>{escape(k)}</div>" for k, v in facts.items())
    return f'<div class="facts">{"".join(tiles)}</div>'


def _section(title: str, sentences: Sequence[str], *blocks: str | None) -> str:
    """A part of the page; nothing at all if it has nothing to say."""
    text = f"<p>{escape(' '.join(sentences))}</p>" if sentences else None
    body = "".join(block for block in (text, *blocks) if block)
    return f"\n<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _figure(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = escape(_CAPTIONS.get(path.stem, path.stem.replace("_", " ")))
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, best: int | None = None) -> str:
    """A table; the row that begins with ``best`` stands out."""
    body = "".join(f"<th>{escape(text)}</th>" for text in heads)
    for row in rows:
        style = ' class="best"' if best is not None and row[0] == best else ""
        body += f"</tr><tr{style}>" + "".join(f"<td>{escape(str(x))}</td>" for x in row)
    return f'<div class="wide"><table><tr>{body}</tr></table></div>'


def _seconds(trial: TrialRecord) -> float | None:
    return None if trial.ended_at is None else round(trial.ended_at - trial.started_at, 3)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
