"""Made-up film reviews whose sentiment depends on the order of the words. No download, no state.

A clause has a score, made of the scores of its parts: "not" turns a word's sign round, "truly"
weighs more than "slightly", "X but Y" and "although X, Y" and "Y, although X" count as Y, a remark
counts nothing, and "I take back what I said" turns round all that came before it, however long ago.
The label is the sign of the sum. A bag of words gets part of it right, a recurrent model nearly
all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rnnlane.config.experiment import GeneratedSource

T = TypeVar("T")

NEGATIVE, POSITIVE = "negative", "positive"

# Tuned so that a bag of words stays below 0.85 and a small LSTM gets above 0.9 from 5,000 reviews.
_AGREEMENT_RATE, _CONTRAST_RATE, _NEGATION_RATE = 0.3, 0.4, 0.2
_MIXED_RATE, _TURN_RATE = 0.1, 0.1


def generate_reviews(config: GeneratedSource, start: int, stop: int) -> list[tuple[str, str]]:
    """Some of the reviews; each is a function of the config and its row number alone.

    Args:
        config: seed, number of rows, class shares and length. The shares hold over all rows, to
            within one.
        start: first row, at least 0.
        stop: one after the last row, at most ``config.num_rows``.

    Returns:
        (text, class name) of each row.
    """
    return [_generate(config, row) for row in range(start, stop)]


def _generate(config: GeneratedSource, row: int) -> tuple[str, str]:
    negatives = round(config.balance[0] * config.num_rows)
    before, after = ((row + step) * negatives // config.num_rows for step in (0, 1))
    sign = -1 if after > before else 1
    review = _Author(config.seed, row).review(sign, mean_clauses=config.mean_clauses)
    assert review.score * sign > 0
    return review.text, POSITIVE if review.score > 0 else NEGATIVE


@dataclass(frozen=True)
class _Said:
    """A text, and how good it says the film is: negative for bad, 0 for nothing about it."""

    text: str
    score: int


def _options(text: str) -> tuple[str, ...]:
    return tuple(option.strip() for option in text.split("|"))


_ADJECTIVES = {
    1: _options(
        "wonderful|brilliant|charming|moving|gripping|superb|clever|delightful|touching|fresh|funny"
        "|lively|sharp|graceful|memorable|convincing|lovely|thrilling|stunning|interesting"
    ),
    -1: _options(
        "dreadful|stupid|clumsy|tedious|dull|awful|silly|annoying|shallow|stale|boring|lifeless"
        "|sloppy|awkward|forgettable|weak|ugly|painful|terrible|bad"
    ),
}
_STRENGTHS = {
    1: _options("slightly|mildly|somewhat|a little"),
    2: _options(""),
    3: _options("truly|utterly|very|absolutely"),
}
_ASPECTS = _options(
    "the movie|the acting|the plot|the dialogue|the music|the camera work|the ending|the lead actor"
    "|the script|the pacing|the whole cast|the editing|the humour|the directing|the story"
    "|the first half|the villain|the romance|the final scene"
)
_PLAIN = _options(
    "{aspect} was {word}|{aspect} is {word}|{aspect} felt {word}|I found {aspect} {word}"
    "|everybody called {aspect} {word}"
)
_NEGATED = _options(
    "{aspect} was not {word}|{aspect} was not {word} at all|{aspect} was never {word}"
    "|{aspect} is hardly {word}|{aspect} is far from {word}|I did not find {aspect} {word}"
    "|nobody called {aspect} {word}"
)
_MIXED = _options(
    "{aspect} was {first} in one scene and {second} in the next"
    "|{aspect} felt both {first} and {second}|I found {aspect} {first} and also {second}"
)
_CONTRASTS = _options(
    "{conceded}, but {meant}|{conceded}, yet {meant}|{conceded}. However, {meant}"
    "|although {conceded}, {meant}|even though {conceded}, {meant}"
    "|{meant}, although {conceded}|{meant}, even though {conceded}"
)
_TURNS = {
    -1: _options(
        "now I take back what I said|what I said was a joke and I mean the opposite"
        "|on a second viewing I think exactly the opposite"
    ),
    1: _options(
        "now I stand by what I said|what I said was no joke and I mean all of it"
        "|on a second viewing I think exactly the same"
    ),
}
_REMARKS = _options(
    "{name} and I saw it on a {day} evening|it was filmed in {place} over {number} weeks"
    "|the film follows a young {job} who moves to {place}|{name} plays a {job} from {place}"
    "|we sat in row {number} next to {name}|a {job} near us had read the book"
    "|it takes {number} minutes to reach the titles|the cinema in {place} was half full that {day}"
    "|a friend from {place} had lent me the disc|we shared popcorn &amp; lemonade with {name}"
    "|{name} wrote it on a train to {place}|there is a {job} in nearly every scene"
)
_FILLINGS = {
    "name": _options(
        "Anna|Marcus|Ines|Tom|Yuki|Omar|Clara|Felix|Nadia|Peter|Ruth|Samir|Elena|George|Lily|Hugo"
    ),
    "place": _options(
        "Lisbon|Vienna|Cairo|Oslo|Boston|Lima|Kyoto|Dublin|Naples|Prague|Havana|Perth|Quebec|Delhi"
    ),
    "job": _options(
        "nurse|sailor|teacher|lawyer|painter|farmer|pilot|baker|soldier|singer|doctor|clerk"
    ),
    "day": _options("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "number": _options("three|five|seven|nine|eleven|twelve|fourteen|twenty|thirty|forty"),
}


class _Author:
    """Draws the words of one review."""

    def __init__(self, seed: int, row: int):
        self._random = random.Random(f"{seed}:{row}")  # noqa: S311 (no secret depends on it)

    def review(self, sign: int, *, mean_clauses: int) -> _Said:
        """A review whose score has that sign."""
        clauses = 1 + sum(self._chance(0.5) for _ in range(2 * (mean_clauses - 1)))
        turn = self._pick((-1, 1)) if clauses > 1 and self._chance(_TURN_RATE) else 0
        meant = -sign if turn < 0 else sign
        left = clauses - abs(turn)
        is_contrast = left > 1 and self._chance(_CONTRAST_RATE)
        said = [self._contrast(meant) if is_contrast else self._opinion(meant)]
        for _ in range(left - 2 if is_contrast else left - 1):
            clause = self._opinion(meant) if self._chance(_AGREEMENT_RATE) else self._remark()
            said.insert(self._pick(range(len(said) + 1)), clause)
        score = sum(clause.score for clause in said)
        sentences = [clause.text for clause in said]
        if turn:
            sentences.append(self._pick(_TURNS[turn]))
        return _Said(self._written(sentences), -score if turn < 0 else score)

    def _opinion(self, sign: int) -> _Said:
        if self._chance(_MIXED_RATE):
            return self._mixed(sign)
        negated = self._chance(_NEGATION_RATE)
        word = self._adjective(-sign if negated else sign, strength=2)
        template = self._pick(_NEGATED if negated else _PLAIN)
        text = template.format(aspect=self._pick(_ASPECTS), word=word.text)
        return _Said(text, -word.score if negated else word.score)

    def _mixed(self, sign: int) -> _Said:
        parts = [self._adjective(sign, strength=3), self._adjective(-sign, strength=1)]
        if self._chance(0.5):
            parts.reverse()
        first, second = parts
        text = self._pick(_MIXED).format(
            aspect=self._pick(_ASPECTS), first=first.text, second=second.text
        )
        return _Said(text, first.score + second.score)

    def _contrast(self, sign: int) -> _Said:
        conceded, meant = self._opinion(-sign), self._opinion(sign)
        text = self._pick(_CONTRASTS).format(conceded=conceded.text, meant=meant.text)
        return _Said(text, meant.score)

    def _adjective(self, sign: int, *, strength: int) -> _Said:
        word = self._pick(_ADJECTIVES[sign])
        shown = word.upper() if self._chance(0.03) else word
        return _Said(f"{self._pick(_STRENGTHS[strength])} {shown}".strip(), sign * strength)

    def _remark(self) -> _Said:
        fillings = {name: self._pick(words) for name, words in _FILLINGS.items()}
        return _Said(self._pick(_REMARKS).format(**fillings), 0)

    def _written(self, sentences: list[str]) -> str:
        text = ""
        for sentence in sentences:
            gap = "<br /><br />" if self._chance(0.1) else " "
            end = self._pick((".", ".", ".", ".", "!", "..."))
            text += gap * bool(text) + sentence[0].upper() + sentence[1:] + end
        return text

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, options: Sequence[T]) -> T:
        # random() alone is promised to give the same numbers in every Python.
        return options[int(self._random.random() * len(options))]
