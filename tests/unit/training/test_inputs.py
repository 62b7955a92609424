import pytest
import torch

from rnnlane.training.inputs import FEW, SMALLEST, Shape, round_up


@pytest.mark.parametrize(
    "shape", [Shape(1, 1, 1, 1, 1), Shape(5, 3, 7, 4, 9), Shape(4, 32, 1024, 64, 512)]
)
def test_every_entry_of_the_packed_array_is_one_input(shape):
    packed = torch.full((shape.num_entries,), -1)
    inputs = shape.views(packed)
    for tensor in inputs:
        tensor.zero_()
    # An odd number of rows leaves half an entry of each kind of weight unused.
    halves = packed.view(torch.int32)
    assert int((halves != 0).sum()) == 2 * (shape.num_rows % 2)
    for number, tensor in enumerate(inputs):
        tensor.fill_(number)
    assert [tensor.unique().tolist() for tensor in inputs] == [[number] for number in range(9)]


def test_without_ngrams_there_is_no_entry_for_them():
    shape = Shape(5, 3, 7)
    assert Shape(5, 3, 7, num_ngrams=4, num_buckets=9).num_entries == shape.num_entries + 29
    inputs = shape.views(torch.zeros(shape.num_entries, dtype=torch.int64))
    assert inputs.ngrams.shape == (5, 0)
    assert inputs.buckets.shape == (0,)


def test_shapes_are_those_of_the_inputs():
    inputs = Shape(5, 3, 7).views(torch.zeros(Shape(5, 3, 7).num_entries, dtype=torch.int64))
    assert inputs.positions.shape == (5, 3)
    assert inputs.ids.shape == (7,)
    for tensor in (inputs.lengths, inputs.labels, inputs.weights, inputs.loss_weights):
        assert tensor.shape == (5,)


def test_settings_are_read_by_name():
    shape = Shape(2, 3, 4)
    packed = torch.zeros(shape.num_entries, dtype=torch.int64)
    shape.views(packed).describe(loss_weight=2.5, num_tokens=5, num_unlabeled=7)
    shape.views(packed).decide(rate=0.25, max_norm=torch.inf, save=True)
    copied = shape.views(packed.clone())
    assert copied.loss_weight.item() == 2.5
    assert copied.num_unlabeled.item() == 7.0
    assert copied.rate.item() == 0.25
    assert copied.max_norm.item() == torch.inf
    assert copied.counts.tolist() == [1.0, 5.0, 6.0]


def test_rounding_up():
    assert [round_up(number, 32) for number in (1, 32, 33)] == [32, 32, 64]


def test_numbers_of_ids_are_few_and_cost_at_most_a_quarter():
    numbers = range(1, 30_000)
    padded = [FEW.num_ids(number) for number in numbers]
    assert all(few >= number for few, number in zip(padded, numbers, strict=True))
    assert all(
        few <= 1.25 * number for few, number in zip(padded, numbers, strict=True) if number > 4096
    )
    assert sorted(set(padded))[:7] == [1024, 2048, 3072, 4096, 5120, 6144, 7168]
    assert len(set(padded)) == 16
    # What memory is made for: a larger vocabulary never has fewer.
    assert padded == sorted(padded)
    assert [SMALLEST.num_ids(number) for number in (1, 4097, 29_999)] == [1, 4097, 29_999]
