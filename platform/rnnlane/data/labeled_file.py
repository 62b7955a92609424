"""Labeled texts from a file that an experiment was not trained on, read by its columns."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rnnlane.config.data import DataConfig
from rnnlane.config.sources import source_class
from rnnlane.data.sources.base import Source
from rnnlane.data.sources.rows import RawRow
from rnnlane.data.tables import KINDS, SUFFIXES, is_tsv, table_kind
from rnnlane.data.text_files import MAX_BROKEN_SHARE
from rnnlane.errors import ConfigError, DataError

_logger = logging.getLogger(__name__)

NULL_TEXT, NULL_LABEL, UNKNOWN_LABEL = "null_text", "null_label", "unknown_label"


@dataclass(frozen=True)
class LabeledTexts:
    """The rows of a file whose labels are among the classes of a model.

    Attributes:
        texts: of N rows.
        labels: of each the number of its class.
        skipped: rows left out, by reason; only reasons that occurred.
        unknown_labels: rows left out because their label is no class of the model, by label; the
            most frequent first.
        num_broken: texts with bytes that were not UTF-8, which were left out.
    """

    texts: list[str]
    labels: list[int]
    skipped: dict[str, int]
    unknown_labels: dict[str, int]
    num_broken: int


def read_labeled(location: str, data: DataConfig, *, class_names: Sequence[str]) -> LabeledTexts:
    """Reads labeled texts as the experiment reads its own.

    Args:
        location: a csv, tsv, jsonl or Parquet file; or a folder, a glob or a URI of such files, of
            the kind of the experiment's source.
        data: of the experiment; where its source is of the file's kind, its settings hold.
        class_names: of the model.

    Raises:
        ConfigError: the file is of no such kind.
        DataError: it cannot be read, or none of its rows can be used.
    """
    source = _source(location, data)
    numbers = {name: number for number, name in enumerate(class_names)}
    texts: list[str] = []
    labels: list[int] = []
    skipped: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    merged: Counter[str] = Counter()
    num_broken = 0
    for row in _rows(source, data):
        if row.text is None or row.label is None:
            skipped[NULL_TEXT if row.text is None else NULL_LABEL] += 1
            continue
        name = row.label if row.label in numbers else _merged_class(row.label, data)
        if name not in numbers:
            unknown[row.label] += 1
            continue
        if name != row.label:
            merged[row.label] += 1
        text = row.text.decode("utf-8", "replace")
        num_broken += text.encode() != row.text
        texts.append(text)
        labels.append(numbers[name])
    if merged:
        target, names = _merged_class(next(iter(merged)), data), counted(_most_first(merged))
        _logger.warning("labels of rare classes, which count as %r: %s", target, names)
    if unknown:
        skipped[UNKNOWN_LABEL] = unknown.total()
    unknown_labels = _most_first(unknown)
    _check(location, texts, skipped, unknown_labels, num_broken, class_names)
    return LabeledTexts(texts, labels, dict(skipped), unknown_labels, num_broken)


def _merged_class(label: str, data: DataConfig) -> str:
    """What ``data.rare_classes`` makes of a class that the model does not know.

    With merge:NAME that is NAME, as there were too few texts of the class, if any, to learn it.
    """
    policy, _, name = data.rare_classes.partition(":")
    is_class = data.classes is None or label in data.classes
    return name if policy == "merge" and is_class else label


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def counted(counts: dict[str, int], *, most: int = 5) -> str:
    """Names with their counts, as 'a' (3), 'b' (1) and 4 more."""
    shown = ", ".join(f"{name!r} ({count:,})" for name, count in list(counts.items())[:most])
    return shown + (f" and {len(counts) - most} more" if len(counts) > most else "")


def _rows(source: Source, data: DataConfig) -> Iterator[RawRow]:
    try:
        # Nothing is done with ids and groups here, so the file need not have them.
        unused = {"id": None, "group": None}
        for read in source.read_tasks(data.columns.model_copy(update=unused)):
            yield from read()
    except DataError as error:  # which knows the file as a source's
        where = (error.where or "").replace("data.source.path", "--data")
        raise DataError(error.message, where=where, remedy=error.remedy) from None


def _source(location: str, data: DataConfig) -> Source:
    own = data.source.kind
    kind = table_kind(location.rsplit("/", 1)[-1]) or (own if own in KINDS else None)
    if kind is None or not location.strip():
        raise ConfigError(
            f"the labeled texts must be a file that ends in {SUFFIXES}, but got {location!r}",
            where="--data",
        )
    changes: dict[str, Any] = {"path": location, "test_path": None}
    if is_tsv(location):
        changes["delimiter"] = "\t"
    if kind == own:
        return cast(Source, data.source.model_copy(update=changes))
    return cast(Source, source_class(kind).model_validate({"kind": kind, **changes}))


def _check(
    location: str,
    texts: Sequence[str],
    skipped: Counter[str],
    unknown_labels: dict[str, int],
    num_broken: int,
    class_names: Sequence[str],
) -> None:
    if num_broken > MAX_BROKEN_SHARE * len(texts):
        raise DataError(
            f"texts must be UTF-8, but {num_broken} of {len(texts)} are not",
            where=location,
            remedy="convert the file, for example: iconv -f latin1 -t utf-8 OLD > NEW",
        )
    if texts:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    labels = f"; its labels are {counted(unknown_labels)}" if unknown_labels else ""
    raise DataError(
        f"there must be a row with a text and one of the model's classes, "
        f"{', '.join(map(repr, class_names[:10]))}, but there is none "
        f"({reasons or 'the file is empty'}){labels}",
        where=location,
        remedy="check the file, and data.columns of the run's experiment",
    )
