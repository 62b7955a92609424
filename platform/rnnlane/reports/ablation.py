"""An ablation in words and as a table, for the report, best.yaml and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnnlane.records.ablation import LEVEL, Ablation, PairedDifference, Setting

HEADS = ("setting", "mean", "difference", f"{LEVEL:.0%} interval", "seeds", "verdict")


def table_rows(ablation: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of :data:`HEADS` for the winner, each setting, and what was left out.

    Args:
        ablation: as :meth:`Ablation.as_dict` gives it.
    """
    rows = [
        _row(setting, is_recommended=setting["label"] == ablation["recommended"])
        for setting in (ablation["winner"], *ablation["settings"])
    ]
    return rows + [
        (label, "–", "–", "–", "0", f"left out: {problem}")
        for label, problem in ablation["skipped"].items()
    ]


def compared(ablation: Ablation, keys: Sequence[str]) -> list[str]:
    """What changing any of some keys does to the winner; nothing if none was changed."""
    settings = [setting for key in keys for setting in ablation.of_key(key)]
    if not settings:
        return []
    own = ", ".join(f"{key} {ablation.own[key]}" for key in keys if key in ablation.own)
    num_seeds = len(ablation.seeds)
    sentences = [
        f"The winner ({own}) was trained again with nothing but this changed, {num_seeds} seeds "
        "each and paired by seed; none of these seeds had chosen it.",
        *(_sentence(ablation, setting) for setting in settings),
    ]
    differences = [one for one in map(ablation.difference, settings) if one is not None]
    margins = [(one.high - one.low) / 2 for one in differences if one.has_interval]
    if margins:
        widest = max(margins)
        sentences.append(
            f"Intervals from so few seeds are wide: differences up to {widest:.4f} could go "
            "unseen here, and of 20 comparisons without a difference one shows one by chance."
        )
    return sentences


def recommendation(ablation: Ablation, metric: str) -> str:
    """Which setting best.yaml has, and why."""
    chosen = ablation.recommended
    if chosen is not ablation.winner:
        difference = ablation.difference(chosen)
        assert difference is not None
        return (
            f"Recommended: the winner with {chosen.label} instead of {ablation.own[chosen.key]}, "
            "the simplest setting within one standard error of the best. Against the winner its "
            f"{metric} is {_by(ablation, difference)}."
        )
    if None in chosen.values:
        return "Recommended: the winner as it is; too little of the ablation has finished."
    return (
        "Recommended: the winner as it is, the simplest setting within one standard error of the "
        "best."
    )


def _row(setting: Mapping[str, Any], *, is_recommended: bool) -> tuple[str, ...]:
    mean, difference = setting["mean"], setting.get("difference")
    finished = sum(value is not None for value in setting["values"])
    why = f" ({'; '.join(dict.fromkeys(setting['reasons']))})" if setting["reasons"] else ""
    found = setting.get("verdict", "the reference")
    return (
        setting["label"],
        "–" if mean is None else f"{mean:.4f}",
        "–" if difference is None else f"{difference:+.4f}",
        "–" if setting.get("low") is None else f"{setting['low']:+.4f} to {setting['high']:+.4f}",
        f"{finished} of {len(setting['values'])}",
        f"{found}{', recommended' if is_recommended else ''}{why}",
    )


def _sentence(ablation: Ablation, setting: Setting) -> str:
    difference = ablation.difference(setting)
    missing = len(setting.reasons)
    reasons = "; ".join(dict.fromkeys(setting.reasons))
    unfinished = (
        f" {missing} of its {len(ablation.seeds)} seeds did not finish: {reasons}."
        if missing
        else ""
    )
    if difference is None:
        return f"{setting.label} was not measured.{unfinished}"
    if difference.is_seen:
        return f"{setting.label} was {_by(ablation, difference)}.{unfinished}"
    return f"{setting.label}: no difference seen, {_by(ablation, difference)}.{unfinished}"


def _by(ablation: Ablation, difference: PairedDifference) -> str:
    """``0.0312 worse (95% interval -0.0500 to -0.0124, 3 seeds)``, or why there is no interval."""
    how = "better" if _is_better(ablation, difference) else "worse"
    amount = f"{abs(difference.mean):.4f}"
    amount = "equal on average" if amount == "0.0000" else f"{amount} {how}"
    if not difference.has_interval:
        return f"{amount} with each of {difference.num_pairs} seeds, which gives no interval"
    return (
        f"{amount} ({LEVEL:.0%} interval {difference.low:+.4f} to {difference.high:+.4f}, "
        f"{difference.num_pairs} seeds)"
    )


def _is_better(ablation: Ablation, difference: PairedDifference) -> bool:
    return (difference.mean > 0) == ablation.is_larger_better
