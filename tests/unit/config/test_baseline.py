import pytest
from pydantic import ValidationError

from rnnlane.config.baseline import BaselineConfig


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_words", 0), ("num_words", 3), ("min_rows", 0), ("inverse_strength", float("inf"))],
)
def test_values_that_fit_no_model_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        BaselineConfig.model_validate({key: value})
