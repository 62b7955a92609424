"""Made-up film reviews whose sentiment depends on the order of the words. No download, no state.

A clause has a score, made of the scores of its parts: "not" flips a word's sign, "truly" weighs
more than "slightly", "X but Y" and "although X, Y" and "Y, although X" count as Y, a remark counts
as 0, and "I take back what I said" flips the sign of everything before it, however far back.
The label is the sign of the sum. A bag of words gets part of it right, a recurrent model nearly
all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self, TypeVar

from pydantic import Field, model_validator

from rnnlane.config.data import Columns
from rnnlane.config.fingerprint import fingerprint
from rnnlane.config.section import Fraction, PositiveInt
from rnnlane.data.sources.base import ReadTask, Source
from rnnlane.data.sources.rows import RawRow

T = TypeVar("T")

NEGATIVE, POSITIVE = "negative", "positive"

# Tuned so that a bag of words stays below 0.85 and a small LSTM gets above 0.9 from 5,000 reviews.
_AGREEMENT_RATE, _CONTRAST_RATE, _NEGATION_RATE = 0.3, 0.4, 0.2
_MIXED_RATE, _TURN_RATE = 0.1, 0.1

_LEAST_TASK_ROWS, _MOST_TASKS = 4096, 256
_CLAUSE_BYTES = 43  # on average


class GeneratedSource(Source):
    """Made-up reviews whose sentiment depends on word order; needs no download."""

    kind: Literal["generated"]
    num_rows: int = Field(4000, ge=10, description="Reviews to make, before duplicates are merged.")
    seed: int = Field(0, ge=0, description="Fixes every review; independent of the run's seed.")
    balance: tuple[Fraction, ...] = Field(
        (0.5, 0.5),
        description="Share of each class (negative, positive); shares add up to 1.",
        min_length=2,
        max_length=2,
    )
    mean_clauses: PositiveInt = Field(
        4, description="Mean number of clauses a review has; about 7 words each."
    )

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if abs(sum(self.balance) - 1.0) > 1e-6:
            raise ValueError(f"shares must add up to 1, but got {list(self.balance)}")
        return self

    def fingerprint(self) -> str:
        """Digest of the settings, which fix every row."""
        return fingerprint(self.model_dump(mode="json"))

    def read_tasks(self, columns: Columns) -> list[ReadTask]:  # noqa: ARG002 - rows have no columns
        """One task for each of at most _MOST_TASKS ranges of rows."""
        step = max(_LEAST_TASK_ROWS, -(-self.num_rows // _MOST_TASKS))
        return [
            partial(_rows, self, start, min(start + step, self.num_rows))
            for start in range(0, self.num_rows, step)
        ]

    def size_bytes(self) -> int:
        """About how much text there is."""
        return self.num_rows * self.mean_clauses * _CLAUSE_BYTES


def _rows(config: GeneratedSource, start: int, stop: int) -> Iterator[RawRow]:
    for text, class_name in generate_reviews(config, start, stop):
        yield RawRow(text.encode(), class_name)


def generate_reviews(config: GeneratedSource, start: int, stop: int) -> Iterator[tuple[str, str]]:
    """Some of the reviews; each is a function of the config and its row number alone.

    Args:
        config: seed, number of rows, class shares and length. The shares hold over all rows, to
            within one.
        start: first row, at least 0.
        stop: one after the last row, at most ``config.num_rows``.

    Yields:
        (text, class name) of each row.
    """
    yield from (_generate(config, row) for row in range(start, stop))


def _generate(config: GeneratedSource, row: int) -> tuple[str, str]:
    negatives = round(config.balance[0] * config.num_rows)
    before, after = ((row + step) * negatives // config.num_rows for step in (0, 1))
    sign = -1 if after > before else 1
    review = _Author(config.seed, row).review(sign, mean_clauses=config.mean_clauses)
    assert review.score * sign > 0
    return review.text, POSITIVE if review.score > 0 else NEGATIVE


@dataclass(frozen=True)
class _Clause:
    """Some text and its score: above 0 for praise, below 0 for criticism, 0 for neither."""

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

    def review(self, sign: int, *, mean_clauses: int) -> _Clause:
        """A review whose score has the given sign."""
        num_clauses = 1 + sum(self._chance(0.5) for _ in range(2 * (mean_clauses - 1)))
        turn = self._pick((-1, 1)) if num_clauses > 1 and self._chance(_TURN_RATE) else 0
        meant = -sign if turn < 0 else sign
        left = num_clauses - abs(turn)
        is_contrast = left > 1 and self._chance(_CONTRAST_RATE)
        clauses = [self._contrast(meant) if is_contrast else self._opinion(meant)]
        for _ in range(left - 2 if is_contrast else left - 1):
            clause = self._opinion(meant) if self._chance(_AGREEMENT_RATE) else self._remark()
            clauses.insert(self._pick(range(len(clauses) + 1)), clause)
        score = sum(clause.score for clause in clauses)
        sentences = [clause.text for clause in clauses]
        if turn:
            sentences.append(self._pick(_TURNS[turn]))
        return _Clause(self._written(sentences), -score if turn < 0 else score)

    def _opinion(self, sign: int) -> _Clause:
        if self._chance(_MIXED_RATE):
            return self._mixed(sign)
        negated = self._chance(_NEGATION_RATE)
        word = self._adjective(-sign if negated else sign, strength=2)
        template = self._pick(_NEGATED if negated else _PLAIN)
        text = template.format(aspect=self._pick(_ASPECTS), word=word.text)
        return _Clause(text, -word.score if negated else word.score)

    def _mixed(self, sign: int) -> _Clause:
        parts = [self._adjective(sign, strength=3), self._adjective(-sign, strength=1)]
        if self._chance(0.5):
            parts.reverse()
        first, second = parts
        text = self._pick(_MIXED).format(
            aspect=self._pick(_ASPECTS), first=first.text, second=second.text
        )
        return _Clause(text, first.score + second.score)

    def _contrast(self, sign: int) -> _Clause:
        conceded, meant = self._opinion(-sign), self._opinion(sign)
        text = self._pick(_CONTRASTS).format(conceded=conceded.text, meant=meant.text)
        return _Clause(text, meant.score)

    def _adjective(self, sign: int, *, strength: int) -> _Clause:
        word = self._pick(_ADJECTIVES[sign])
        shown = word.upper() if self._chance(0.03) else word
        return _Clause(f"{self._pick(_STRENGTHS[strength])} {shown}".strip(), sign * strength)

    def _remark(self) -> _Clause:
        fillings = {name: self._pick(words) for name, words in _FILLINGS.items()}
        return _Clause(self._pick(_REMARKS).format(**fillings), 0)

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
        # Only random() is guaranteed to give the same numbers in every version of Python.
        return options[int(self._random.random() * len(options))]
