"""Which row goes to train, val or test: a pure function of the rows' content and a seed.

Neither the order nor the partitioning of the input matters, and rows of the same text are never
in two splits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rnnlane.config.experiment import DataConfig
from rnnlane.errors import DataError

TRAIN, VAL, TEST, MERGED = 0, 1, 2, -1
KEY_BYTES = 16

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class SplitAssignment:
    """Where each of N rows went.

    Attributes:
        split: int8 [N]: TRAIN, VAL, TEST or MERGED, for a row that another one represents.
        row_ids: int64 [N]: position in its split, in canonical order; -1 where merged.
        labels: int64 [N]: the label of the row's text, conflicts resolved.
        merged: ``duplicates``, rows merged into one of the same text; ``label_conflicts``, texts
            among them with several labels, which got the most common (of equals the smallest);
            ``train_also_in_test``, train rows dropped because the official test has their text.
    """

    split: npt.NDArray[np.int8]
    row_ids: Ints
    labels: Ints
    merged: dict[str, int]


def content_key(text: str) -> bytes:
    """16 bytes that identify a cleaned text; in practice, only equal texts share them."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=KEY_BYTES).digest()


def key_array(keys: Iterable[bytes]) -> Keys:
    """The keys as numbers that sort alike on every machine: uint64 [N, 2]."""
    return np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2).astype(np.uint64)


def assign_splits(
    keys: Keys,
    labels: Ints,
    *,
    official_test: Bools | None,
    config: DataConfig,
    seed: int,
    class_names: Sequence[str],
) -> SplitAssignment:
    """Merges rows of the same text and splits the rest, class by class.

    In each split a class has its share to within a row, and at least one row. Rows are dealt out
    in canonical order: by a seeded hash of the key, then by key.

    Args:
        keys: uint64 [N, 2]; see :func:`key_array`.
        labels: int64 [N], in [0, len(class_names)).
        official_test: bool [N], the rows that are the test split as published; None to hold out
            the share ``config.test``.
        config: the shares.
        seed: another seed gives another split and order.
        class_names: by label, for errors.

    Raises:
        DataError: fewer than two classes have rows, or a class has too few for every split.
    """
    is_test = np.zeros(len(keys), dtype=np.bool_) if official_test is None else official_test
    _check_class_count(labels, class_names)
    if official_test is not None:
        _check_official_test(labels[official_test], class_names)
    order, text = _canonical_order(keys, labels, seed=seed)
    split = np.full(len(keys), MERGED, dtype=np.int8)
    rest, resolved, merged = _merge_texts(text, labels[order], is_test[order])
    split[is_test] = TEST
    split[order[rest]] = _deal(
        resolved[rest],
        class_names,
        test_share=_exact(config.test) if official_test is None else None,
        val_share=_exact(config.val),
    )
    row_ids = np.full(len(keys), -1, dtype=np.int64)
    for side in (TRAIN, VAL, TEST):
        members = order[split[order] == side]
        row_ids[members] = np.arange(len(members))
    final = np.empty_like(labels)
    final[order] = resolved
    return SplitAssignment(split=split, row_ids=row_ids, labels=final, merged=merged)


def _canonical_order(keys: Keys, labels: Ints, *, seed: int) -> tuple[Ints, Ints]:
    """The rows by seeded hash, key and label; and the number of the text at each position.

    Returns:
        int64 [N] rows, int64 [N] text numbers, rising from 0.
    """
    first, second = keys[:, 0], keys[:, 1]
    mask = (1 << 64) - 1
    seeds = _mix(np.array([seed & mask, (seed >> 64) & mask], dtype=np.uint64))
    hashed = _mix(_mix(first ^ seeds[0]) ^ second ^ seeds[1])
    order = np.argsort(hashed)
    # One key sorts several times faster than four; only rows that share a hash need the others.
    equal = hashed[order[1:]] == hashed[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
    rows = order[tied]
    order[tied] = rows[np.lexsort((rows, labels[rows], second[rows], first[rows], hashed[rows]))]
    first, second = first[order], second[order]
    text = np.zeros(len(order), dtype=np.int64)
    np.cumsum((first[1:] != first[:-1]) | (second[1:] != second[:-1]), out=text[1:])
    return order, text


def _mix(values: Keys) -> Keys:
    """splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that changes half of the bits."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Keys = mixed ^ (mixed >> np.uint64(31))
    return result


def _merge_texts(text: Ints, labels: Ints, is_test: Bools) -> tuple[Bools, Ints, dict[str, int]]:
    """Chooses one row for each text that is not in the official test, which stays as it is.

    Args:
        text: int64 [N], rising; labels rise within a text.
        labels: int64 [N].
        is_test: bool [N].

    Returns:
        bool [N] the rows chosen, int64 [N] labels after conflicts are resolved, and the counts.
    """
    in_test = np.zeros(int(text[-1]) + 1, dtype=np.bool_)
    in_test[text[is_test]] = True
    kept = np.zeros_like(is_test)
    resolved = labels.copy()
    mergeable = np.flatnonzero(~in_test[text])
    winners, conflicts = _most_common_labels(text[mergeable], labels[mergeable])
    kept[mergeable[winners]] = True
    label_of = np.zeros(len(in_test), dtype=np.int64)
    label_of[text[mergeable[winners]]] = labels[mergeable[winners]]
    resolved[mergeable] = label_of[text[mergeable]]
    merged = {
        "duplicates": len(mergeable) - len(winners),
        "label_conflicts": conflicts,
        "train_also_in_test": int(np.count_nonzero(in_test[text] & ~is_test)),
    }
    return kept, resolved, merged


def _most_common_labels(text: Ints, labels: Ints) -> tuple[Ints, int]:
    """For each text the first position of its most common label; and how many texts have several.

    Args:
        text: int64 [N], rising; labels rise within a text, so that equal ones form a run.
        labels: int64 [N].
    """
    if not len(text):
        return np.zeros(0, dtype=np.int64), 0
    new_text = np.diff(text, prepend=-1) != 0
    new_run = new_text | (np.diff(labels, prepend=-1) != 0)
    run_starts = np.flatnonzero(new_run)
    run_lengths = np.diff(run_starts, append=len(text))
    text_runs = np.flatnonzero(new_text[run_starts])
    runs_per_text = np.diff(text_runs, append=len(run_starts))
    longest = np.repeat(np.maximum.reduceat(run_lengths, text_runs), runs_per_text)
    # Of a text's longest runs the first wins: the smallest label.
    candidates = np.flatnonzero(run_lengths == longest)
    _, first = np.unique(text[run_starts[candidates]], return_index=True)
    return run_starts[candidates[first]], int(np.count_nonzero(runs_per_text > 1))


def _deal(
    labels: Ints,
    class_names: Sequence[str],
    *,
    test_share: Fraction | None,
    val_share: Fraction,
) -> npt.NDArray[np.int8]:
    """Deals rows in the order given: of each class the first to test, the next to val.

    Args:
        labels: int64 [N].
        class_names: by label.
        test_share: None if the test split is not taken from these rows.
        val_share: of what remains after test.
    """
    sizes = np.bincount(labels, minlength=len(class_names)).tolist()
    needed = 2 if test_share is None else 3
    _check_class_sizes(sizes, class_names, needed=needed)
    test = [0] * len(sizes) if test_share is None else _quotas(sizes, test_share, reserve=2)
    left = [size - quota for size, quota in zip(sizes, test, strict=True)]
    val = _quotas(left, val_share, reserve=1)
    by_class = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, sizes)
    test_end = np.array(test)[labels]
    val_end = test_end + np.array(val)[labels]
    return np.where(rank < test_end, TEST, np.where(rank < val_end, VAL, TRAIN)).astype(np.int8)


def _quotas(sizes: Sequence[int], share: Fraction, *, reserve: int) -> list[int]:
    """Rows that each class gives to a split, by the largest-remainder method.

    Each is its share rounded down or up, and the total is the rounded share of all rows; but a
    class gives at least one row and keeps at least ``reserve``, whatever the rounding.
    """
    shares = [size * share for size in sizes]
    quotas = [min(max(1, math.floor(s)), n - reserve) for s, n in zip(shares, sizes, strict=True)]
    missing = round(sum(sizes) * share) - sum(quotas)
    by_remainder = sorted(range(len(sizes)), key=lambda label: quotas[label] - shares[label])
    for label in by_remainder:
        if missing > 0 and quotas[label] < min(math.ceil(shares[label]), sizes[label] - reserve):
            quotas[label] += 1
            missing -= 1
    return quotas


def _exact(share: float | str) -> Fraction:
    """The share as it was written, so that 0.7 of 10 rows is 7 and not a little more."""
    return Fraction(str(share))


def _check_class_count(labels: Ints, class_names: Sequence[str]) -> None:
    present = [class_names[label] for label in np.unique(labels)]
    if len(present) < 2:
        actual = f"all {len(labels)} are {present[0]!r}" if present else "there are none"
        raise DataError(
            f"the rows must hold at least two classes, but {actual}",
            where="data.source",
            remedy="check the label column and data.classes",
        )


def _check_class_sizes(sizes: Sequence[int], class_names: Sequence[str], *, needed: int) -> None:
    sides = "train and val" if needed == 2 else "train, val and test"
    for name, size in zip(class_names, sizes, strict=True):
        if size < needed:
            raise DataError(
                f"a class must have a row for each of {sides}, so at least {needed} rows with "
                f"different texts, but class {name!r} has {size}",
                where="data.source",
                remedy="give more rows of that class, or leave it out with data.classes and "
                "data.unknown_label: drop",
            )


def _check_official_test(labels: Ints, class_names: Sequence[str]) -> None:
    sizes = np.bincount(labels, minlength=len(class_names)).tolist()
    for name, size in zip(class_names, sizes, strict=True):
        if size == 0:
            raise DataError(
                f"the official test must hold every class, but class {name!r} has no row in it",
                where="data.test",
                remedy="check the test rows, or hold out a share of all rows: test: 0.2",
            )
