"""The numbers that options take."""

import pytest
import typer

from rnnlane.cli.options import whole_number


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "x", "", "65536"])
def test_a_number_that_is_none_is_told_with_the_rule(text):
    with pytest.raises(typer.BadParameter) as caught:
        whole_number(at_least=1, at_most=65535)(text)
    expected = f"it must be a whole number from 1 to 65535, but got {text!r}"
    assert caught.value.message == expected


def test_other_numbers_are_taken():
    assert [whole_number(at_least=0)(text) for text in ("0", " 7", "99999999999")] == [
        0,
        7,
        99999999999,
    ]
