from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.config.text import TextConfig
from rnnlane.data.prepare import blocks
from rnnlane.data.prepare.blocks import (
    TOKENS_SCHEMA,
    excerpt,
    quantile,
    tokenize_in_parts,
    tokenize_rows,
)
from rnnlane.data.prepare.keys import content_key, exact_key, split_key
from rnnlane.data.prepare.text import TextProcessor
from rnnlane.data.sources.row_tables import tables_of
from rnnlane.data.sources.rows import RawRow


def tokenize(*rows: RawRow, **text: object) -> list[dict[str, object]]:
    (table,) = tables_of(rows)
    processor = TextProcessor.from_config(TextConfig.model_validate(text))
    result = tokenize_rows(table, processor=processor)
    assert result.schema == TOKENS_SCHEMA
    records: list[dict[str, object]] = result.to_pylist()
    return records


def test_a_large_table_is_tokenized_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TABLE_BYTES", 1000)
    rows = [RawRow(b"a film " * (n % 40), "pos", str(n)) for n in range(100)]
    (table,) = tables_of(rows)
    processor = TextProcessor.from_config(TextConfig())
    parts = list(tokenize_in_parts(table, processor=processor))
    assert len(parts) > 10
    assert pa.concat_tables(parts).equals(tokenize_rows(table, processor=processor))
    (one,) = tokenize_in_parts(table.slice(99), processor=processor)
    assert one["id"].to_pylist() == ["99"]


def test_a_row_gets_tokens_and_their_key() -> None:
    (row,) = tokenize(RawRow(b"A<br />fine  Film!", "pos", "7", True, "g"))
    assert row == {
        "tokens": ["a", "fine", "film", "!"],
        "text": "A<br />fine  Film!",
        "key": split_key("A<br />fine  Film!"),
        "exact": exact_key("A<br />fine  Film!"),
        "look": content_key(b"a\0fine\0film\0!"),
        "label": "pos",
        "id": "7",
        "official_test": True,
        "group": "g",
        "dropped": None,
        "invalid_utf8": False,
        "cut_chars": False,
        "cut_length": False,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (RawRow(None, "pos"), "null_text"),
        (RawRow(None, None), "null_text"),
        (RawRow(b"text", None), "null_label"),
        (RawRow(b"", "pos"), "empty_text"),
        (RawRow(b" \n\x00", "pos"), "empty_text"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: RawRow, reason: str) -> None:
    result, other = tokenize(row, RawRow(b"fine", "pos"))
    assert (result["dropped"], result["tokens"]) == (reason, None)
    assert other["dropped"] is None


@pytest.mark.parametrize(
    ("text", "settings"),
    [(b"it is the", {"stop_words": "english"}), (b" <br /> ", {"strip_html": True})],
)
def test_a_text_that_the_settings_leave_empty_has_no_look_but_a_key(text, settings) -> None:
    (row,) = tokenize(RawRow(text, "pos"), **settings)
    assert (row["dropped"], row["look"], row["tokens"]) == (None, None, None)
    assert row["key"] == split_key(text.decode())


@pytest.mark.parametrize(("keep", "tokens"), [("head", ["a", "b"]), ("tail", ["b", "c"])])
def test_only_what_is_kept_of_a_text_is_left(keep, tokens) -> None:
    cut, whole = tokenize(RawRow(b"a b c", "p"), RawRow(b"a b", "p"), max_length=2, keep=keep)
    assert (cut["tokens"], cut["cut_length"]) == (tokens, True)
    assert (whole["tokens"], whole["cut_length"]) == (["a", "b"], False)
    assert (cut["look"] == whole["look"]) == (keep == "head")
    assert cut["key"] != whole["key"]


@given(
    st.text(),
    st.fixed_dictionaries(
        {},
        optional={
            "lowercase": st.booleans(),
            "tokenizer": st.sampled_from(["wordpunct", "characters"]),
            "strip_html": st.booleans(),
            "unicode_form": st.sampled_from(["NFC", "NFKC", "none"]),
            "max_length": st.integers(1, 5),
            "keep": st.sampled_from(["head", "tail"]),
            "max_chars": st.integers(1, 5),
        },
    ),
)
def test_no_text_setting_reaches_what_decides_the_split(text, settings) -> None:
    row = RawRow(text.encode(errors="surrogatepass"), "pos")
    (plain,), (other,) = tokenize(row), tokenize(row, **settings)
    for column in ("key", "exact", "dropped", "invalid_utf8"):
        assert plain[column] == other[column]


def test_broken_utf8_is_mended_and_marked() -> None:
    broken, whole = tokenize(RawRow(b"caf\xe9 film", "pos"), RawRow("café".encode(), "pos"))
    assert broken["invalid_utf8"]
    assert "film" in broken["tokens"]  # type: ignore[operator]
    assert not whole["invalid_utf8"]


def test_a_text_beyond_max_chars_is_cut_and_marked() -> None:
    cut, whole = tokenize(RawRow(b"abcdefgh", "pos"), RawRow(b"abcd", "pos"), max_chars=4)
    assert cut["tokens"] == whole["tokens"] == ["abcd"]
    assert cut["look"] == whole["look"]
    assert cut["key"] != whole["key"]
    assert (cut["cut_chars"], whole["cut_chars"]) == (True, False)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]),
)
def test_quantiles_of_counts_are_those_of_the_numbers(lengths, share) -> None:
    assert quantile(np.bincount(lengths), share) == np.quantile(lengths, share)


def test_of_a_long_text_the_beginning_and_the_end_can_be_read() -> None:
    assert excerpt("x" * 1000) == "x" * 1000
    long = excerpt("a" * 700 + "b" * 500)
    assert long == "a" * 600 + " [...] " + "b" * 400
    (row,) = tokenize(RawRow(b"a\xff" + b" b" * 5000, "p"), max_chars=10)
    assert row["text"] == excerpt("a\ufffd" + " b" * 5000)
