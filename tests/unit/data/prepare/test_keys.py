from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.data.prepare.keys import (
    KEY_BYTES,
    content_key,
    exact_key,
    key_array,
    numbered,
    row_keys,
    split_key,
    token_key,
    word_keys,
)


def test_keys_are_equal_for_equal_contents_only_and_sort_alike_everywhere() -> None:
    assert content_key(b"a film") == content_key(b"a film") != content_key(b"a film ")
    keys = [content_key(b"a"), None, bytes(range(16)), content_key(b"b")]
    chunks = [pa.array(part, pa.binary(KEY_BYTES)) for part in (keys, [], keys[:1])]
    column = pa.chunked_array(chunks).slice(1)
    numbers = key_array(column)
    assert numbers.shape == (4, 2)
    assert numbers[1].tolist() == [0x0706050403020100, 0x0F0E0D0C0B0A0908]
    assert numbers[3].tobytes() == keys[0]
    assert key_array(pa.chunked_array([], pa.binary(KEY_BYTES))).shape == (0, 2)


def test_the_key_of_a_word_is_the_same_for_ever() -> None:
    keys = word_keys(["film", "é", "", "\ud800"])
    assert keys.dtype == np.uint32
    assert keys.tolist() == [2866063698, 3259254165, 634351890, 3881294392]
    assert word_keys([]).tolist() == []


@pytest.mark.parametrize(
    "same",
    [
        ("A  fine\n film", "a Fine FILM "),
        ("  a    b", "a b "),
        ("caf\u00e9", "cafe\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\uff21\uff22", "ab"),
        ("so\u00adft", "soft"),
        ("\ufeffmark", "mark"),
        ("zero\u200bwidth", "zerowidth"),
        ("a\xa0b", "a b"),
        ("half\ud83d", "half"),
    ],
)
def test_texts_that_a_person_reads_as_the_same_share_a_split_key(same: tuple[str, str]) -> None:
    one, other = same
    assert split_key(one) == split_key(other) is not None
    assert exact_key(one) != exact_key(other)


@pytest.mark.parametrize(
    "different",
    [("ab", "a b"), ("<b>x</b>", "<i>x</i>"), ("a.", "a"), ("&lt;", "<"), ("caf\ufffd", "caf")],
)
def test_other_texts_do_not(different: tuple[str, str]) -> None:
    one, other = different
    assert split_key(one) != split_key(other)


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\ud83d", "\u200b"])
def test_a_text_with_nothing_to_read_has_no_split_key(text: str) -> None:
    assert split_key(text) is None


def test_a_long_text_is_folded_at_its_head_only_so_that_time_stays_linear() -> None:
    long = "A" * 20_000
    assert split_key(long + "b") == split_key(long.lower() + "b") != split_key(long + "B")
    assert split_key("x" + "\u0300\u0316" * 1_000_000) is not None


def test_tokens_are_told_apart_by_their_bounds() -> None:
    assert token_key(["ab", "c"]) != token_key(["a", "bc"])
    assert token_key(["\ud800"]) != token_key(["\ud801"])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_equal_keys_have_equal_numbers(pairs: list[tuple[int, int]]) -> None:
    numbers = numbered(np.array(pairs, dtype=np.uint64).reshape(-1, 2)).tolist()
    assert len(set(zip(pairs, numbers, strict=True))) == len(set(pairs)) == len(set(numbers))
    assert sorted(set(numbers)) == list(range(len(set(pairs))))


def keyed(rows: list[tuple[str, str]], class_names: tuple[str, ...]) -> list[int]:
    digests = pa.array([exact_key(text) for text, _ in rows], pa.binary(KEY_BYTES))
    exact = key_array(pa.chunked_array([digests]))
    labels = np.array([class_names.index(name) for _, name in rows])
    keys: list[int] = row_keys(exact, labels, class_names).tolist()
    return keys


def test_a_row_key_is_made_of_text_class_name_and_copy() -> None:
    rows = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"), ("a", "x")]
    keys = keyed(rows, ("x", "y"))
    assert len(set(keys)) == 5
    # Neither the number of the class, nor the other rows or their order count.
    assert sorted(keyed(rows[::-1], ("w", "y", "x"))) == sorted(keys)
    assert keyed(rows[:3], ("x", "y")) == keys[:3]
    # Known values: were they to change, no run could be compared with an earlier one.
    assert keys[0] == 6_115_964_032_145_615_203


def test_no_rows_have_no_keys() -> None:
    assert row_keys(np.zeros((0, 2), np.uint64), np.zeros(0, int), ("x",)).tolist() == []
