import numpy as np
import pytest
import torch
from torch.nn import functional

from rnnlane.training.active_rows import ActiveRowIndex

CPU = torch.device("cpu")
TOKENS = np.array([7, 3, 7, 5], dtype=np.int32)
OWN = torch.tensor([[7, 3], [3, 0]])


def test_ids_are_sorted_with_padding_first_and_positions_point_at_them():
    active = ActiveRowIndex(9, CPU)(TOKENS, OWN)
    assert active.ids.tolist() == [0, 3, 5, 7]
    assert active.positions.tolist() == [[3, 1], [1, 0]]
    assert torch.equal(active.ids[active.positions], OWN)


def test_a_step_leaves_nothing_behind_for_the_next():
    index = ActiveRowIndex(9, CPU)
    index(TOKENS, OWN)
    active = index(np.array([8], dtype=np.int32), torch.tensor([[8]]))
    assert active.ids.tolist() == [0, 8]
    assert active.positions.tolist() == [[1]]


def test_the_gradient_of_the_active_rows_is_that_of_the_table():
    table = torch.nn.Parameter(torch.randn(9, 4))
    weights = torch.randn(2, 2, 4)
    (functional.embedding(OWN, table) * weights).sum().backward()
    expected = table.grad.clone()

    table.grad.zero_()
    active = ActiveRowIndex(9, CPU)(TOKENS, OWN)
    rows = active.gather(table)
    assert torch.equal(active.embed(rows), functional.embedding(OWN, table))
    (active.embed(rows) * weights).sum().backward()
    with active.scattered(rows.grad, table):
        torch.testing.assert_close(table.grad, expected)
    assert not table.grad.any()


def test_gathering_does_not_change_the_table():
    table = torch.nn.Parameter(torch.ones(9, 4))
    rows = ActiveRowIndex(9, CPU)(TOKENS, OWN).gather(table)
    with torch.no_grad():
        rows.zero_()
    assert table.min() == 1
    assert rows.is_leaf


def test_a_token_outside_of_the_vocabulary_is_an_error():
    with pytest.raises(IndexError):
        ActiveRowIndex(7, CPU)(TOKENS, OWN)
