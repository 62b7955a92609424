"""Pretrained word vectors in the text format of GloVe and word2vec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rnnlane.errors import DataError
from rnnlane.models.classifier import RecurrentClassifier


def load_vectors(
    path: str | Path, tokens: Sequence[str], *, embedding_dim: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Reads the vectors of some tokens.

    Each line is a word, which may contain spaces, and its numbers, separated by single spaces; a
    first line of two integers is word2vec's header. If a word occurs twice, the first line counts.
    The file is read line by line and may be larger than memory. A word that is not UTF-8 cannot
    be one of the tokens and is skipped.

    Args:
        path: a text file.
        tokens: the words to look up, without duplicates.
        embedding_dim: E, the width of a vector, at least 1.

    Returns:
        float32 [len(tokens), E], zero where the file lacks the token; and bool [len(tokens)],
        whether the file has it.

    Raises:
        DataError: the file cannot be read or has no vector, its vectors are not E wide, or the
            vector of one of the tokens holds anything but finite numbers.
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


def apply_vectors(
    model: RecurrentClassifier,
    matrix: npt.NDArray[np.float32],
    has_vector: npt.NDArray[np.bool_],
) -> None:
    """Copies pretrained vectors into the model's embedding, where they stay trainable.

    Args:
        model: its embedding has shape [V, E].
        matrix: float32 [V, E].
        has_vector: bool [V]; the other rows keep their values, and so does the padding row.

    Raises:
        ValueError: the shapes do not fit the model.
    """
    weight = model.embedding.weight
    if matrix.shape != weight.shape or has_vector.shape != weight.shape[:1]:
        raise ValueError(
            f"vectors must have the embedding's shape {tuple(weight.shape)}, "
            f"but got {matrix.shape} and {has_vector.shape}"
        )
    rows = np.flatnonzero(has_vector)
    rows = rows[rows != model.embedding.padding_idx]
    with torch.no_grad():
        weight[torch.from_numpy(rows)] = torch.from_numpy(matrix[rows]).to(weight)


def _entries(path: str | Path, embedding_dim: int) -> Iterator[tuple[str, bytes, list[bytes]]]:
    """The location (file:line), word and numbers of each vector."""
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
        word, *numbers = line.rsplit(b" ", embedding_dim)
        yield where, word, numbers
    if is_first:
        raise DataError(
            "a file of word vectors must hold at least one vector, but got none", where=str(path)
        )


def _lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """The non-blank lines, with line numbers from 1; bytes, because words need not be UTF-8."""
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                if stripped := line.rstrip():
                    yield number, stripped
    except OSError as error:
        raise DataError(
            f"cannot read the word vectors: {error.strerror}",
            where=str(path),
            remedy="give model.pretrained_vectors the path of a file in GloVe's text format",
        ) from None


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


def _parsed(numbers: list[bytes], where: str) -> npt.NDArray[np.float64]:
    try:
        vector = np.array([float(number) for number in numbers])
    except ValueError as error:
        raise DataError(f"a word vector must hold numbers: {error}", where=where) from None
    if not np.isfinite(vector).all():
        raise DataError("a word vector must hold finite numbers, but got nan or inf", where=where)
    return vector
