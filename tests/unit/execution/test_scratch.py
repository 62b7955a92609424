"""Temporary folders, also of processes that were killed."""

import subprocess
import sys
import tempfile

import pytest

from rnnlane.execution.scratch import remove_abandoned, scratch_folder

PROGRAM = """
import sys, time
from rnnlane.execution.scratch import scratch_folder

with scratch_folder() as folder:
    (folder / "weights").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_lives_as_long_as_its_block(temporary):
    with scratch_folder() as folder:
        (folder / "weights").write_text("x")
        remove_abandoned()
        assert (folder / "weights").exists()
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_process_goes_with_the_next(temporary):
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        remove_abandoned()
        assert len(list(temporary.iterdir())) == 2, "a folder and its lock, which are in use"
        process.kill()
    with scratch_folder():
        assert len(list(temporary.iterdir())) == 2, "its own"
    assert list(temporary.iterdir()) == []
