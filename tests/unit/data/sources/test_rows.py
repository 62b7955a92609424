from __future__ import annotations

from datetime import date

import pytest

from rnnlane.data.sources.rows import class_name_of, id_of
from rnnlane.errors import DataError


@pytest.mark.parametrize(
    ("value", "name"),
    [("pos", "pos"), (" pos\n", "pos"), ("1.0", "1"), ("", None), (None, None), (True, "true")],
)
def test_labels_and_ids_have_the_normal_form(value: object, name: str | None) -> None:
    assert class_name_of(value, where="x") == name
    assert id_of(value, where="x") == name


@pytest.mark.parametrize("value", [float("inf"), [1], {"a": 1}])
def test_a_label_that_is_no_class_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="a label must be") as caught:
        class_name_of(value, where="file:3 label")
    assert caught.value.where == "file:3 label"
    assert caught.value.remedy == "name the right column in data.columns.label"


def test_a_damaged_label_or_id_is_refused_with_the_encoding() -> None:
    for name_of, subject in ((class_name_of, "a label"), (id_of, "an id")):
        for value in ("caf\udce9", b"caf\xe9", "a\ud83d"):
            with pytest.raises(DataError, match=f"{subject} must be valid text") as caught:
                name_of(value, where="x")
            assert "data.source.encoding" in str(caught.value.remedy)


def test_ids_of_any_type_are_text() -> None:
    assert id_of(date(2026, 1, 2), where="x") == "2026-01-02"
    assert id_of(float("nan"), where="x") is None
    assert id_of("007", where="x") == "007"
