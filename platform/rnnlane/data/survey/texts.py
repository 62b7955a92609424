"""Which tokenizer suits texts, how long they are in its tokens, and what a vocabulary knows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.text import TextProcessor

_MAX_TOKENS = {"wordpunct": 400, "characters": 1000}
_KEPT_WHOLE = 0.98  # share of the texts that max_length should not cut
_MAX_UNKNOWN = 0.4  # well below the default of data.max_unknown, above which data is refused
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
_MOST_UNSPACED = 0.3  # share of the letters


@dataclass(frozen=True)
class TextSettings:
    """The ``text`` section that suits some texts.

    Attributes:
        tokenizer: wordpunct or characters.
        reason: for characters.
        max_length: in tokens.
        longest: tokens of the longest text.
        cut: share of the texts that are longer than ``max_length``.
        min_count: of the vocabulary.
        unknown: share of the tokens of some texts that a vocabulary of the others lacks.
    """

    tokenizer: str
    reason: str
    max_length: int
    longest: int
    cut: float
    min_count: int
    unknown: float


def text_settings(texts: Sequence[str]) -> TextSettings:
    """Looks at a sample of texts, in no order."""
    if _share_unspaced(texts) > _MOST_UNSPACED:
        return _settings(texts, "characters", reason="the script is written without spaces")
    words = _settings(texts, "wordpunct")
    if words.unknown <= _MAX_UNKNOWN:
        return words
    return _settings(
        texts,
        "characters",
        reason=f"{words.unknown:.0%} of the words of new texts would be unknown",
    )


def _settings(texts: Sequence[str], tokenizer: str, *, reason: str = "") -> TextSettings:
    process = TextProcessor.from_config(TextConfig.model_validate({"tokenizer": tokenizer}))
    tokens = [process(text) for text in texts]
    lengths = sorted(map(len, tokens))
    most = _MAX_TOKENS[tokenizer]
    enough = lengths[min(len(lengths) - 1, math.ceil(_KEPT_WHOLE * len(lengths)))]
    max_length = min(most, max(10, math.ceil(enough / 10) * 10))
    cut = sum(length > max_length for length in lengths) / len(lengths)
    unknown = {count: _share_unknown(tokens, min_count=count) for count in (2, 1)}
    # Of few texts, most words come once.
    min_count = 2 if unknown[2] <= _MAX_UNKNOWN else 1
    return TextSettings(
        tokenizer, reason, max_length, lengths[-1], cut, min_count, unknown[min_count]
    )


def _share_unspaced(texts: Sequence[str]) -> float:
    import regex

    unspaced, letter = regex.compile(_UNSPACED), regex.compile(r"\p{L}")
    num_unspaced = sum(len(unspaced.findall(text)) for text in texts)
    return num_unspaced / max(1, sum(len(letter.findall(text)) for text in texts))


def _share_unknown(tokens: Sequence[Sequence[str]], *, min_count: int) -> float:
    """Of the last quarter of the texts, by a vocabulary of the others."""
    border = len(tokens) * 3 // 4
    counts = Counter(token for text in tokens[:border] for token in text)
    rest = [token for text in tokens[border:] for token in text]
    return sum(counts[token] < min_count for token in rest) / max(1, len(rest))
