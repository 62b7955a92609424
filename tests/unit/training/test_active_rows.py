import numpy as np
import pytest
import torch
from torch.nn import functional

from rnnlane.training.active_rows import ActiveRowIndex, embed, gather, scattered

TOKENS = np.array([7, 3, 7, 5], dtype=np.int32)
OWN = np.array([[7, 3], [3, 0]])


def active(tokens=TOKENS, own=OWN, *, num_padding=0):
    """The ids and the positions of a step, as tensors."""
    index = ActiveRowIndex(9)
    ids = np.append(index.find(tokens), [0] * num_padding).astype(np.int64)
    return torch.from_numpy(ids), torch.from_numpy(index.positions(own))


def test_ids_are_sorted_with_padding_first_and_positions_point_at_them():
    ids, positions = active()
    assert ids.tolist() == [0, 3, 5, 7]
    assert positions.tolist() == [[3, 1], [1, 0]]
    assert torch.equal(ids[positions], torch.from_numpy(OWN))


def test_a_step_leaves_nothing_behind_for_the_next():
    index = ActiveRowIndex(9)
    index.find(TOKENS)
    assert index.find(np.array([8])).tolist() == [0, 8]
    assert index.positions(np.array([[8]])).tolist() == [[1]]


@pytest.mark.parametrize("num_padding", [0, 1, 5])
def test_the_gradient_of_the_active_rows_is_that_of_the_table(num_padding):
    own = torch.from_numpy(OWN)
    table = torch.nn.Parameter(torch.randn(9, 4))
    weights = torch.randn(2, 2, 4)
    (functional.embedding(own, table, padding_idx=0) * weights).sum().backward()
    expected = table.grad.clone()

    table.grad.zero_()
    ids, positions = active(num_padding=num_padding)
    rows = gather(table, ids)
    assert torch.equal(embed(rows, positions), functional.embedding(own, table))
    (embed(rows, positions) * weights).sum().backward()
    with scattered(rows.grad, table, ids):
        torch.testing.assert_close(table.grad, expected)
    assert not table.grad.any()


def test_gathering_does_not_change_the_table():
    table = torch.nn.Parameter(torch.ones(9, 4))
    rows = gather(table, active()[0])
    with torch.no_grad():
        rows.zero_()
    assert table.min() == 1
    assert rows.is_leaf


def test_a_token_outside_of_the_vocabulary_is_an_error():
    with pytest.raises(IndexError):
        ActiveRowIndex(7).find(TOKENS)
