from __future__ import annotations

import pytest

from rnnlane.config.experiment import DataConfig, TextConfig
from rnnlane.data.prepare.limits import check_dropped, check_repaired, check_unknown
from rnnlane.errors import DataError

CONFIG = DataConfig.model_validate({"source": {"kind": "generated"}})


def test_many_texts_that_cannot_be_decoded_are_refused_naming_the_encoding() -> None:
    check_repaired(20, num_rows=1000, config=CONFIG)
    with pytest.raises(DataError, match=r"2\.0% of the texts .* 21 of 1,000 \(2\.1%\)") as caught:
        check_repaired(21, num_rows=1000, config=CONFIG)
    assert "data.source.encoding" in str(caught.value.remedy)


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


def test_a_vocabulary_that_knows_little_is_refused_naming_characters() -> None:
    check_unknown(0.4, config=CONFIG, text=TextConfig())
    with pytest.raises(DataError, match=r"at most 40\.0% .* but 52\.0% are") as caught:
        check_unknown(0.52, config=CONFIG, text=TextConfig())
    assert "text.tokenizer: characters" in str(caught.value.remedy)
    with pytest.raises(DataError) as caught:
        check_unknown(0.52, config=CONFIG, text=TextConfig(tokenizer="characters"))
    assert "characters" not in str(caught.value.remedy)
