"""Shares of the data that are refused above a limit, with what is likely to be wrong."""

from __future__ import annotations

from collections.abc import Mapping

from rnnlane.config.data import DataConfig
from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.blocks import PartStats
from rnnlane.errors import DataError

# What makes rows unusable, and where to look; rows that were asked to be dropped are no mistake.
_REMEDIES = {
    "null_text": "name the column that holds the text in data.columns.text",
    "null_label": "name the column that holds the class in data.columns.label",
    "empty_text": "check data.columns.text, text.tokenizer and text.stop_words",
    "duplicate_id": "name a column whose values differ in data.columns.id, or leave it out",
}


def check_repaired(num_repaired: int, *, num_rows: int, config: DataConfig) -> None:
    """Refuses a source most of whose letters may be lost.

    Raises:
        DataError: a larger share than ``data.max_repaired`` of the texts is not UTF-8.
    """
    if num_repaired > config.max_repaired * num_rows:
        has_encoding = hasattr(config.source, "encoding")
        remedy = (
            "name the encoding of the files in data.source.encoding, such as cp1252, gbk or utf-16"
            if has_encoding
            else "make the files again, with their texts as UTF-8"
        )
        raise DataError(
            f"at most {config.max_repaired:.1%} of the texts may hold bytes that cannot be "
            f"decoded, but {_share(num_repaired, num_rows)} do",
            where="data.source",
            remedy=f"{remedy}; or raise data.max_repaired",
        )


def check_dropped(dropped: Mapping[str, int], *, num_rows: int, config: DataConfig) -> None:
    """Refuses a source that is mostly unusable.

    Args:
        dropped: rows by reason.
        num_rows: rows read.
        config: the limit.

    Raises:
        DataError: a larger share than ``data.max_dropped`` of the rows cannot be used.
    """
    unusable = {reason: dropped.get(reason, 0) for reason in _REMEDIES}
    num_unusable = sum(unusable.values())
    if num_unusable > config.max_dropped * num_rows:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in unusable.items() if count)
        worst = max(unusable, key=lambda reason: unusable[reason])
        raise DataError(
            f"at most {config.max_dropped:.1%} of the rows may be unusable, but "
            f"{_share(num_unusable, num_rows)} are ({reasons})",
            where="data.source",
            remedy=f"{_REMEDIES[worst]}; or raise data.max_dropped",
        )


def check_unknown(val: PartStats, *, config: DataConfig, text: TextConfig) -> None:
    """Refuses words that the vocabulary hardly knows.

    Args:
        val: what was written to the val split.
        config: the limit.
        text: the tokenizer and the vocabulary's limits.

    Raises:
        DataError: a larger share than ``data.max_unknown`` of the words is not in the vocabulary.
    """
    num_words, num_unknown = val.num_words, val.num_unknown_words
    if num_unknown <= config.max_unknown * num_words:
        return
    characters = "set text.tokenizer: characters if these are names or a language written without "
    raise DataError(
        f"at most {config.max_unknown:.1%} of the val words may be missing from the vocabulary, "
        f"but {_share(num_unknown, num_words)} are, with text.tokenizer {text.tokenizer} and "
        f"text.vocabulary (max_size {text.vocabulary.max_size}, min_count "
        f"{text.vocabulary.min_count})",
        where="text.tokenizer",
        remedy=f"{'' if text.tokenizer == 'characters' else characters + 'spaces; '}give more "
        "rows, lower text.vocabulary.min_count, or raise data.max_unknown",
    )


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,} ({count / total:.1%})"
