"""Ray's token file: private, whole, the same for all who start at once."""

import multiprocessing
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rnnlane.ray_cluster.token import is_open_to_all, make_token, token_file


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_token_is_made_for_this_user_alone(home):
    make_token()
    file = home / ".ray" / "auth_token"
    assert token_file() == file
    assert len(file.read_text()) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent) == ["auth_token"]


def test_ray_reads_it(home):
    from ray._raylet import AuthenticationTokenLoader

    loader = AuthenticationTokenLoader.instance()
    try:
        loader.reset_cache()
        assert not loader.has_token(ignore_auth_mode=True)
        make_token()
        loader.reset_cache()
        assert loader.has_token(ignore_auth_mode=True)
    finally:
        loader.reset_cache()


def test_a_token_that_is_there_is_kept(home):
    (home / ".ray").mkdir()
    file = home / ".ray" / "auth_token"
    file.write_text("mine")
    os.utime(file.parent, ns=(1, 1))
    make_token()
    assert file.read_text() == "mine"
    assert file.parent.stat().st_mtime_ns == 1  # not even another file was written there


def test_a_file_is_open_if_it_and_the_way_to_it_are():
    # Not tmp_path, whose parents are private.
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "token"
        assert not is_open_to_all(file)
        file.write_text("secret")
        file.chmod(0o644)
        assert not is_open_to_all(file)
        folder.chmod(0o755)
        assert is_open_to_all(file)
        (folder / "link").symlink_to(file)
        assert is_open_to_all(folder / "link")
        file.chmod(0o640)
        assert not is_open_to_all(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "abc"), ("RAY_AUTH_TOKEN_PATH", "/x/y")],
)
def test_none_is_made_where_another_counts(home, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    make_token()
    assert not (home / ".ray").exists()
    assert token_file() == (Path(value) if name == "RAY_AUTH_TOKEN_PATH" else None)


def test_where_it_cannot_be_written_ray_tells(home):
    (home / ".ray").write_text("no folder")
    make_token()
    assert (home / ".ray").read_text() == "no folder"


def _make(start, tokens):
    start.wait()
    make_token()
    tokens.put((Path.home() / ".ray" / "auth_token").read_text())


def test_all_who_begin_at_once_have_one_token(home):
    context = multiprocessing.get_context("fork")
    for _ in range(10):
        start, tokens = context.Barrier(4), context.Queue()
        processes = [context.Process(target=_make, args=(start, tokens)) for _ in range(4)]
        for process in processes:
            process.start()
        found = {tokens.get(timeout=30) for _ in processes}
        for process in processes:
            process.join()
        assert len(found) == 1
        assert len(found.pop()) == 64
        assert os.listdir(home / ".ray") == ["auth_token"]
        (home / ".ray" / "auth_token").unlink()
