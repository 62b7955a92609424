from __future__ import annotations

import pytest

from rnnlane.data.sources.rows import class_name_of
from rnnlane.errors import DataError


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("pos", "pos"),
        (" pos\n", "pos"),
        ("1.0", "1.0"),
        ("", None),
        (None, None),
        (float("nan"), None),
        (1, "1"),
        (1.0, "1"),
        (-2.0, "-2"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_labels_of_any_type_become_class_names(value: object, name: str | None) -> None:
    assert class_name_of(value, where="x") == name


@pytest.mark.parametrize("value", [0.5, float("inf"), [1], {"a": 1}, b"pos"])
def test_a_label_that_is_no_class_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="a label must be") as caught:
        class_name_of(value, where="file:3 label")
    assert caught.value.where == "file:3 label"
