from __future__ import annotations

import logging

import pytest

from rnnlane.reports import lettering
from rnnlane.reports.lettering import drawable, fonts_for, short_names

INSTALLED = {
    lettering.MAIN_FONT: "aäbcdefghijklmnopqrstuvwxyz#0123456789…\\$_ ",
    "An Asian Font": "日本語a",
    "Noto Sans CJK JP": "日本語",
    "Some Thai Font": "ไทย",
}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_files", lambda: dict.fromkeys(INSTALLED, "x.ttf"))
    monkeypatch.setattr(lettering, "_characters", lambda one: frozenset(INSTALLED.get(one, "")))
    monkeypatch.setattr(lettering, "_WARNED", set())


def test_fonts_are_added_for_what_the_main_one_lacks() -> None:
    main = lettering.MAIN_FONT
    assert fonts_for(["abc"]) == [main]
    assert fonts_for(["日本", "abc"]) == [main, "Noto Sans CJK JP"]
    assert fonts_for(["日ไ"]) == [main, "Noto Sans CJK JP", "Some Thai Font"]
    assert fonts_for(["हि"]) == [main]


def test_what_no_font_has_is_escaped_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert drawable(["日本", "हि", "a\nb\x00\ud83d"]) == [
                "日本",
                "\\u0939\\u093f",
                "a\\nb\\x00\\ud83d",
            ]
        drawable(["ह"])
    (record,) = caplog.records
    assert "no installed font has 2 characters" in record.getMessage()


def test_short_names_differ_where_the_names_do() -> None:
    long = "a class of some kind and of {} other kind"
    names = ["$a_b\\c", long.format("one"), long.format("two"), "x" + long.format("one"), "हि" * 9]
    assert short_names(names) == [
        "$a_b\\c",
        "a class o…her kind #2",
        "a class o…her kind #3",
        "xa class of … other kind",
        "… #5",
    ]
    assert max(map(len, short_names(names))) <= lettering.MAX_NAME_CHARS
