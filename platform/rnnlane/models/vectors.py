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

    Each line is a word, which may contain spaces, and its numbers, separated by one space; a first
    line of two whole numbers is word2vec's header. Of a word that stands twice the first counts.
    The file is read line by line and may be larger than memory. A word that is not UTF-8 cannot
    be one of the tokens and is passed over.

    Args:
        path: a text file.
        tokens: the words wanted, each at most once.
        embedding_dim: E, numbers of a vector, at least 1.

    Returns:
        float32 [len(tokens), E], zero where the file lacks the token; and bool [len(tokens)],
        whether it has it.

    Raises:
        DataError: the file cannot be read or has no vector, its vectors are not E wide, or a
            wanted one holds something that is no finite number.
    """
    index_of = {token.encode(): index for index, token in enumerate(tokens)}
    matrix = np.zeros((len(tokens), embedding_dim), dtype=np.float32)
    found = np.zeros(len(tokens), dtype=np.bool_)
    for where, word, numbers in _entries(path, embedding_dim):
        index = index_of.get(word)
        if index is not None and not found[index]:
            matrix[index] = _parsed(numbers, where)
            found[index] = True
    return matrix, found


def apply_vectors(
    model: RecurrentClassifier,
    matrix: npt.NDArray[np.float32],
    found: npt.NDArray[np.bool_],
) -> None:
    """Copies the vectors that were found into the model's embedding, where they stay trainable.

    Args:
        model: its embedding has V rows of E numbers.
        matrix: float32 [V, E].
        found: bool [V]; the other rows keep their values, and so does the padding row.

    Raises:
        ValueError: the shapes do not fit the model.
    """
    weight = model.embedding.weight
    if matrix.shape != weight.shape or found.shape != weight.shape[:1]:
        raise ValueError(
            f"vectors must have the embedding's shape {tuple(weight.shape)}, "
            f"but got {matrix.shape} and {found.shape}"
        )
    rows = np.flatnonzero(found)
    rows = rows[rows != model.embedding.padding_idx]
    with torch.no_grad():
        weight[torch.from_numpy(rows)] = torch.from_numpy(matrix[rows]).to(weight)


def _entries(path: str | Path, embedding_dim: int) -> Iterator[tuple[str, bytes, list[bytes]]]:
    """Of each vector where it stands (file:line), its word and its numbers."""
    is_first = True
    for number, line in _lines(path):
        where = f"{path}:{number}"
        width = line.count(b" ")
        if number == 1 and _is_header(line):
            _check_width(int(line.split()[1]), embedding_dim, where)
            continue
        # Beyond the first vector a surplus is a word with spaces in it, as glove.840B has some.
        _check_width(width if is_first else min(width, embedding_dim), embedding_dim, where)
        is_first = False
        word, *numbers = line.rsplit(b" ", embedding_dim)
        yield where, word, numbers
    if is_first:
        raise DataError(
            "a file of word vectors must hold at least one, but got none", where=str(path)
        )


def _lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1, and the lines that are not blank.

    Bytes, for words that are not UTF-8.
    """
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
            remedy=f"set model.embedding_dim to {width} if the whole file is so wide, "
            "else mend the line",
        )


def _parsed(numbers: list[bytes], where: str) -> npt.NDArray[np.float64]:
    try:
        vector = np.array([float(number) for number in numbers])
    except ValueError as error:
        raise DataError(f"a word vector must hold numbers: {error}", where=where) from None
    if not np.isfinite(vector).all():
        raise DataError("a word vector must hold finite numbers, but got nan or inf", where=where)
    return vector
