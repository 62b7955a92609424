from __future__ import annotations

import errno
import pickle
import sqlite3
from pathlib import Path

import pytest
from safetensors import SafetensorError

from rnnlane.errors import (
    ConfigError,
    DataError,
    MistakesError,
    ResourceError,
    disk_errors,
    first_line,
    is_disk_error,
    is_disk_full,
    last_line,
    redact,
)


def test_an_error_says_where_and_what_to_do_also_after_pickling() -> None:
    error = ConfigError("x must be 1, but got 2", where="a.yaml:3 x", remedy="set it to 1")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ConfigError
    assert str(copy) == "a.yaml:3 x: x must be 1, but got 2 (set it to 1)"
    assert copy.as_dict() == error.as_dict()
    assert str(DataError("no rows")) == "no rows"


def test_several_mistakes_read_like_the_first_and_are_all_there_after_pickling() -> None:
    first, second = ConfigError("x", where="a:1"), DataError("y", remedy="z")
    assert MistakesError.of([second]) is second
    copy = pickle.loads(pickle.dumps(MistakesError.of([first, second])))
    assert (copy.message, copy.where, copy.remedy) == ("x", "a:1", None)
    assert str(copy) == "a:1: x\ny (z)"
    assert copy.as_dict()["mistakes"] == [first.as_dict(), second.as_dict()]


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
        ("in sqlite:////home/a@b/mlflow.db", "in sqlite:////home/a@b/mlflow.db"),
        ("sqlite:///a@b.db then http://k:pw@h", "sqlite:///a@b.db then http://***@h"),
        ("file:///home/a@b/x", "file:///home/a@b/x"),
    ],
)
def test_addresses_lose_their_secrets(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "/data/x"),
        sqlite3.OperationalError("database or disk is full"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
)
def test_a_full_disk_is_one_line_whoever_says_it(error: Exception, tmp_path: Path) -> None:
    assert is_disk_full(error)
    with pytest.raises(ResourceError) as refused, disk_errors(tmp_path / "a" / "b"):
        raise error
    assert refused.value.message.startswith("no space left on the disk /")
    assert refused.value.where == str(tmp_path / "a" / "b")
    assert "\n" not in str(refused.value)


def test_a_failed_write_names_the_file_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="Not a directory") as refused, disk_errors(tmp_path):
        (tmp_path / "file" / "x").write_text("")
    assert refused.value.where == str(tmp_path / "file" / "x")


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="x"), disk_errors("/"):
        raise ValueError("x")
    with pytest.raises(ConfigError), disk_errors("/"):
        raise ConfigError("x")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), True),
        (OSError(errno.EROFS, "Read-only file system", "/mnt/x"), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
        (ValueError("x"), False),
    ],
)
def test_what_a_person_has_to_see_to(error: Exception, is_one: bool) -> None:
    assert is_disk_error(error) is is_one


def test_a_notebook_shows_an_error_without_the_traceback() -> None:
    error = ConfigError("x must be 1, but got 2", where="a.yaml:3 x", remedy="set it to 1")
    assert error._render_traceback_() == [
        "ConfigError: a.yaml:3 x: x must be 1, but got 2 (set it to 1)"
    ]
