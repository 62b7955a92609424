import json
import os
import subprocess
import sys

import pytest

from rnnlane.cli.arguments import check_utf8
from rnnlane.errors import ConfigError
from support.forked import rnnlane_forked

BASE = [sys.executable, "-m", "rnnlane"]


def test_utf8_is_taken_and_so_is_what_nobody_reads():
    check_utf8(["predict", "café", "影"], {"HOME": "/home/é", "LS_COLORS": "\udce9"})


@pytest.mark.parametrize(
    ("arguments", "environment", "where"),
    [
        (["predict", "caf\udce9"], {}, "command line, argument 2"),
        ([], {"RNNLANE_HOME": "/tmp/caf\udce9"}, "environment variable RNNLANE_HOME"),
        ([], {"USER": "caf\udce9"}, "environment variable USER"),
    ],
)
def test_other_bytes_are_refused_where_they_stand(arguments, environment, where):
    with pytest.raises(ConfigError, match="must be UTF-8") as caught:
        check_utf8(arguments, environment)
    assert caught.value.where == where
    assert "caf\\xe9" in caught.value.message


def test_a_working_directory_of_other_bytes_is_refused(tmp_path, monkeypatch):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    monkeypatch.chdir(os.fsdecode(folder))
    with pytest.raises(ConfigError, match=r"caf\\xe9"):
        check_utf8([], {})


@pytest.mark.parametrize(
    "arguments",
    [
        [b"predict", b"caf\xe9"],
        [b"predict", b"caf\xe9", b"--json"],
        [b"predict", b"caf\xe9", b"--plot", b"x.png"],
        [b"predict", b"--file", b"caf\xe9.txt"],
        [b"validate", b"caf\xe9.yaml"],
        [b"caf\xe9"],
    ],
)
def test_the_command_says_so_in_one_line(arguments, tmp_path):
    done = subprocess.run([*BASE, *arguments], check=False, capture_output=True, cwd=tmp_path)
    assert done.returncode == 2
    text = json.loads(done.stdout)["error"]["message"] if b"--json" in arguments else done.stderr
    assert "caf\\xe9" in (text if isinstance(text, str) else text.decode())
    assert done.stderr.count(b"\n") == (0 if b"--json" in arguments else 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["-10/10 would watch again", "-great", "--not bad--"])
def test_a_text_that_begins_with_a_dash_is_told_how_to_be_one(text):
    done = rnnlane_forked("predict", text)
    assert done.returncode == 2
    assert "rnnlane predict -- " in done.stderr
    assert done.stderr.count("\n") == 1
