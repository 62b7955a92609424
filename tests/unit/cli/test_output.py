import json
import math
import re
from pathlib import Path

import pytest

from rnnlane.cli import output
from rnnlane.errors import ConfigError, MistakesError


def test_numbers_that_json_lacks_are_null_at_any_depth(capsys):
    output.write_json({"a": math.nan, "b": [1.5, (math.inf, {"c": -math.inf})], 3: "ü"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": None, "b": [1.5, [None, {"c": None}]], "3": "ü"}
    assert "ü" in printed


def test_mistakes_have_a_line_each_and_their_number_or_a_list_in_json(capsys):
    errors = [ConfigError("a", where="x:1"), ConfigError("b\nc", remedy="d")]
    output.write_error(MistakesError(errors), as_json=False)
    assert capsys.readouterr().err == "error: x:1: a\nerror: b c -- d\nerror: 2 mistakes\n"
    output.write_error(MistakesError(errors), as_json=True)
    found = json.loads(capsys.readouterr().out)["error"]
    assert found["message"] == "a"
    assert found["mistakes"] == [error.as_dict() for error in errors]


MARKUP = ["[bug]", "[/bug]", "x[/old]", "\\[a]", ":smile:", "[link=x]y[/link]"]


def test_text_that_looks_like_markup_is_printed_as_it_is(capsys):
    output.write_table([MARKUP, MARKUP[::-1]], header=MARKUP, title=" ".join(MARKUP))
    title, _, header, _, first, second, *_ = capsys.readouterr().out.splitlines()
    assert title.split() == header.split() == first.split() == second.split()[::-1] == MARKUP
    for word in MARKUP:
        output.write(word)
        output.note(word)
        output.write_error(ConfigError(word, where=word, remedy=word), as_json=False)
        assert capsys.readouterr().err == f"{word}\nerror: {word}: {word} -- {word}\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x9b2J\x7f\r\x08\x00", "\\x9b2J\\x7f\\r\\x08\\x00"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a\\x0bb\\x0cc\\x85d\\u2028e\\u2029f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("caf\udce9 \ud83d", "caf\\xe9 \\ud83d"),
        ("é 影 👩‍👩‍👧 क्‍ष", "é 影 👩‍👩‍👧 क्‍ष"),
    ],
)
def test_nothing_from_outside_acts_on_the_terminal(text, shown, capsys):
    assert output.one_line(text) == output.lines(text) == shown
    output.write(text)
    output.note(text)
    assert tuple(capsys.readouterr()) == (f"{shown}\n", f"{shown}\n")
    output.write_error(ConfigError(text), as_json=False)  # where white space is one blank
    assert output.lines(line := capsys.readouterr().err) == line
    assert len(line.splitlines()) == 1
    output.write_table([[text]], header=[text], title=text)
    assert capsys.readouterr().out.count(shown) == 3
    output.write_json({text: text})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {text: text}
    assert len(printed.splitlines()) == 1
    assert "\x9b" not in printed
    printed.encode()


def test_line_ends_and_tabs_stay_between_parts_but_not_within_one():
    assert output.lines("a\tb\nc") == "a\tb\nc"
    assert output.one_line("a\tb\nc") == "a\\tb\\nc"


def test_a_title_may_be_wider_than_its_table(capsys):
    title = "a title of many words above a narrow table"
    output.write_table([["1"]], title=title)
    assert capsys.readouterr().out.splitlines()[0] == title


def test_a_table_fits_where_no_cell_needs_two_lines():
    assert output.fits([["a" * 90, "b" * 90]], header=["x", "y"])
    assert not output.fits([["a" * 90, "b" * 110]], header=["x", "y"])
    assert not output.fits([["a"]], header=["y" * 200])


def test_rich_is_used_in_two_modules_and_reads_no_markup():
    users = {}
    for file in sorted(Path(output.__file__).parent.glob("*.py")):
        source = file.read_text()
        names = re.findall(r"(?:from|import) rich(?:\.\w+)*(?: import (.*))?", source)
        if names and names not in (["RenderableType"], ["cell_len"]):
            users[file.name] = source
    assert list(users) == ["output.py", "progress.py"]
    assert users["output.py"].count("Console(") == 1
    assert "Console(file=target, width=width, markup=False, emoji=False" in users["output.py"]
    assert "Console(" not in users["progress.py"]
    columns = re.findall(r"TextColumn\(.*\)", users["progress.py"])
    assert columns
    assert all("markup=False" in column for column in columns)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("bad"), "error: bad\n"),
        (ConfigError("bad\n  value", where="x.yaml:3"), "error: x.yaml:3: bad value\n"),
        (ConfigError("bad", where="x", remedy="fix it"), "error: x: bad -- fix it\n"),
    ],
)
def test_an_error_is_one_line_on_stderr(error, line, capsys):
    output.write_error(error, as_json=False)
    assert tuple(capsys.readouterr()) == ("", line)


def test_an_error_is_one_object_on_stdout_with_json(capsys):
    output.write_error(ConfigError("bad", where="x"), as_json=True)
    printed, other = capsys.readouterr()
    assert json.loads(printed)["error"] == {"message": "bad", "where": "x", "remedy": None}
    assert other == ""


def test_pieces_get_no_line_break(capsys):
    output.write_piece("a")
    output.write_error_piece("b")
    output.note("c")
    assert tuple(capsys.readouterr()) == ("a", "bc\n")
