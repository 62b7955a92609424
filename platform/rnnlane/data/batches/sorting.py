"""Sorting by several keys at once, as numpy sorts plain numbers many times faster than indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

WORD_BITS = 64


def sorted_positions(
    groups: npt.NDArray[np.integer[Any]],
    keys: npt.NDArray[np.unsignedinteger[Any]],
    *,
    key_bits: int = WORD_BITS,
) -> npt.NDArray[np.int64]:
    """What ``np.lexsort((keys, groups))`` returns, in a fraction of the time.

    Group, key and position are packed into one number each, and numbers are sorted. Where a key has
    more bits than there is room for, its high bits go along, and the few neighbors that agree in
    them are put in order afterwards.

    Args:
        groups: [N], at least 0.
        keys: [N]; below ``2**key_bits``.
        key_bits: at most 64.

    Returns:
        int64 [N], positions in order of group, key and position.
    """
    num = len(groups)
    position_bits = max(num - 1, 0).bit_length()
    group_bits = int(groups.max(initial=0)).bit_length()
    room = WORD_BITS - group_bits - position_bits
    if room < 0:
        return np.lexsort((keys, groups)).astype(np.int64, copy=False)
    left_out = max(key_bits - room, 0)
    packed = groups.astype(np.uint64)
    packed <<= np.uint64(key_bits - left_out)
    if key_bits > left_out:
        packed |= keys >> np.uint64(left_out) if left_out else keys.astype(np.uint64, copy=False)
    packed <<= np.uint64(position_bits)
    packed |= np.arange(num, dtype=np.uint64)
    packed.sort()
    positions = (packed & np.uint64((1 << position_bits) - 1)).astype(np.int64)
    if left_out:
        packed >>= np.uint64(position_bits)
        _settle_ties_(positions, packed, keys)
    return positions


def _settle_ties_(
    positions: npt.NDArray[np.int64],
    sorted_by: npt.NDArray[np.uint64],
    keys: npt.NDArray[np.unsignedinteger[Any]],
) -> None:
    """Orders by their whole keys the positions whose ``sorted_by`` are equal."""
    equal = sorted_by[1:] == sorted_by[:-1]
    if not equal.any():
        return
    tied = np.zeros(len(positions), dtype=bool)
    tied[1:] |= equal
    tied[:-1] |= equal
    members = positions[tied]
    positions[tied] = members[np.lexsort((keys[members], sorted_by[tied]))]
