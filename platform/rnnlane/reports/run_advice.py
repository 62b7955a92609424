"""What to try next after a run: rules, each of which needs evidence in the run itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from rnnlane.reports.page import counted
from rnnlane.reports.run_facts import RunFacts
from rnnlane.reports.verdict import divergence, interval_of_share, majority_share

MAX_STEPS = 8
# Of the lowest val loss: how far it must rise again to count as overfitting.
_RISE = 1.05
_NEVER, _ALWAYS = 0.01, 0.9
# What a temperature must take off the calibration error to be worth it.
WORTHWHILE = 0.01
_LONG_TEXT = 100
_FEW_ROWS = 500


def next_steps(facts: RunFacts) -> list[str]:
    """Sentences, the most urgent first; at least one."""
    steps = [step for rule in _RULES for step in rule(facts)]
    return steps[:MAX_STEPS] or [
        "Nothing stands out: train it with other values of training.seed to see how much of the "
        "result is chance, or let `rnnlane tune` search.",
    ]


def overfit_after(facts: RunFacts) -> int | None:
    """The epoch after which the val loss rose while the train loss fell; None if it did not."""
    losses = [record.get("val/loss", math.nan) for record in facts.history]
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite or not math.isfinite(losses[-1]):
        return None
    lowest = losses.index(min(finite))
    fell = facts.history[-1]["train/loss"] < facts.history[lowest]["train/loss"]
    return lowest + 1 if fell and losses[-1] > _RISE * losses[lowest] else None


def _nothing_learned(facts: RunFacts) -> Iterator[str]:
    if facts.verdict is None or not facts.history:
        return
    training, model = facts.config.training, facts.config.model
    if divergence(facts.history, num_classes=len(facts.class_names)):
        return
    yield (
        "Check that the labels belong to the texts, then raise training.learning_rate (it is "
        f"{training.learning_rate:g}) or training.epochs (they are {training.epochs}): "
        f"train accuracy is {facts.history[-1]['train/accuracy']:.4f}."
    )
    median = facts.manifest.splits["train"].length_quantiles["p50"]
    if model.pooling == "last" and median > _LONG_TEXT:
        yield (
            "Set model.pooling to max or mean: half of the texts have more than "
            f"{median:.0f} tokens, and the last state may have forgotten the first of them."
        )


def _diverged(facts: RunFacts) -> Iterator[str]:
    found = divergence(facts.history, num_classes=len(facts.class_names))
    if found is None:
        return
    clip = ", or set training.clip.policy to auto" if facts.clip.get("max_norm") is None else ""
    rate = facts.config.training.learning_rate
    yield f"Lower training.learning_rate (it is {rate:g}){clip}: {found}."


def _behind_linear(facts: RunFacts) -> Iterator[str]:
    if facts.linear is None or not facts.history:
        return
    linear = facts.linear.metrics["test/accuracy"]
    lead, share = linear - facts.metrics["test/accuracy"], majority_share(facts.confusions["test"])
    if facts.verdict and linear <= share:
        yield (
            f"Look at the texts and labels themselves: the linear model ({linear:.4f}) is no "
            f"better than the most frequent class ({share:.4f}) either, so the texts may not tell "
            "the classes apart."
        )
    elif lead > 0:
        yield (
            f"Beat the linear baseline, or use it: its test accuracy is {lead:.4f} higher. Where "
            "single words decide, a recurrent model needs more text, pretrained vectors "
            "(model.pretrained_vectors) or a search (`rnnlane tune`)."
        )


def _overfitting(facts: RunFacts) -> Iterator[str]:
    epoch = overfit_after(facts)
    if epoch is None:
        return
    lowest, last = facts.history[epoch - 1], facts.history[-1]
    model = facts.config.model
    remedies = [
        "stop sooner (training.early_stopping)"
        if facts.config.training.early_stopping is None
        else "",
        "add dropout (model.embedding_dropout, model.head_dropout)"
        if not model.has_dropout
        else "add more dropout",
        "use fewer units",
    ]
    yield (
        f"Against overfitting, {', '.join(filter(None, remedies[:-1]))} or {remedies[-1]}: after "
        f"epoch {epoch} the val loss rose from {lowest['val/loss']:.4f} to "
        f"{last['val/loss']:.4f}, while the train loss fell from {lowest['train/loss']:.4f} to "
        f"{last['train/loss']:.4f}."
    )
    if facts.best_epoch > epoch and facts.config.training.metric != "val/loss":
        yield (
            "If probabilities matter more than labels, set training.metric to val/loss: epoch "
            f"{epoch} has the lowest, and {facts.config.training.metric} chose epoch "
            f"{facts.best_epoch}."
        )


def _still_improving(facts: RunFacts) -> Iterator[str]:
    num_epochs, training = len(facts.history), facts.config.training
    if facts.verdict is None and num_epochs == training.epochs == facts.best_epoch:
        yield (
            f"Raise training.epochs: by {training.metric} the best of the "
            f"{counted(num_epochs, 'epoch')} was the last one."
            if num_epochs > 1
            else "Raise training.epochs: one epoch does not show whether more would help."
        )


def _underfitting(facts: RunFacts) -> Iterator[str]:
    if facts.verdict or len(facts.history) < 3 or facts.best_epoch == len(facts.history):
        return
    # An epoch's train accuracy is over its steps, so that of an early one is that of worse weights.
    train = max(record["train/accuracy"] for record in facts.history)
    val = facts.history[facts.best_epoch - 1]["val/accuracy"]
    if train < 0.95 and train <= val + 0.01:
        yield (
            "Try a larger model (model.hidden_size, model.bidirectional) or a higher "
            f"training.learning_rate: in no epoch did it do better on train ({train:.4f}) than on "
            f"val ({val:.4f}), so it is not overfitting."
        )


def _clipping(facts: RunFacts) -> Iterator[str]:
    share, limit = facts.clip.get("clipped_fraction", 0.0), facts.clip.get("max_norm")
    if limit is None:
        return
    if share >= _ALWAYS:
        key = "of_mean" if facts.config.training.clip.policy == "auto" else "max_norm"
        yield (
            f"Raise training.clip.{key} or lower training.learning_rate: {share:.0%} of the steps "
            f"were clipped, to {limit:.4g}, so only the direction of the gradients counted."
        )
    elif share <= _NEVER and facts.config.training.clip.policy == "fixed" and facts.verdict is None:
        yield (
            f"Leave out clipping, or try a smaller value: {limit:.4g} was exceeded in {share:.1%} "
            "of the steps, so this run trained as without clipping."
        )


def _vocabulary(facts: RunFacts) -> Iterator[str]:
    share = facts.manifest.splits["val"].unknown_token_rate
    text = facts.config.text
    if share < 0.05 or text.tokenizer == "characters":
        return
    is_full = facts.manifest.vocabulary_size >= text.vocabulary.max_size
    change = (
        f"Raise text.vocabulary.max_size (it is {text.vocabulary.max_size:,})"
        if is_full
        else f"Lower text.vocabulary.min_count (it is {text.vocabulary.min_count})"
        if text.vocabulary.min_count > 1
        else "Give more texts, or set text.tokenizer to characters"
    )
    yield f"{change}: {share:.1%} of the val tokens are unknown to the model."


def _truncation(facts: RunFacts) -> Iterator[str]:
    num_cut = facts.manifest.cut.get("max_length", 0)
    num_rows = sum(stats.num_rows for stats in facts.manifest.splits.values())
    if num_rows and num_cut / num_rows > 0.1:
        text = facts.config.text
        other = "tail" if text.keep == "head" else "head"
        yield (
            f"Raise text.max_length (it is {text.max_length}), or keep the {other} of a text "
            f"(text.keep): {num_cut / num_rows:.0%} of the texts are cut."
        )


def _imbalance(facts: RunFacts) -> Iterator[str]:
    accuracy, macro_f1 = facts.metrics["test/accuracy"], facts.metrics["test/macro_f1"]
    if facts.verdict or accuracy - macro_f1 < 0.1 or not facts.history:
        return
    changes = [
        "training.class_weights to balanced"
        if facts.config.training.class_weights == "none"
        else "",
        "training.metric to val/macro_f1" if facts.config.training.metric != "val/macro_f1" else "",
    ]
    if any(changes):
        yield (
            f"Set {' and '.join(filter(None, changes))} if rare classes matter: macro F1 "
            f"({macro_f1:.4f}) is far below accuracy ({accuracy:.4f})."
        )


def _calibration(facts: RunFacts) -> Iterator[str]:
    fitted = facts.temperature.fitted
    if facts.verdict or fitted is None or facts.config.inference.temperature is not None:
        return
    before, after = facts.calibration_error(1.0), facts.calibration_error(fitted)
    if before - after >= WORTHWHILE:
        yield (
            "Set inference.temperature to fit if you use the probabilities: it divides the logits "
            f"by {fitted:.2f}, which takes the calibration error on test from {before:.1%} to "
            f"{after:.1%}."
        )


def _few_rows(facts: RunFacts) -> Iterator[str]:
    num_rows = facts.manifest.splits["val"].num_rows
    if num_rows < _FEW_ROWS:
        low, high = interval_of_share(facts.metrics["val/accuracy"], max(num_rows, 1))
        yield (
            f"Give val more rows (data.val), or trust small differences less: with {num_rows:,} "
            f"the accuracy may be anything from {low:.1%} to {high:.1%}."
        )


_RULES: tuple[Callable[[RunFacts], Iterator[str]], ...] = (
    _diverged,
    _nothing_learned,
    _behind_linear,
    _still_improving,
    _overfitting,
    _underfitting,
    _imbalance,
    _clipping,
    _vocabulary,
    _truncation,
    _calibration,
    _few_rows,
)
