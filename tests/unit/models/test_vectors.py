from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rnnlane.config.experiment import ModelConfig
from rnnlane.errors import DataError
from rnnlane.models.classifier import build_model
from rnnlane.models.vectors import apply_vectors, load_vectors

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
        pytest.param(b"film 3 4\nthe x y\n", "film", [3, 4], id="unwanted-lines-are-not-read"),
    ],
)
def test_variants_of_the_format(
    tmp_path: Path, content: bytes, token: str, expected: list[float]
) -> None:
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
        pytest.param(b"", "vectors.txt", "at least one", id="empty"),
        pytest.param(b"0 2\n", "vectors.txt", "at least one", id="header-only"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, content: bytes, where: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        load_vectors(write(tmp_path, content), ["film"], embedding_dim=2)

    assert (refusal.value.where or "").endswith(where)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file") as refusal:
        load_vectors(tmp_path / "absent.txt", ["film"], embedding_dim=2)

    assert "model.pretrained_vectors" in (refusal.value.remedy or "")


def test_found_vectors_replace_rows_of_the_embedding_but_not_padding() -> None:
    model = build_model(ModelConfig(embedding_dim=2), vocabulary_size=4, num_classes=2, seed=0)
    before = model.embedding.weight.detach().clone()
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2) + 1

    apply_vectors(model, matrix, np.array([True, False, True, True]))

    weight = model.embedding.weight
    assert weight.requires_grad
    assert weight.is_leaf
    assert weight[0].tolist() == [0, 0]
    assert torch.equal(weight[1], before[1])
    assert weight[2:].tolist() == [[5, 6], [7, 8]]


def test_vectors_of_another_shape_are_refused() -> None:
    model = build_model(ModelConfig(embedding_dim=2), vocabulary_size=4, num_classes=2, seed=0)

    with pytest.raises(ValueError, match=r"shape \(4, 2\), but got \(4, 3\)"):
        apply_vectors(model, np.zeros((4, 3), dtype=np.float32), np.ones(4, dtype=np.bool_))
