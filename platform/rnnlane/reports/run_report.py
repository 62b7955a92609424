"""A run in words: what its data was, how it trained, how far to trust it, and what to try next."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from rnnlane.data.prepare.prepared import SPLITS
from rnnlane.data.prepare.report import report_lines
from rnnlane.inference.calibration import Bin
from rnnlane.reports.artifacts import resolved_yaml
from rnnlane.reports.classes import class_metrics, confused_pairs, metric_notes
from rnnlane.reports.figures import save_calibration
from rnnlane.reports.optional import optional
from rnnlane.reports.page import counted, duration, render_page
from rnnlane.reports.run_advice import WORTHWHILE, next_steps, overfit_after
from rnnlane.reports.run_facts import RunFacts
from rnnlane.reports.verdict import divergence, interval_of_share, majority_share

# Above it the classes with the lowest F1 are shown, and pairs instead of a matrix.
MAX_CLASSES, NUM_WORST, NUM_PAIRS = 20, 10, 10
_MAX_SAMPLE_CHARS = 300


def write_report(folder: Path, facts: RunFacts) -> Path:
    """Draws the calibration, and writes its numbers and ``report.html``.

    Args:
        folder: of the run's results, with its pictures in ``figures``.
        facts: the run.

    Returns:
        The file of the report.
    """
    curves = _calibration_curves(facts)
    with optional("the picture of the calibration"):
        save_calibration(curves, folder / "figures" / "calibration.png")
    with (folder / "tables" / "test_calibration.csv").open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["probabilities", *Bin._fields])
        for label, bins in curves.items():
            writer.writerows([label, *one] for one in bins)
    pictures = sorted((folder / "figures").glob("*.png"))
    report = folder / "report.html"
    report.write_text(run_report_html(facts, pictures), encoding="utf-8")
    return report


def run_report_html(facts: RunFacts, pictures: Sequence[Path]) -> str:
    """One HTML page that needs no other file, no script and no network.

    Args:
        facts: the run.
        pictures: PNG files, embedded in the page; see the template for their names.
    """
    shown = [path for path in pictures if path.stem != "confusion" or _has_matrix(facts)]
    return render_page(
        "run_report.html.j2",
        kind=facts.kind,
        name=facts.config.tracking.run_name or facts.config.name,
        facts=_figures(facts),
        pictures=shown,
        description=facts.config.description,
        verdict=facts.verdict,
        findings=findings(facts),
        splits=_split_table(facts),
        class_rows=_class_rows(facts),
        num_classes=len(facts.class_names),
        comparison=_comparison(facts),
        classes=_class_table(facts),
        pairs=_pair_table(facts),
        mistakes=facts.mistakes,
        members=[
            [
                f"{one['name']} ({one['run_id'][:8]})",
                *(f"{one[key]:.4f}" for key in ("weight", "val/accuracy", "test/accuracy")),
            ]
            for one in facts.members
        ],
        experiment="" if facts.members else resolved_yaml(facts.config),
    )


def findings(facts: RunFacts) -> dict[str, list[str]]:
    """What the run shows, worked out from its numbers alone: sentences for each part of a report.

    A part without anything to say has no sentences.
    """
    return {
        "result": _result(facts),
        "data": _data(facts),
        "training": _training(facts),
        "clipping": _clipping(facts),
        "comparison": _compared(facts),
        "classes": _classes(facts),
        "calibration": _calibration(facts),
        "mistakes": _mistakes(facts),
        "sample": _sample(facts),
        "next_steps": next_steps(facts),
    }


def _figures(facts: RunFacts) -> dict[str, str]:
    """The figures at the top of the page, by what they are."""
    error = facts.calibration_error(facts.temperature.used)
    figures = {
        "test accuracy": f"{facts.metrics['test/accuracy']:.4f}",
        "test macro F1": f"{facts.metrics['test/macro_f1']:.4f}",
        "always the most frequent class": f"{majority_share(facts.confusions['test']):.4f}",
        "calibration error on test": "–" if math.isnan(error) else f"{error:.1%}",
    }
    if facts.history:
        figures["best epoch"] = f"{facts.best_epoch} of {len(facts.history)}"
        epochs = [*facts.history, *facts.refit]
        figures["time in training"] = duration(sum(one["time/epoch_s"] for one in epochs))
    return figures


def _result(facts: RunFacts) -> list[str]:
    val, test = facts.metrics["val/accuracy"], facts.metrics["test/accuracy"]
    num_rows = int(facts.confusions["test"].sum())
    low, high = interval_of_share(test, num_rows)
    chosen = f", by whose {facts.config.training.metric} the epoch was chosen" * bool(facts.history)
    sentences = [
        f"{test:.1%} of {counted(num_rows, 'test row')} are classified correctly; of other rows "
        f"of this kind {low:.1%} to {high:.1%} would be, with 95% certainty.",
        f"On val{chosen}, it is {val:.1%}{', before the refit' if facts.is_refitted else ''}.",
    ]
    spread = math.sqrt(test * (1 - test) * (1 / num_rows + 1 / max(1, _num_val(facts))))
    if val - test > 3 * spread > 0:
        sentences.append(
            "Test is clearly lower than val: its texts may be of another kind, such as a later "
            "time or another source."
        )
    return sentences


def _data(facts: RunFacts) -> list[str]:
    """As `prepare` prints them, without what the tables show."""
    manifest, kept = facts.manifest, []
    for line in report_lines(manifest):
        kind, _, text = line.partition(": ")
        if not any(text.startswith(f"{split} ") and kind == "data" for split in manifest.splits):
            kept.append(f"{text[0].upper()}{text[1:]}.")
    return kept


def _split_table(facts: RunFacts) -> list[list[str]]:
    """For each split: rows, tokens of a text, and the share of unknown tokens."""
    rows = []
    for name, stats in facts.manifest.splits.items():
        lengths = stats.length_quantiles
        p10, median, p90, longest = (f"{lengths[q]:,.0f}" for q in ("p10", "p50", "p90", "max"))
        unknown = f"{stats.unknown_token_rate:.1%}"
        rows.append([name, f"{stats.num_rows:,}", median, f"{p10} to {p90}", longest, unknown])
    return rows


def _class_rows(facts: RunFacts) -> list[list[str]]:
    """For each class, the most frequent first, its rows and their share of each split."""
    splits = {name: facts.manifest.splits[name] for name in SPLITS}  # texts without labels: none
    names = sorted(facts.class_names, key=lambda name: -splits["train"].class_counts[name])
    return [
        [
            name,
            *(
                f"{stats.class_counts[name]:,} ({stats.class_counts[name] / stats.num_rows:.1%})"
                for stats in splits.values()
            ),
        ]
        for name in names[:MAX_CLASSES]
    ]


def _training(facts: RunFacts) -> list[str]:
    history = facts.history
    if not history:
        return []
    training, best, last = facts.config.training, history[facts.best_epoch - 1], history[-1]
    figures = (
        f"train accuracy {best['train/accuracy']:.4f}, val accuracy {best['val/accuracy']:.4f}."
    )
    sentences = [
        f"Epoch {facts.best_epoch} of {len(history)} was the best by {training.metric}: {figures}"
        if facts.refit
        else f"The model is that of epoch {facts.best_epoch} of {len(history)}, the best by "
        f"{training.metric}: {figures}",
        *_refit(facts),
    ]
    if len(history) < training.epochs:
        sentences.append(
            f"Training stopped before epoch {training.epochs}, as {training.metric} did not "
            f"improve for {counted(training.early_stopping or 0, 'epoch')}."
        )
    if diverged := divergence(history, num_classes=len(facts.class_names)):
        sentences.append(f"{diverged[0].upper()}{diverged[1:]}.")
    elif epoch := overfit_after(facts):
        sentences.append(
            f"It overfits after epoch {epoch}: val loss {history[epoch - 1]['val/loss']:.4f} "
            f"there, {last['val/loss']:.4f} in the end."
        )
    if smoothing := training.label_smoothing:
        sentences.append(
            f"The train loss is that of labels smoothed by {smoothing:g}; val's is of the labels "
            "themselves, so the two cannot be compared."
        )
    if training.ema is not None:
        sentences.append(
            "Val and test are of the weights' moving average (training.ema "
            f"{training.ema:g}), which is the model; train is of the weights that were trained."
        )
    skipped = round(sum(one["grad_norm/nonfinite_steps"] for one in (*history, *facts.refit)))
    if skipped:
        sentences.append(f"{counted(skipped, 'step')} had no finite gradient and changed nothing.")
    sentences.append(f"It trained {last['throughput/rows_per_s']:,.0f} rows a second.")
    return sentences


def _refit(facts: RunFacts) -> list[str]:
    if not facts.refit:
        return []
    last = facts.refit[-1]
    sentences = [
        f"The model was then trained again from the initial weights, on train and val, for "
        f"{counted(len(facts.refit), 'epoch')} with the rates and the clip value of the first "
        f"training (training.refit): accuracy {last['train/accuracy']:.4f} and loss "
        f"{last['train/loss']:.4f} on both in the last epoch.",
        "What is told of test is of this model; what is told of val, of the curves and of the "
        "gradients is of the first training.",
    ]
    if diverged := divergence(facts.refit, num_classes=len(facts.class_names)):
        sentences.append(f"In the refit, {diverged}.")
    return sentences


def _clipping(facts: RunFacts) -> list[str]:
    if not facts.clip:
        return []
    limit, reason = facts.clip["max_norm"], facts.clip["reason"]
    if limit is None:
        return [f"Gradients were not clipped ({reason})."]
    share = facts.clip["clipped_fraction"]
    return [f"{share:.1%} of the steps were clipped, to a norm of {limit:.4g} ({reason})."]


def _comparison(facts: RunFacts) -> list[list[str]]:
    """Val accuracy, test accuracy and test macro F1 of this model and of simpler ones."""
    rows = [[f"always {_majority(facts)}", *(f"{value:.4f}" for value in _constant(facts))]]
    keys = ("val/accuracy", "test/accuracy", "test/macro_f1")
    if facts.linear is not None:
        linear = [f"{facts.linear.metrics[key]:.4f}" for key in keys]
        rows.append([facts.linear.kind, *linear])
    own = {"Training run": "this run", "Ensemble": "this ensemble"}.get(
        facts.kind, "this linear model"
    )
    return [*rows, [own, *(f"{facts.metrics[key]:.4f}" for key in keys)]]


def _majority(facts: RunFacts) -> str:
    """The class that is most frequent on train."""
    counts = facts.manifest.splits["train"].class_counts
    return max(facts.class_names, key=lambda name: counts[name])


def _constant(facts: RunFacts) -> tuple[float, float, float]:
    """Val accuracy, test accuracy and test macro F1 of always answering that class."""
    shares, name = {}, _majority(facts)
    for split in ("val", "test"):
        num_rows = facts.confusions[split].sum(axis=1)
        shares[split] = float(num_rows[facts.class_names.index(name)] / max(1, num_rows.sum()))
    num_present = max(1, int((facts.confusions["test"].sum(axis=1) > 0).sum()))
    f1 = 2 * shares["test"] / (1 + shares["test"])
    return shares["val"], shares["test"], f1 / num_present


def _compared(facts: RunFacts) -> list[str]:
    if facts.linear is None:
        if not facts.history:
            return []
        return [
            "A linear model on the same tokens is the baseline to beat; `rnnlane baseline` with "
            "this experiment fits one, and the next report of this data shows it."
        ]
    own, linear = facts.metrics["test/accuracy"], facts.linear.metrics["test/accuracy"]
    lead, num_rows = own - linear, int(facts.confusions["test"].sum())
    # Both have chance in them. That both err on the same rows, which makes it less, is not known.
    spread = math.sqrt(max(own * (1 - own) + linear * (1 - linear), 1e-9) / num_rows)
    verdict = (
        "which is little for that many test rows"
        if abs(lead) < 2 * spread
        else "more than the chance of drawing these test rows explains"
    )
    ahead = "ahead of" if lead > 0 else "behind"
    unequal = (
        "The model of this run has trained on val as well, and the linear model on train alone."
    )
    return [
        f"In test accuracy this run is {abs(lead):.4f} {ahead} the linear model "
        f"({facts.linear.origin}), {verdict}."
        if lead
        else f"This run and the linear model ({facts.linear.origin}) have one test accuracy.",
        *([unequal] if facts.refit else []),
    ]


def _classes(facts: RunFacts) -> list[str]:
    names = facts.class_names
    notes = [
        note
        for split in ("val", "test")
        for note in metric_notes(facts.confusions[split], names, split=split)
    ]
    sentences = [f"{note[0].upper()}{note[1:]}." for note in notes]
    if len(names) > MAX_CLASSES:
        sentences.append(f"The {NUM_WORST} of {len(names):,} classes with the lowest F1 on test.")
    never = [
        one["class"]
        for one in class_metrics(facts.confusions["test"], names)
        if one["rows"] and not one["recall"]
    ]
    if never and facts.verdict is None:
        listed = ", ".join(never[:5]) + (f" and {len(never) - 5} more" if len(never) > 5 else "")
        sentences.append(f"No test row of {listed} is found.")
    return sentences


def _has_matrix(facts: RunFacts) -> bool:
    return len(facts.class_names) <= MAX_CLASSES


def _class_table(facts: RunFacts) -> list[list[str]]:
    rows = class_metrics(facts.confusions["test"], facts.class_names)
    if not _has_matrix(facts):
        with_rows = [one for one in rows if one["rows"]]
        rows = sorted(with_rows, key=lambda one: (one["f1"], -one["rows"]))[:NUM_WORST]
    return [
        [one["class"], *(_share(one[key]) for key in ("precision", "recall", "f1")), one["rows"]]
        for one in rows
    ]


def _pair_table(facts: RunFacts) -> list[list[str]]:
    if len(facts.class_names) == 2:
        return []
    pairs = confused_pairs(facts.confusions["test"], facts.class_names, limit=NUM_PAIRS)
    return [[p["true"], p["predicted"], f"{p['rows']:,}", f"{p['share']:.1%}"] for p in pairs]


def _calibration(facts: RunFacts) -> list[str]:
    used, fitted = facts.temperature
    plain, own = facts.calibration_error(1.0), facts.calibration_error(used)
    if math.isnan(plain):
        return []
    sentences = [
        f"On test, the model's confidence is off by {own:.1%} on average (expected calibration "
        "error, 15 bins)."
    ]
    if fitted is None:
        return [*sentences, "No temperature can be fitted: val has no mistake that one mends."]
    after = facts.calibration_error(fitted)
    if facts.is_refitted:
        sentences.append(
            "A temperature is fitted to the answers on val before the refit, as the refit has "
            "trained on val, and is carried over to the model."
        )
    setting = facts.config.inference.temperature
    certain = "too certain" if fitted > 1 else "too hesitant"
    key = "inference.temperature: fit"
    if setting == "fit":
        sentences.append(
            f"Its temperature is {used:.3f}, fitted on val ({key}): without it, the model would be "
            f"{certain} and the error {plain:.1%}."
        )
    elif setting is not None:
        sentences.append(
            f"Its temperature is {used:g}, as given: with 1 the error would be {plain:.1%}, and "
            f"with {fitted:.3f}, which fits val best, {after:.1%}."
        )
    elif own - after >= WORTHWHILE:
        sentences.append(
            f"As it is, the model is {certain}: with a temperature of {fitted:.3f}, which fits val "
            f"best ({key}), the error would be {after:.1%}."
        )
    else:
        sentences.append(
            f"A temperature would not help: with {fitted:.3f}, which fits val best ({key}), the "
            f"error would be {after:.1%}."
        )
    return sentences


def _calibration_curves(facts: RunFacts) -> dict[str, list[Bin]]:
    """The bins on test: of the model as it is, and with other temperatures."""
    used, fitted = facts.temperature
    temperatures = {"as it answers": used}
    if used != 1.0:
        temperatures["without its temperature"] = 1.0
    if fitted is not None and fitted != used:
        temperatures[f"with the temperature {fitted:.3g}"] = fitted
    return {label: facts.calibration[value] for label, value in temperatures.items()}


def _mistakes(facts: RunFacts) -> list[str]:
    if not facts.mistakes:
        return ["Every val row is classified correctly."]
    return [
        "Rows of val, so that test stays unseen. Look for wrong labels among them first, then "
        "for what the texts have in common.",
        *(["They are mistakes before the refit."] if facts.is_refitted else []),
    ]


def _sample(facts: RunFacts) -> list[str]:
    if facts.sample is None or facts.verdict:
        return []
    sample, text = facts.sample, facts.sample["text"]
    if len(text) > _MAX_SAMPLE_CHARS:
        text = f"{text[:_MAX_SAMPLE_CHARS]} …"
    truth = f" It is {sample['true_label']}." if "true_label" in sample else ""
    if truth and facts.is_refitted:
        truth += " It is a row of val, which the model has trained on."
    probability = sample["probabilities"][sample["label"]]
    return [f"“{text}” is {sample['label']} with {probability:.1%}.{truth}"]


def _num_val(facts: RunFacts) -> int:
    return int(facts.confusions["val"].sum())


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
