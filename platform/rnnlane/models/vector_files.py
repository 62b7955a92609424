"""Pretrained word vectors in the text format of GloVe and word2vec: reading, checking, matching.

No torch: a file is checked before anything is started.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from rnnlane.errors import DataError

Vectors = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]

_BOM, _GZIP = b"\xef\xbb\xbf", b"\x1f\x8b"
_IN_NUMBERS = b"0123456789+-.eE "
_NUM_SHOWN = 3


def check_vectors(path: str | Path, *, embedding_dim: int) -> None:
    """Reads a file of word vectors once, to find what is wrong before anything is started.

    Raises:
        DataError: the file cannot be read or has no vector, its vectors are not ``embedding_dim``
            wide, or one holds anything but finite numbers.
    """
    for where, _, numbers in _entries(path, embedding_dim):
        # Parsing every number would take ten times as long.
        if numbers.translate(None, _IN_NUMBERS):
            _parsed(numbers, where)


def load_vectors(path: str | Path, tokens: Sequence[str], *, embedding_dim: int) -> Vectors:
    """Reads the vectors of some tokens.

    Each line is a word, which may contain spaces, and its numbers, separated by blanks or tabs; a
    first line of two integers is word2vec's header. If a word occurs twice, the first line counts.
    The file may be compressed with gzip and begin with a byte order mark. It is read line by line
    and may be larger than memory. A word that is not UTF-8 cannot be one of the tokens and is
    skipped.

    Args:
        path: a text file; ``~`` is the home folder.
        tokens: the words to look up, without duplicates.
        embedding_dim: E, the width of a vector, at least 1.

    Returns:
        float32 [len(tokens), E], zero where the file lacks the token; and bool [len(tokens)],
        whether the file has it.

    Raises:
        DataError: see :func:`check_vectors`; numbers are read of the tokens only.
    """
    index_of = {token.encode(): index for index, token in enumerate(tokens)}
    matrix = np.zeros((len(tokens), embedding_dim), dtype=np.float32)
    has_vector = np.zeros(len(tokens), dtype=np.bool_)
    for where, word, numbers in _entries(path, embedding_dim):
        index = index_of.get(word)
        if index is not None and not has_vector[index]:
            matrix[index] = _parsed(numbers, where)
            has_vector[index] = True
    return matrix, has_vector


@dataclass(frozen=True)
class VectorMatch:
    """How much of a vocabulary has a pretrained vector.

    Attributes:
        num_words: words of the vocabulary.
        num_matched: those that have a vector.
        share: of the words' occurrences in train, those of words with a vector; in [0, 1].
    """

    num_words: int
    num_matched: int
    share: float

    @classmethod
    def of(cls, counts: Sequence[int], has_vector: npt.NDArray[np.bool_]) -> VectorMatch:
        """The match of words that occur ``counts`` times in train, [V], and ``has_vector``, [V]."""
        occurrences = np.asarray(counts, dtype=np.int64)
        share = occurrences[has_vector].sum() / max(occurrences.sum(), 1)
        return cls(len(occurrences), int(has_vector.sum()), float(share))

    def __str__(self) -> str:
        return (
            f"{self.num_matched:,} of {self.num_words:,} words have a pretrained vector, "
            f"{self.share:.1%} of their occurrences in train"
        )


def check_match(
    path: str | Path,
    words: Sequence[str],
    counts: Sequence[int],
    has_vector: npt.NDArray[np.bool_],
    *,
    embedding_dim: int,
    min_share: float,
) -> None:
    """Refuses vectors that hardly any text uses, and says what is likely wrong with them.

    Args:
        path: the file that the vectors are from.
        words: of the vocabulary, without padding and unknown, [V].
        counts: times each occurs in train, [V].
        has_vector: whether the file has it, bool [V].
        embedding_dim: width of a vector.
        min_share: least share of the occurrences, in [0, 1].

    Raises:
        DataError: fewer have a vector.
    """
    match = VectorMatch.of(counts, has_vector)
    if match.share >= min_share:
        return
    folded = np.array([word.lower() for word in words])
    found: set[str] = set()
    first: list[str] = []
    for _, word, _ in _entries(path, embedding_dim):
        text = word.decode(errors="replace")
        found.add(text.lower())
        if len(first) < _NUM_SHOWN:
            first.append(text)
    without_case = VectorMatch.of(counts, np.isin(folded, sorted(found)))
    if without_case.share > max(2 * match.share, min_share):
        remedy = (
            f"words differ in capitals: without them {without_case.share:.1%} would have one; set "
            "text.lowercase as the vectors have it, or use vectors of the other kind"
        )
    else:
        remedy = (
            "take vectors of the texts' language and tokenization, or lower model.min_vector_share"
        )
    raise DataError(
        f"at least {min_share:.0%} of the words' occurrences in train must have a pretrained "
        f"vector, but only {match.share:.1%} have ({match.num_matched:,} of {match.num_words:,} "
        f"words; the file begins with {_quoted(first)}, the vocabulary with "
        f"{_quoted(words[:_NUM_SHOWN])})",
        where=f"model.pretrained_vectors {path}",
        remedy=remedy,
    )


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words))


def _entries(path: str | Path, embedding_dim: int) -> Iterator[tuple[str, bytes, bytes]]:
    """The location (file:line), word and numbers of each vector, the numbers joined by blanks."""
    is_first = True
    for number, line in _lines(path):
        where = f"{path}:{number}"
        width = line.count(b" ")
        if number == 1 and _is_header(line):
            _check_width(int(line.split()[1]), embedding_dim, where)
            continue
        # After the first vector, extra fields belong to a word with spaces; glove.840B has some.
        _check_width(width if is_first else min(width, embedding_dim), embedding_dim, where)
        is_first = False
        *word, numbers = line.split(b" ", width - embedding_dim + 1)
        yield where, b" ".join(word), numbers
    if is_first:
        raise DataError(
            "a file of word vectors must hold at least one vector, but got none", where=str(path)
        )


def _lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """The non-blank lines, with line numbers from 1 and single blanks between their fields.

    Bytes, because words need not be UTF-8.
    """
    try:
        with _opened(Path(path).expanduser()) as file:
            for number, line in enumerate(file, start=1):
                stripped = (line.removeprefix(_BOM) if number == 1 else line).rstrip()
                if b"\0" in stripped:
                    raise DataError(
                        "word vectors must be a text file, but this one is binary",
                        where=str(path),
                        remedy="unpack an archive, convert UTF-16 to UTF-8, and save word2vec's "
                        "binary format as text",
                    )
                if b"\t" in stripped or b"  " in stripped:
                    # A blank at the start is an empty word; some files have one.
                    word = b" " if stripped[:1].isspace() else b""
                    stripped = word + b" ".join(stripped.split())
                if stripped:
                    yield number, stripped
    except (OSError, EOFError, zlib.error, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"cannot read the word vectors: {reason}",
            where=str(path),
            remedy="give model.pretrained_vectors the path of a file in GloVe's text format",
        ) from None


def _opened(path: Path) -> IO[bytes]:
    """The file's content; gzip is known by its first bytes, not by its name."""
    with path.open("rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    return cast(IO[bytes], gzip.open(path)) if is_gzip else path.open("rb")


def _is_header(line: bytes) -> bool:
    fields = line.split()
    return len(fields) == 2 and all(field.isdigit() for field in fields)


def _check_width(width: int, embedding_dim: int, where: str) -> None:
    if width != embedding_dim:
        raise DataError(
            f"a word vector must have model.embedding_dim = {embedding_dim} numbers, "
            f"but got {width}",
            where=where,
            remedy=f"set model.embedding_dim to {width} if all vectors of the file have that many, "
            "or correct the line",
        )


def _parsed(numbers: bytes, where: str) -> npt.NDArray[np.float64]:
    try:
        vector = np.array([float(number) for number in numbers.split(b" ")])
    except ValueError as error:
        raise DataError(f"a word vector must hold numbers: {error}", where=where) from None
    if not np.isfinite(vector).all():
        raise DataError("a word vector must hold finite numbers, but got nan or inf", where=where)
    return vector
