from __future__ import annotations

import pytest

from rnnlane.data.prepare.labels import check_label_column, counts_text
from rnnlane.errors import DataError


def check(names, rows=10, max_classes=1000) -> None:
    check_label_column(dict.fromkeys(names, rows), max_classes=max_classes)


def test_a_rating_with_decimals_is_no_label() -> None:
    with pytest.raises(DataError, match=r"500 different values .*, such as '0\.01'") as e:
        check([f"{n / 100:.2f}" for n in range(1, 501)])
    assert "not classes" in e.value.message
    assert "data.columns.label" in str(e.value.remedy)


def test_thousands_of_values_are_no_labels() -> None:
    with pytest.raises(DataError, match="2,000 different values in 4,000 rows"):
        check(map(str, range(2000)), rows=2)
    with pytest.raises(DataError, match="at most 1,000 classes"):
        check([f"name {n}" for n in range(1001)])
    check(map(str, range(2000)), max_classes=2000)


def test_values_that_hardly_repeat_are_no_labels() -> None:
    with pytest.raises(DataError, match="several rows, but got 400 different values in 400 rows"):
        check([f"title {n}" for n in range(400)], rows=1)
    check([f"name {n}" for n in range(600)], rows=4)
    check([f"name {n}" for n in range(5)], rows=1)


def test_a_few_decimals_and_many_whole_numbers_are_classes() -> None:
    check(["0.5", "1.0", "1.5", "2.0"])
    check(map(str, range(100)))


@pytest.mark.parametrize("label", ["a|b", "b; a", "a,b", "['a', 'b']", '["a"]'])
def test_several_labels_in_one_are_said_to_be_unsupported(label: str) -> None:
    with pytest.raises(DataError, match="multi-label data is not supported") as caught:
        check(["a", "b", "c", label])
    assert repr(label) in caught.value.message


@pytest.mark.parametrize("label", ["[bug]", "a/b", "a, d", "Portland, OR", "a-b", "|", "a|"])
def test_names_with_marks_are_classes(label: str) -> None:
    check(["a", "b", label])


def test_counts_are_readable_whatever_the_names() -> None:
    assert counts_text({"1": 1368, "2": 1367}) == "'1': 1,368, '2': 1,367"
    many = counts_text({f"c{n}": n for n in range(40)})
    assert many == (
        "'c0': 0, 'c1': 1, 'c2': 2, 'c3': 3, 'c4': 4 ... "
        "'c35': 35, 'c36': 36, 'c37': 37, 'c38': 38, 'c39': 39, of 40 classes"
    )
    assert counts_text({"x" * 99: 1}) == f"'{'x' * 37}...': 1"


def test_thousands_of_digits_are_a_name_like_any_other() -> None:
    with pytest.raises(DataError, match="at most 3 classes"):
        check(["1" * 5000, "2", "-3", "x"], max_classes=3)
