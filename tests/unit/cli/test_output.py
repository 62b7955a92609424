import json
import math

import pytest

from rnnlane.cli import output
from rnnlane.errors import ConfigError


def test_numbers_that_json_lacks_are_null_at_any_depth(capsys):
    output.write_json({"a": math.nan, "b": [1.5, (math.inf, {"c": -math.inf})], 3: "ü"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": None, "b": [1.5, [None, {"c": None}]], "3": "ü"}
    assert "ü" in printed


def test_text_that_looks_like_markup_is_printed_as_it_is(capsys):
    output.write_table([["[bold]a", "[/b]"]], header=["one", "two"])
    assert capsys.readouterr().out.splitlines()[3].split() == ["[bold]a", "[/b]"]


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
