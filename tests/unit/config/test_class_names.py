from __future__ import annotations

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlane.config import experiment_from_mapping
from rnnlane.config.class_names import near_duplicates, normal_form
from rnnlane.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["0", "0.0", "-0", "+0.", 0, 0.0, -0.0, Decimal("0.0"), b"0", " 0 "], "0"),
        (["1", "1.0", "1.00", "+1", 1, 1.0, Decimal(1)], "1"),
        (["-12", "-12.0", -12, -12.0], "-12"),
        (["9" * 5000, "9" * 5000 + ".0"], "9" * 5000),
        (["True", "TRUE", "true", " true", True], "true"),
        (["False", "FALSE", "false", False], "false"),
        (["été", unicodedata.normalize("NFD", "été")], "été"),
        (["spam", "sp\u200bam", "\ufeffspam", "spam\u200d", "s\u2060pam", "spam\x00"], "spam"),
        (
            ["not spam", " not\tspam ", "not\u00a0spam", "not \u200b spam", "not\r\nspam"],
            "not spam",
        ),
        ([0.5, "0.5", Decimal("0.5")], "0.5"),
        (["", "  ", "\u200b", None, float("nan"), Decimal("nan")], None),
    ],
)
def test_one_name_for_one_class(values: list[object], name: str | None) -> None:
    assert {normal_form(value) for value in values} == {name}


@pytest.mark.parametrize(
    "text",
    ["007", "1e3", "1.10", "1.2.3", "--1", "truE!", "a\u0308\u0301", "👩\u200d💻", "می\u200cخواهم"],
)
def test_what_is_no_plain_number_and_no_stray_character_stays(text: str) -> None:
    assert normal_form(text) == unicodedata.normalize("NFC", text)


def test_flags_that_differ_in_invisible_tags_stay_apart() -> None:
    england, scotland = (
        "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in code) + "\U000e007f"
        for code in ("gbeng", "gbsct")
    )
    assert normal_form(england) != normal_form(scotland)


@given(st.text())
def test_the_normal_form_is_its_own(text: str) -> None:
    once = normal_form(text)
    assert once is None or normal_form(once) == once


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (["a", "b"], "must be text, a number, true or false, but got .*several are not supported"),
        ({"a": 1}, "but got"),
        (float("inf"), "but got inf"),
        ("a\ud83d", "must be valid text.*half of a character"),
        ("caf\udce9", "the byte 0xE9"),
        (b"caf\xe9", "the byte 0xE9"),
    ],
)
def test_what_is_no_name_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        normal_form(value)


def classes(*names: object) -> tuple[str, ...] | None:
    data = {"source": {"kind": "csv", "path": "x"}, "classes": list(names)}
    return experiment_from_mapping({"name": "x", "data": data}).data.classes


def test_the_classes_of_an_experiment_have_the_same_form() -> None:
    assert classes(0, 1.0, "2.0") == ("0", "1", "2")
    assert classes(True, "FALSE") == ("true", "false")
    assert classes("e\u0301", " b ") == ("é", "b")
    for equal in ([1, "1.0"], ["a", "a\u200b"]):
        with pytest.raises(ConfigError, match="classes must differ"):
            classes(*equal)
    with pytest.raises(ConfigError, match="must not be empty"):
        classes("a", " ")


def test_near_duplicates_are_named_in_groups() -> None:
    names = [
        "Spam",
        "spam",
        "ham",
        "not-spam",
        "not spam",
        "Ｓｐａｍ",
        "7",
        "07",
        "-7",
        "neg",
        "'neg'",
    ]
    found = near_duplicates(names)
    assert len(found) == 4
    assert "'Spam', 'spam', 'Ｓｐａｍ'" in next(line for line in found if "'Spam'" in line)
    assert "'07', '7' may be one" in next(line for line in found if "07" in line)


def test_classes_that_mean_something_else_are_no_near_duplicates() -> None:
    names = ["-1", "0", "1", "C", "C++", "C#", "été", "ete", "1.1", "1.2", "?", "!", "👍", "👎"]
    assert near_duplicates(names) == []
