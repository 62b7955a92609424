from __future__ import annotations

import pickle

import pytest

from rnnlane.errors import ConfigError, DataError, first_line, last_line, redact


def test_an_error_says_where_and_what_to_do_also_after_pickling() -> None:
    error = ConfigError("x must be 1, but got 2", where="a.yaml:3 x", remedy="set it to 1")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ConfigError
    assert str(copy) == "a.yaml:3 x: x must be 1, but got 2 (set it to 1)"
    assert copy.as_dict() == error.as_dict()
    assert str(DataError("no rows")) == "no rows"


def test_the_first_and_last_lines_of_an_error_or_its_type() -> None:
    error = ValueError("\nTraceback\n  line 1\nbroken\n")
    assert (first_line(error), last_line(error)) == ("Traceback", "broken")
    assert (first_line(KeyError()), last_line(OSError("\n"))) == ("KeyError", "OSError")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://ana:pw@host/x", "http://***@host/x"),
        ("cannot open s3://k:a/b@c@host and go on", "cannot open s3://***@host and go on"),
        ("https://host/x?sig=abc&part=1", "https://host/x?sig=***&part=1"),
        ("mail ana@host", "mail ana@host"),
    ],
)
def test_addresses_lose_their_secrets(text: str, expected: str) -> None:
    assert redact(text) == expected
