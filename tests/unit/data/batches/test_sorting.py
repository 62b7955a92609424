import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlane.data.batches.sorting import sorted_positions


@settings(deadline=None)
@given(
    num=st.integers(0, 300),
    num_groups=st.sampled_from([1, 3, 40, 2**40, 2**62]),
    num_keys=st.sampled_from([1, 5, 2**20, 2**64]),
    seed=st.integers(0, 99),
)
def test_it_is_the_order_of_lexsort(num: int, num_groups: int, num_keys: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, num_groups, num, dtype=np.int64)
    keys = random.integers(0, num_keys, num, dtype=np.uint64, endpoint=False)
    bits = (num_keys - 1).bit_length()
    found = sorted_positions(groups, keys, key_bits=bits)
    np.testing.assert_array_equal(found, np.lexsort((keys, groups)))
    assert found.dtype == np.int64


@pytest.mark.parametrize("num_groups", [1, 2**30, 2**55, 2**62])
def test_keys_that_agree_in_their_high_bits_are_told_apart(num_groups: int) -> None:
    """There is no room for low bits beside so many groups and positions."""
    random = np.random.default_rng(0)
    groups = np.sort(np.tile(random.integers(0, num_groups, 5), 100))
    keys = random.integers(0, 40, 500, dtype=np.uint64)
    np.testing.assert_array_equal(sorted_positions(groups, keys), np.lexsort((keys, groups)))
