from __future__ import annotations

import pyarrow as pa
import pytest

from rnnlane.config.experiment import TextConfig
from rnnlane.data.prepare.blocks import TOKENS_SCHEMA, describe_rows, tokenize_rows
from rnnlane.data.prepare.splits import content_key
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


def test_a_row_gets_tokens_and_their_key() -> None:
    (row,) = tokenize(RawRow(b"A<br />fine  Film!", "pos", "7", True))
    assert row == {
        "tokens": ["a", "fine", "film", "!"],
        "key": content_key("a\0fine\0film\0!"),
        "label": "pos",
        "id": "7",
        "official_test": True,
        "dropped": None,
        "invalid_utf8": False,
        "cut": False,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (RawRow(None, "pos"), "null_text"),
        (RawRow(None, None), "null_text"),
        (RawRow(b"text", None), "null_label"),
        (RawRow(b"", "pos"), "empty_text"),
        (RawRow(b" <br /> \x00", "pos"), "empty_text"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: RawRow, reason: str) -> None:
    result, other = tokenize(row, RawRow(b"fine", "pos"))
    assert (result["dropped"], result["tokens"]) == (reason, None)
    assert other["dropped"] is None


def test_a_text_of_stop_words_alone_is_empty() -> None:
    (row,) = tokenize(RawRow(b"it is the", "pos"), stop_words="english")
    assert row["dropped"] == "empty_text"


def test_broken_utf8_is_mended_and_marked() -> None:
    broken, whole = tokenize(RawRow(b"caf\xe9 film", "pos"), RawRow("café".encode(), "pos"))
    assert broken["invalid_utf8"]
    assert "film" in broken["tokens"]  # type: ignore[operator]
    assert not whole["invalid_utf8"]


def test_a_text_beyond_max_chars_is_cut_and_marked() -> None:
    cut, whole = tokenize(RawRow(b"abcdefgh", "pos"), RawRow(b"abcd", "pos"), max_chars=4)
    assert cut["tokens"] == whole["tokens"] == ["abcd"]
    assert cut["key"] == whole["key"]
    assert (cut["cut"], whole["cut"]) == (True, False)


def test_the_driver_gets_all_but_the_tokens() -> None:
    table = TOKENS_SCHEMA.empty_table()
    assert describe_rows(table).schema == pa.schema(list(TOKENS_SCHEMA)[1:])
