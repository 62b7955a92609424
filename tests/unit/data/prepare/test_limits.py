from __future__ import annotations

import numpy as np
import pytest

from rnnlane.config.data import DataConfig
from rnnlane.config.text import TextConfig
from rnnlane.data.prepare.blocks import PartStats
from rnnlane.data.prepare.limits import check_dropped, check_repaired, check_unknown
from rnnlane.errors import DataError

CONFIG = DataConfig.model_validate({"source": {"kind": "generated"}})


def test_many_texts_that_cannot_be_decoded_are_refused_naming_the_encoding() -> None:
    config = DataConfig.model_validate({"source": {"kind": "csv", "path": "x.csv"}})
    check_repaired(50, num_rows=1000, config=config)
    with pytest.raises(DataError, match=r"5\.0% of the texts .* 51 of 1,000 \(5\.1%\)") as caught:
        check_repaired(51, num_rows=1000, config=config)
    assert "data.source.encoding" in str(caught.value.remedy)
    parquet = DataConfig.model_validate({"source": {"kind": "parquet", "path": "x.parquet"}})
    with pytest.raises(DataError) as caught:
        check_repaired(51, num_rows=1000, config=parquet)
    assert caught.value.remedy == (
        "make the files again, with their texts as UTF-8; or raise data.max_repaired"
    )


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        ("null_text", "data.columns.text"),
        ("null_label", "data.columns.label"),
        ("empty_text", "text.tokenizer"),
        ("duplicate_id", "data.columns.id"),
    ],
)
def test_what_made_most_rows_unusable_decides_the_remedy(reason: str, key: str) -> None:
    others = dict.fromkeys(("null_text", "null_label", "empty_text", "duplicate_id"), 1)
    with pytest.raises(DataError, match=f"40 {reason}") as caught:
        check_dropped({**others, reason: 40}, num_rows=100, config=CONFIG)
    assert key in str(caught.value.remedy)


def test_rows_that_were_to_be_dropped_do_not_count() -> None:
    asked = {"rare_class": 50, "unknown_label": 50, "conflicting_label": 50}
    check_dropped(asked | {"null_text": 5}, num_rows=100, config=CONFIG)


def written(num_words: int, num_unknown: int) -> PartStats:
    nothing = np.zeros(0, dtype=np.int64)
    return PartStats(nothing, nothing, 99, num_words, num_unknown, nothing)


def test_a_vocabulary_that_knows_few_words_is_refused_naming_characters() -> None:
    check_unknown(written(50, 40) + written(50, 20), config=CONFIG, text=TextConfig())
    check_unknown(written(0, 0), config=CONFIG, text=TextConfig())
    parts = written(50, 40) + written(50, 21)
    with pytest.raises(DataError, match=r"at most 60\.0% .* but 61 of 100 \(61\.0%\)") as caught:
        check_unknown(parts, config=CONFIG, text=TextConfig())
    assert "text.tokenizer: characters" in str(caught.value.remedy)
    with pytest.raises(DataError) as caught:
        check_unknown(parts, config=CONFIG, text=TextConfig(tokenizer="characters"))
    assert "characters" not in str(caught.value.remedy)
