import pytest
from pydantic import ValidationError

from rnnlane.config.baseline import BaselineConfig


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_words", 0),
        ("num_words", 4),
        ("hash_bits", 9),
        ("weighting", "svm"),
        ("min_rows", 0),
        ("inverse_strength", float("inf")),
    ],
)
def test_values_that_fit_no_model_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        BaselineConfig.model_validate({key: value})


def test_each_weighting_has_defaults_of_its_own() -> None:
    plain, tfidf = BaselineConfig(), BaselineConfig(weighting="tfidf")
    assert (plain.weighting, plain.num_words) == ("nb", 3)
    assert (tfidf.num_words, tfidf.min_rows, tfidf.inverse_strength) == (2, 2, 10.0)
    assert BaselineConfig(weighting="tfidf", min_rows=5).min_rows == 5
    assert BaselineConfig.model_validate(tfidf.model_dump()) == tfidf
    with pytest.raises(ValidationError, match="num_words must be 1 or 2 with tfidf, but got 3"):
        BaselineConfig(weighting="tfidf", num_words=3)
