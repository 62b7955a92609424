import errno
import getpass
import os
import tempfile
from pathlib import Path

import pytest

from rnnlane.config.paths import ACCOUNT_FOLDER, check_writable, home, provide_account, storage_root
from rnnlane.errors import ConfigError
from support.tiny import tiny_experiment


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNLANE_HOME", raising=False)


def test_home_is_an_absolute_folder_that_the_environment_may_name(monkeypatch, tmp_path):
    assert home() == tmp_path / ".rnnlane"
    monkeypatch.setenv("RNNLANE_HOME", "elsewhere")
    assert home() == tmp_path / "elsewhere"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("configured", "root"),
    [
        ("/data/x/", "/data/x"),
        ("data", "{cwd}/data"),
        ("s3://bucket/x/", "s3://bucket/x"),
        ("null", "{cwd}/.rnnlane"),
    ],
)
def test_the_storage_is_a_uri_or_an_absolute_folder(configured, root):
    config = tiny_experiment(f"runtime.storage_path={configured}")
    assert storage_root(config) == root.format(cwd=Path.cwd())


@pytest.mark.parametrize("set_by", ["RNNLANE_HOME", "runtime.storage_path"])
def test_a_tilde_is_the_home_folder_of_the_account(monkeypatch, tmp_path, set_by):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    if set_by == "RNNLANE_HOME":
        monkeypatch.setenv("RNNLANE_HOME", "~/data")
        assert home() == tmp_path / "me" / "data"
    else:
        config = tiny_experiment("runtime.storage_path=~/data")
        assert storage_root(config) == str(tmp_path / "me" / "data")


def test_a_tilde_of_an_account_without_a_folder_is_refused(monkeypatch):
    def unknown(_number):
        raise KeyError("no passwd entry")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setenv("RNNLANE_HOME", "~/data")
    with pytest.raises(ConfigError, match="no account of that name has a home folder") as refused:
        home()
    assert refused.value.where == "RNNLANE_HOME"
    monkeypatch.setenv("RNNLANE_HOME", "/data")
    assert home() == Path("/data")


def test_a_working_directory_that_was_removed_is_said(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="working directory has been removed"):
        home()
    monkeypatch.chdir(tmp_path)


NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


@pytest.fixture
def no_account(monkeypatch):
    def unknown(_number):
        raise KeyError("no passwd entry")

    # Set first, so that they are as before after the test.
    for name in (*NAMES, "HOME"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("no_account")
def test_an_account_without_an_entry_gets_a_folder_below_home(monkeypatch, tmp_path):
    monkeypatch.setenv("RNNLANE_HOME", str(tmp_path / "home"))
    provide_account()
    assert Path.home() == tmp_path / "home" / ACCOUNT_FOLDER
    assert getpass.getuser() == f"uid-{os.getuid()}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_account")
def test_an_account_that_has_no_folder_at_all_is_refused():
    with pytest.raises(ConfigError, match="has no entry in /etc/passwd and HOME is not set"):
        provide_account()


@pytest.mark.usefixtures("no_account")
def test_what_the_environment_says_of_an_account_stays(monkeypatch):
    monkeypatch.setenv("HOME", "/srv/me")
    monkeypatch.setenv("LOGNAME", "me")
    provide_account()
    assert (os.environ["HOME"], getpass.getuser()) == ("/srv/me", "me")


def test_an_account_with_an_entry_needs_nothing(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    provide_account()
    assert "HOME" not in os.environ


@pytest.mark.parametrize("below", ["", "/below", "/far/below"])
@pytest.mark.parametrize("set_by", ["RNNLANE_HOME", "runtime.storage_path"])
@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_a_folder_that_is_none_is_refused(monkeypatch, tmp_path, kind, set_by, below):
    found = tmp_path / "x"
    found.touch() if kind == "file" else found.symlink_to("nowhere")
    config = tiny_experiment()
    if set_by == "RNNLANE_HOME":
        monkeypatch.setenv("RNNLANE_HOME", f"{found}{below}")
    else:
        config = tiny_experiment(f"runtime.storage_path={found}{below}")
    with pytest.raises(ConfigError) as refused:
        storage_root(config)
    assert str(refused.value) == (
        f"{set_by}: must be a folder that can be written, but got '{found}{below}': {found} is not "
        f"a folder (set {set_by} to another folder, or correct its owner and mode)"
    )


@pytest.mark.parametrize("set_by", ["RNNLANE_HOME", "runtime.storage_path"])
def test_a_folder_that_cannot_be_written_is_refused_only_where_it_is_written(
    monkeypatch, tmp_path, set_by
):
    folder = tmp_path / "x"
    folder.mkdir()
    place = folder / "below"
    config = tiny_experiment()
    if set_by == "RNNLANE_HOME":
        monkeypatch.setenv("RNNLANE_HOME", str(place))
    else:
        config = tiny_experiment(f"runtime.storage_path={place}")
    check_writable(config)
    assert list(folder.iterdir()) == []
    # Modes do not bind root, under which tests may run.
    allowed = tempfile.TemporaryFile

    def refused_below(dir):
        if dir == folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return allowed(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refused_below)
    assert storage_root(config)
    with pytest.raises(ConfigError, match=f"{folder}: Permission denied") as refused:
        check_writable(config)
    assert refused.value.where == set_by


def test_a_storage_that_is_an_address_is_not_looked_for_here():
    check_writable(tiny_experiment("runtime.storage_path=s3://bucket/x"))
