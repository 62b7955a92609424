"""Texts without labels, dealt to the steps."""

import numpy as np
import pytest

from rnnlane.data.batches.encoded import EncodedSplit
from rnnlane.data.batches.unlabeled import UnlabeledRows


def texts(num: int) -> EncodedSplit:
    """Of one token, which is its number."""
    tokens = np.arange(num, dtype=np.int32)
    return EncodedSplit(tokens, np.arange(num + 1), np.full(num, -1))


@pytest.mark.parametrize("num_texts", [1, 3, 20, 101])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_each_text_comes_once_before_any_comes_again(num_texts, size):
    num_steps = 9
    rows = UnlabeledRows(texts(num_texts), rows_a_step=size, num_steps=num_steps, seed=3)
    taken = [rows.of_step(epoch, step).token_ids for epoch in range(5) for step in range(num_steps)]
    assert {len(step) for step in taken} == {size}
    found = np.concatenate(taken)
    passes = [found[at : at + num_texts] for at in range(0, len(found), num_texts)]
    for one in passes[:-1]:
        assert sorted(one.tolist()) == list(range(num_texts))
    if num_texts > 10 and len(passes) > 2:
        assert passes[0].tolist() != passes[1].tolist()


def test_the_texts_of_a_step_are_of_similar_length_and_steps_are_not_in_their_order():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 400, 4000)
    offsets = np.append(0, np.cumsum(lengths))
    split = EncodedSplit(np.zeros(offsets[-1], np.int32), offsets, np.full(4000, -1))
    rows = UnlabeledRows(split, rows_a_step=40, num_steps=100, seed=3)
    steps = [rows.of_step(0, step).lengths for step in range(100)]
    spread = np.mean([step.max() - step.min() for step in steps])
    assert spread < 0.1 * np.ptp(lengths)
    longest = np.array([step.max() for step in steps])
    assert abs(np.corrcoef(longest, np.arange(100))[0, 1]) < 0.3
    assert abs(np.corrcoef(longest[:50], np.arange(50))[0, 1]) < 0.4


def test_a_step_is_the_same_wherever_one_begins():
    whole = UnlabeledRows(texts(20), rows_a_step=7, num_steps=4, seed=3)
    steps = {(e, s): whole.of_step(e, s).token_ids.tolist() for e in range(3) for s in range(4)}
    for place, tokens in reversed(steps.items()):
        again = UnlabeledRows(texts(20), rows_a_step=7, num_steps=4, seed=3)
        assert again.of_step(*place).token_ids.tolist() == tokens
    other = UnlabeledRows(texts(20), rows_a_step=7, num_steps=4, seed=4)
    assert other.of_step(0, 0).token_ids.tolist() != steps[0, 0]
