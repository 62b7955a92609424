"""The classes of a data set: their names and order, which are too rare, what is no class at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnlane.config.data import DataConfig
from rnnlane.errors import DataError

Ints = npt.NDArray[np.int64]

# Fewer different values may be classes whatever they look like.
_FEW_VALUES = 20
_SHOWN = 10
_MAX_DIGITS = 100

_DECIMAL = re.compile(r"[-+]?\d*[.,]\d+([eE][-+]?\d+)?")
_LIST = re.compile(r"""\[\s*(["']).*\1\s*\]""", re.DOTALL)


def resolve_labels(counts: Mapping[str, int], config: DataConfig) -> tuple[str, ...]:
    """The class names by label.

    Args:
        counts: rows by the name that they give.
        config: the classes, and what is done with other names.

    Raises:
        DataError: a label is not among ``data.classes``, or the column does not hold classes.
    """
    if config.classes is None:
        check_label_column(counts, max_classes=config.max_classes)
    class_names = config.classes or tuple(sorted(counts, key=_numbers_first))
    unknown = sorted(set(counts) - set(class_names), key=lambda name: (-counts[name], name))
    if unknown and config.unknown_label == "error":
        raise _unknown_label(unknown, counts, class_names)
    return class_names


def _numbers_first(name: str) -> tuple[bool, int, str]:
    """Sorts "10" after "9" and numbers before words."""
    # int() refuses thousands of digits.
    is_number = len(name) <= _MAX_DIGITS and name.removeprefix("-").isdecimal()
    return not is_number, int(name) if is_number else 0, name


def _unknown_label(
    unknown: Sequence[str], counts: Mapping[str, int], class_names: Sequence[str]
) -> DataError:
    shown = ", ".join(f"{name!r} ({counts[name]} rows)" for name in unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return DataError(
        f"labels must be among {', '.join(map(repr, class_names))}, but got {shown}{more}",
        where="data.classes",
        remedy="add them to data.classes, or set data.unknown_label: drop",
    )


def check_label_column(counts: Mapping[str, int], *, max_classes: int) -> None:
    """Refuses values that are no classes; ``data.classes`` overrides it.

    Args:
        counts: rows by label.
        max_classes: ``data.max_classes``.

    Raises:
        DataError: they are measurements, texts, ids or several labels in one.
    """
    num_rows = sum(counts.values())
    decimals = sorted(name for name in counts if _DECIMAL.fullmatch(name))
    some = ", ".join(map(shortened, (decimals or sorted(counts, key=_numbers_first))[:3]))
    found = f"got {len(counts):,} different values in {num_rows:,} rows, such as {some}"
    if len(counts) > _FEW_VALUES and len(decimals) * 2 >= len(counts):
        raise DataError(
            f"a label must be a class, and numbers with decimals are not classes here, but {found}",
            where="data.columns.label",
            remedy="this is a measurement or not the label column; name the label column in "
            "data.columns.label, or turn the numbers into a few classes",
        )
    if len(counts) > max_classes:
        raise DataError(
            f"there may be at most {max_classes:,} classes, but {found}",
            where="data.columns.label",
            remedy="this is probably not the label column; name the right one in "
            "data.columns.label, or raise data.max_classes",
        )
    if len(counts) > _FEW_VALUES and num_rows < 3 * len(counts):
        raise DataError(
            f"a class must have several rows, but {found}",
            where="data.columns.label",
            remedy="this is probably not the label column; name the right one in "
            "data.columns.label, or list the classes in data.classes",
        )
    if (several := _several_labels(counts)) is not None:
        raise DataError(
            f"a row must have one label, but got {several!r}, which is several: multi-label data "
            "is not supported",
            where="data.columns.label",
            remedy="give each row one label; if this is one class, list all classes in "
            "data.classes",
        )


def _several_labels(names: Mapping[str, int]) -> str | None:
    """A label that is a list, or whose parts are all labels of other rows."""
    for name in sorted(names):
        if _LIST.fullmatch(name):
            return name
        for separator in "|;,":
            parts = [part.strip() for part in name.split(separator)]
            if len(parts) > 1 and all(part in names for part in parts):
                return name
    return None


@dataclass(frozen=True)
class Regrouping:
    """What ``data.rare_classes`` makes of the classes.

    Attributes:
        class_names: by new label.
        new_labels: int64 [C], by old label; -1 for a class that is dropped.
        warning: which classes are concerned.
    """

    class_names: tuple[str, ...]
    new_labels: Ints
    warning: str


def regroup_rare_classes(
    sizes: Mapping[str, int], *, needed: int, config: DataConfig
) -> Regrouping | None:
    """Drops or merges the classes that are too small for every split; None if none is.

    Args:
        sizes: different texts by class name, in the order of the labels.
        needed: least texts of a class.
        config: the policy.

    Raises:
        DataError: some are, and the policy is ``error``.
    """
    rare = {name: size for name, size in sizes.items() if size < needed}
    if not rare:
        return None
    if config.rare_classes == "error":
        raise too_small(sizes, needed=needed)
    target = None if config.rare_classes == "drop" else config.rare_classes.partition(":")[2]
    new_of = {name: target if name in rare else name for name in sizes}
    names: Sequence[str] = list(dict.fromkeys(name for name in new_of.values() if name is not None))
    if config.classes is None:
        names = sorted(names, key=_numbers_first)
    position = {name: label for label, name in enumerate(names)}
    labels = [-1 if (new := new_of[name]) is None else position[new] for name in sizes]
    done = "dropped" if target is None else f"merged into {target!r}"
    return Regrouping(
        class_names=tuple(names),
        new_labels=np.array(labels, dtype=np.int64),
        warning=f"rare classes are {done}, by texts: {counts_text(rare)}",
    )


def too_small(sizes: Mapping[str, int], *, needed: int, rare_classes: str = "error") -> DataError:
    """The error that names all classes with fewer texts than needed.

    Args:
        sizes: different texts by class name.
        needed: 2 where only train and val are dealt, else 3.
        rare_classes: the policy, which does not help.
    """
    rare = {name: size for name, size in sizes.items() if size < needed}
    sides = "train and val" if needed == 2 else "train, val and test"
    return DataError(
        f"a class must have a row for each of {sides}, so at least {needed} rows with different "
        f"texts, but {len(rare)} of {len(sizes)} classes {'has' if len(rare) == 1 else 'have'} "
        f"fewer: {counts_text(rare)}",
        where="data.source",
        remedy="give more rows, or set data.rare_classes: drop"
        + (" or merge:other" if rare_classes == "error" else ""),
    )


def counts_text(counts: Mapping[str, int]) -> str:
    """Counts by class name, for people; of many classes, the smallest and the largest.

    >>> counts_text({"1": 1368, "2": 5})
    "'1': 1,368, '2': 5"
    """
    entries = [f"{shortened(name)}: {count:,}" for name, count in counts.items()]
    if len(entries) <= _SHOWN:
        return ", ".join(entries)
    ordered = sorted(counts, key=lambda name: counts[name])
    few, many = (
        ", ".join(f"{shortened(name)}: {counts[name]:,}" for name in part)
        for part in (ordered[: _SHOWN // 2], ordered[-_SHOWN // 2 :])
    )
    return f"{few} ... {many}, of {len(counts):,} classes"


def shortened(name: str) -> str:
    """A class name as errors quote it."""
    return repr(name if len(name) <= 40 else f"{name[:37]}...")
