from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from rnnlane.errors import DataError
from rnnlane.models.vector_files import VectorMatch, check_match, check_vectors, load_vectors

GLOVE = b"the 1 2\nfilm 3.5 -4e-1\ngood 5 6\n"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "vectors.txt"
    path.write_bytes(content)
    return path


def test_wanted_tokens_are_found_and_others_stay_zero(tmp_path: Path) -> None:
    matrix, found = load_vectors(
        write(tmp_path, GLOVE), ["<pad>", "film", "absent", "the"], embedding_dim=2
    )

    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, [[0, 0], [3.5, -0.4], [0, 0], [1, 2]])
    assert found.tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("content", "token", "expected"),
    [
        pytest.param(b"2 2\nthe 1 2\nfilm 3 4\n", "film", [3, 4], id="word2vec-header"),
        pytest.param(b"the 1 2 \r\nfilm 3 4 \r\n\r\n", "film", [3, 4], id="line-ends"),
        pytest.param(b"the 1 2\n. . . 3 4\n", ". . .", [3, 4], id="spaces-in-a-word"),
        pytest.param(b"the 1 2\n\xff\xfe 7 8\nfilm 3 4", "film", [3, 4], id="broken-utf-8"),
        pytest.param("the 1 2\né\x85à 3 4".encode(), "é\x85à", [3, 4], id="odd-line-break"),
        pytest.param(b"film 3 4\nfilm 5 6\n", "film", [3, 4], id="the-first-counts"),
        pytest.param(b"\xef\xbb\xbffilm 3 4\nthe 1 2\n", "film", [3, 4], id="byte-order-mark"),
        pytest.param(b"\xef\xbb\xbf1 2\nfilm 3 4\n", "film", [3, 4], id="mark-and-header"),
        pytest.param(b"the\t1\t2\nfilm\t3\t4\t\n", "film", [3, 4], id="tabs"),
        pytest.param(b"the  1   2\nfilm 3 \t 4\n", "film", [3, 4], id="several-blanks"),
        pytest.param(b"the 1 2\n 7 8\nfilm 3 4\n", "film", [3, 4], id="an-empty-word"),
        pytest.param(b"nan 1 2\nfilm 3 4\n", "film", [3, 4], id="a-word-like-a-number"),
        pytest.param(gzip.compress(b"the 1 2\nfilm 3 4\n"), "film", [3, 4], id="gzip"),
    ],
)
def test_variants_of_the_format(
    tmp_path: Path, content: bytes, token: str, expected: list[float]
) -> None:
    check_vectors(write(tmp_path, content), embedding_dim=2)
    matrix, found = load_vectors(write(tmp_path, content), [token], embedding_dim=2)

    assert found.tolist() == [True]
    np.testing.assert_allclose(matrix[0], expected)


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        pytest.param(b"the 1 2 3\n", ":1", "embedding_dim = 2 numbers, but got 3", id="too-wide"),
        pytest.param(b"9 3\nthe 1 2 3\n", ":1", "embedding_dim = 2 .* got 3", id="header"),
        pytest.param(b"3 2\nthe 1 2 3\n", ":2", "embedding_dim = 2 .* got 3", id="after-header"),
        pytest.param(b"the 1 2\nfilm 3\n", ":2", "embedding_dim = 2 .* got 1", id="too-narrow"),
        pytest.param(b"the 1 2\nfilm 3 x\n", ":2", "must hold numbers", id="no-number"),
        pytest.param(b"the 1 2\nfilm 3 nan\n", ":2", "finite", id="not-finite"),
        pytest.param(b"the 1 2\nfilm 3 -Inf\n", ":2", "finite", id="infinite"),
        pytest.param(b"the,1,2\n", ":1", "= 2 numbers, but got 0", id="commas"),
        pytest.param(b"PK\x03\x04\0\0\0", "vectors.txt", "binary", id="zip"),
        pytest.param("the 1 2\n".encode("utf-16"), "vectors.txt", "binary", id="utf-16"),
        pytest.param(gzip.compress(b"the 1 2\n" * 99)[:20], "txt", "cannot read", id="cut-short"),
        pytest.param(b"", "vectors.txt", "at least one", id="empty"),
        pytest.param(b"0 2\n", "vectors.txt", "at least one", id="header-only"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, content: bytes, where: str, message: str
) -> None:
    for read in (
        lambda path: check_vectors(path, embedding_dim=2),
        lambda path: load_vectors(path, ["film"], embedding_dim=2),
    ):
        with pytest.raises(DataError, match=message) as refusal:
            read(write(tmp_path, content))
        assert (refusal.value.where or "").endswith(where)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file") as refusal:
        load_vectors(tmp_path / "absent.txt", ["film"], embedding_dim=2)

    assert "model.pretrained_vectors" in (refusal.value.remedy or "")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GLOVE)
    monkeypatch.setenv("HOME", str(tmp_path))
    check_vectors("~/vectors.txt", embedding_dim=2)
    _, found = load_vectors("~/vectors.txt", ["film"], embedding_dim=2)
    assert found.all()


def test_every_vector_is_checked_before_and_only_the_wanted_ones_are_read_after(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, b"film 3 4\nthe x y\n")
    with pytest.raises(DataError, match="must hold numbers"):
        check_vectors(path, embedding_dim=2)
    load_vectors(path, ["film"], embedding_dim=2)


def refusal_of(path: Path, words: list[str], *, min_share: float = 0.2) -> DataError | None:
    _, has_vector = load_vectors(path, words, embedding_dim=2)
    try:
        check_match(
            path,
            words,
            [10 * (n + 1) for n in range(len(words))],
            has_vector,
            embedding_dim=2,
            min_share=min_share,
        )
    except DataError as error:
        return error
    return None


def test_the_match_counts_words_and_their_occurrences() -> None:
    match = VectorMatch.of([70, 20, 10], np.array([True, False, True]))
    assert (match.num_words, match.num_matched, match.share) == (3, 2, pytest.approx(0.8))
    assert str(match) == (
        "2 of 3 words have a pretrained vector, 80.0% of their occurrences in train"
    )


def test_vectors_that_the_texts_hardly_use_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GLOVE)
    assert refusal_of(path, ["the", "film"]) is None
    assert refusal_of(path, ["the", "x", "y"], min_share=0.1) is None
    error = refusal_of(path, ["der", "film", "das", "ist", "gut", "und"])
    assert error is not None
    assert error.message == (
        "at least 20% of the words' occurrences in train must have a pretrained vector, but only "
        "9.5% have (1 of 6 words; the file begins with 'the', 'film', 'good', the vocabulary with "
        "'der', 'film', 'das')"
    )
    assert "language" in (error.remedy or "")
    assert refusal_of(path, ["x"], min_share=0.0) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"The 1 2\nFilm 3 4\n. 5 6\n", ["the", "film"]), (GLOVE, ["The", "FILM"])],
    ids=["vectors", "vocabulary"],
)
def test_a_refusal_says_that_capitals_are_at_fault(
    tmp_path: Path, content: bytes, words: list[str]
) -> None:
    error = refusal_of(write(tmp_path, content), words)
    assert error is not None
    assert "words differ in capitals: without them 100.0% would have one" in (error.remedy or "")
    assert "text.lowercase" in (error.remedy or "")
