import os
import subprocess
import sys

from rnnlane.data.in_use import LOCK_NAME, alone, hold, last_used

HOLD = """
import sys, time
from pathlib import Path
from rnnlane.data.in_use import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


class Owner:
    pass


def is_free(folder):
    with alone(folder) as free:
        return free


def test_a_folder_is_held_as_long_as_one_of_its_owners_lives(tmp_path):
    assert is_free(tmp_path)
    first, second = Owner(), Owner()
    hold(tmp_path, owner=first)
    hold(tmp_path, owner=second)
    assert not is_free(tmp_path)
    del first
    assert not is_free(tmp_path)
    del second
    assert is_free(tmp_path)


def test_a_killed_process_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert not is_free(tmp_path)
        other.kill()
        other.wait()
        assert is_free(tmp_path)


def test_when_a_folder_was_last_held(tmp_path):
    assert last_used(tmp_path) is None
    owner = Owner()
    hold(tmp_path, owner=owner)
    os.utime(tmp_path / LOCK_NAME, (1000, 1000))
    assert last_used(tmp_path) == 1000
    hold(tmp_path, owner=owner)
    assert last_used(tmp_path) > 1000


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    hold(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
