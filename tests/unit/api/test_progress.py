import errno
import sys
from types import SimpleNamespace

import pytest

import rnnlane
from rnnlane.api import progress
from rnnlane.api.progress import NotebookEvents, in_notebook, shown
from rnnlane.cli.progress import LineEvents
from rnnlane.errors import ConfigError, ResourceError
from rnnlane.records.events import RunEvents
from rnnlane.records.progress import Progress
from support.search_records import search_of_learning_rate

EPOCH = {
    "epoch": 1.0,
    "train/loss": 0.5,
    "train/accuracy": 0.75,
    "val/loss": 0.6,
    "val/accuracy": 0.7,
    "val/macro_f1": 0.69,
    "throughput/rows_per_s": 1234.0,
    "grad_norm/clipped_fraction": 0.1,
    "time/epoch_s": 2.0,
}


class Shown(list):
    def __call__(self, content, *, is_new):
        self.append((is_new, content))


def test_a_notebook_shows_notes_epochs_and_a_bar_in_one_place():
    display = Shown()
    with NotebookEvents(display) as events:
        events.note("a <b>note</b>\x1b[31m")
        events.epoch([EPOCH])
        events.stage("testing")
        events.progress(Progress("<read>", 3, 10))
    assert [is_new for is_new, _ in display] == [True, *[False] * (len(display) - 1)]
    during, after = (content["text/html"] for _, content in (display[2], display[-1]))
    assert "testing ..." in during
    assert "testing" not in after
    for text in ("a &lt;b&gt;note&lt;/b&gt;\\x1b[31m", "0.7500", "1,234", "10.0%"):
        assert text in after
    assert "epoch 1  train loss 0.5000" in display[-1][1]["text/plain"]


def test_epochs_of_a_refit_have_a_table_of_their_own():
    display = Shown()
    of_refit = {f"refit/{key}": value for key, value in EPOCH.items() if "val/" not in key}
    with NotebookEvents(display) as events:
        events.epoch([EPOCH, {**of_refit, "refit/train/loss": 0.4321}])
    page = display[-1][1]["text/html"]
    assert page.index("0.5000") < page.index("refit epoch") < page.index("0.4321")
    assert "refit epoch 1  train and val loss 0.4321" in display[-1][1]["text/plain"]


def test_a_bar_is_not_drawn_more_often_than_anyone_can_see(monkeypatch):
    display = Shown()
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with NotebookEvents(display) as events:
        for done in range(100):
            now[0] = done / 100
            events.progress(Progress("<read>", done, 100))
        assert 3 <= len(display) <= 5
        assert '<progress value="' in display[-1][1]["text/html"]
        assert "&lt;read&gt;" in display[-1][1]["text/html"]


def test_what_was_interrupted_says_so_and_nothing_is_shown_for_nothing():
    display = Shown()
    with NotebookEvents(display):
        pass
    assert not display
    with pytest.raises(KeyboardInterrupt), NotebookEvents(display) as events:  # noqa: PT012
        events.note("data")
        raise KeyboardInterrupt
    assert "interrupted" in display[-1][1]["text/html"]


def test_a_search_shows_its_trials():
    display = Shown()
    search = search_of_learning_rate()
    with NotebookEvents(display) as events:
        events.trial(search)
    page = display[-1][1]["text/html"]
    assert search.metric in page
    assert f"{search.ranked()[0].score:.4f}" in page


def test_progress_is_lines_where_there_is_neither_notebook_nor_terminal(capsys):
    assert not in_notebook()
    with shown(None) as events:
        assert isinstance(events, LineEvents)
        events.note("rows")
    with shown(rnnlane.SILENT) as events:
        assert events is rnnlane.SILENT
        events.note("nothing")
    assert capsys.readouterr().err == "rows\n"


def test_the_kernel_of_a_notebook_is_known_by_its_shell(monkeypatch):
    shell = SimpleNamespace(kernel=object())
    ipython = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert in_notebook()
    with shown(None) as events:
        assert isinstance(events, NotebookEvents)
    del shell.kernel  # IPython in a terminal
    assert not in_notebook()


def test_a_full_disk_is_an_error_of_rnnlane_and_others_are_left_alone():
    with pytest.raises(ResourceError, match="no space left"), shown(RunEvents()):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
    with pytest.raises(ConfigError), shown(RunEvents()):
        raise ConfigError("x")
    with pytest.raises(ValueError, match="x"), shown(RunEvents()):
        raise ValueError("x")
