"""What the Ray of a command leaves, and when it goes."""

import os
import subprocess
import sys

import pytest

from rnnlane.ray_cluster import session

FORKSERVER = """
import multiprocessing, time
from multiprocessing import forkserver
forkserver.ensure_running()
print(multiprocessing.util.get_temp_dir(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr(session, "_keeps_logs", False)
    monkeypatch.setattr(session, "_when_ended", [])
    # Other tests of this process have folders, too, and go on.
    find, others = session.multiprocessing_folders, session.multiprocessing_folders()
    monkeypatch.setattr(session, "multiprocessing_folders", lambda: find() - others)
    made = tmp_path / "session_1"
    (made / "logs").mkdir(parents=True)
    (tmp_path / "session_latest").symlink_to(made)
    (tmp_path / "metrics.json").symlink_to(made / "metrics.json")
    (tmp_path / "other").symlink_to(tmp_path / "session_10")
    return made


def test_a_session_goes_with_its_process_and_so_do_links_into_it(folder):
    session._end(folder, os.getpid())
    assert sorted(path.name for path in folder.parent.iterdir()) == ["other"]


def test_a_forked_process_and_a_failed_command_leave_it(folder):
    session._end(folder, os.getpid() + 1)
    assert folder.exists()
    session.keep_logs()
    session._end(folder, os.getpid())
    assert folder.exists()


def test_what_is_to_be_called_when_ray_has_ended_is_called_once(folder):
    calls = []

    def note():
        calls.append(1)

    session.call_when_ended(note)
    session.call_when_ended(note)
    session._end(folder, os.getpid())
    assert calls == [1]


def test_folders_of_multiprocessing_that_a_killed_child_leaves_go_too(folder):
    with subprocess.Popen(
        [sys.executable, "-c", FORKSERVER], stdout=subprocess.PIPE, text=True
    ) as child:
        left = child.stdout.readline().strip()
        found = session.multiprocessing_folders()
        session._end(folder, os.getpid())
        child.kill()
    assert left in {str(path) for path in found}
    assert not os.path.exists(left)
