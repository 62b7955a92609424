"""What became of the rows, in a few lines for people, from the manifest of prepared data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnlane.config.experiment import ExperimentConfig
from rnnlane.data.prepare.labels import counts_text, shortened
from rnnlane.data.prepare.prepared import GroupStats, Manifest

_WORDS = {
    "null_text": "without a text",
    "null_label": "without a label",
    "empty_text": "with an empty text",
    "unknown_label": "of other classes",
    "duplicate_id": "with an id seen before",
    "rare_class": "of rare classes",
    "conflicting_label": "of texts with several labels",
    "train_like_val_or_test": "of train that look to the model like rows of val or test",
    "val_like_test": "of val that look to the model like rows of test",
    "duplicates": "of a text and label seen before",
    "train_also_in_test": "of a text in the official test",
    "rows_of_test": "of test, which pretraining does not read",
    "unlabeled_null_text": "unlabeled without a text",
    "unlabeled_empty_text": "unlabeled with an empty text",
    "unlabeled_like_val_or_test": "unlabeled that equal or look like rows of val or test",
    "unlabeled_duplicates": "unlabeled of a text seen before",
    "unlabeled_also_in_train": "unlabeled of a text in train",
    "invalid_utf8": "with undecodable bytes",
    "max_chars": "at text.max_chars",
    "max_length": "at text.max_length",
}

# Refused above data.max_unknown, which is more.
_MUCH_UNKNOWN = 0.2


def report_lines(manifest: Manifest) -> list[str]:
    """Rows read, dropped, merged, repaired and cut; conflicts; class counts; unknown tokens."""
    used = sum(stats.num_rows for stats in manifest.splits.values())
    lines = [
        f"{manifest.num_rows_read:,} rows read, {used:,} used"
        + _counted("dropped", manifest.dropped)
        + _counted("merged", manifest.merged)
    ]
    changed = _counted("repaired texts", manifest.repaired) + _counted("cut texts", manifest.cut)
    if changed:
        lines.append(changed.removeprefix("; "))
    if manifest.num_conflicts:
        done = manifest.config["data"]["conflicts"]
        lines.append(
            f"texts with several labels: {manifest.num_conflicts:,}, rows by class "
            f"{counts_text(manifest.conflicts)} (data.conflicts: {done})"
        )
    lines += [
        f"{name} {stats.num_rows:,} rows{_classes(stats.class_counts)}"
        for name, stats in manifest.splits.items()
    ]
    if manifest.groups is not None:
        lines.append(_groups_line(manifest.groups))
    unknown = manifest.splits["val"].unknown_token_rate
    lines.append(
        f"vocabulary of {manifest.vocabulary_size:,} tokens; {unknown:.1%} of the val tokens are "
        "not in it"
    )
    warnings = [*manifest.warnings, *_absent_classes(manifest)]
    if unknown > _MUCH_UNKNOWN and manifest.config["text"]["tokenizer"] != "characters":
        warnings.append(
            "many tokens are not in the vocabulary; for names, and for languages written without "
            "spaces, set text.tokenizer: characters"
        )
    return [f"data: {line}" for line in lines] + [f"warning: {text}" for text in warnings]


def variant_lines(variants: Sequence[ExperimentConfig], manifests: Sequence[Manifest]) -> list[str]:
    """The lines of each data set of a search; of all but the first only what is different."""
    lines: list[str] = []
    for number, (variant, manifest) in enumerate(zip(variants, manifests, strict=True), start=1):
        if len(variants) > 1:
            settings = _difference(variant, variants)
            lines.append(f"data set {number} of {len(variants)}: {settings}")
        lines += [line for line in report_lines(manifest) if line not in lines]
    return lines


def _difference(variant: ExperimentConfig, variants: Sequence[ExperimentConfig]) -> str:
    """The text settings in which the variants differ, as this one has them."""
    others = [_flat(other.text.model_dump(mode="json")) for other in variants]
    return ", ".join(
        f"text.{key}={value}"
        for key, value in _flat(variant.text.model_dump(mode="json")).items()
        if any(other[key] != value for other in others)
    )


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": inner for name, inner in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _groups_line(groups: GroupStats) -> str:
    """How many groups there are, and what keeping them together costs in balance."""
    line = (
        f"{groups.num_groups:,} groups, none in two splits, the largest of {groups.largest:,} rows"
    )
    for name, asked in groups.asked.items():
        dealt = groups.dealt[name]
        line += f"; {name} {sum(dealt.values()):,} rows of {sum(asked.values()):,} asked"
        off = max(asked, key=lambda label: abs(dealt[label] - asked[label]) / max(asked[label], 1))
        if dealt[off] != asked[off]:
            line += f" (furthest off: {shortened(off)}, {dealt[off]:,} of {asked[off]:,})"
    others = {
        "rows without a group stand alone": groups.num_missing,
        "joined with others that have equal texts": groups.num_joined,
        "have rows in the official test too": groups.num_in_test,
    }
    return line + "".join(f"; {count:,} {what}" for what, count in others.items() if count)


def _counted(what: str, counts: Mapping[str, int]) -> str:
    shown = [f"{count:,} {_WORDS.get(why, why)}" for why, count in counts.items() if count]
    return f"; {what}: {', '.join(shown)}" if shown else ""


def _classes(counts: Mapping[str, int]) -> str:
    return f": {counts_text(counts)}" if counts else ", without labels"


def _absent_classes(manifest: Manifest) -> list[str]:
    absent = {
        name: [label for label, count in stats.class_counts.items() if not count]
        for name, stats in manifest.splits.items()
    }
    return [
        f"{name} has no row of {', '.join(map(shortened, labels[:10]))}"
        f"{' and others' if len(labels) > 10 else ''}; its metrics are over the other classes"
        for name, labels in absent.items()
        if labels
    ]
