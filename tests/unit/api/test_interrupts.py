import signal
import sys
import threading

import pytest

from rnnlane.api.interrupts import whole_imports


@pytest.fixture(autouse=True)
def _heeded():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def test_an_import_is_finished_before_the_interrupt(tmp_path, monkeypatch):
    """Half a module would stay in sys.modules, or half of its package."""
    source = "import signal\nsignal.raise_signal(signal.SIGINT)\nis_whole = True\n"
    (tmp_path / "interrupted_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), whole_imports():  # noqa: PT012
        import interrupted_module  # noqa: F401

        threading.Event().wait(10)
    assert sys.modules.pop("interrupted_module").is_whole


def test_an_import_that_calls_the_verb_can_be_interrupted(tmp_path, monkeypatch):
    """Of a module that trains; nothing in the block is imported, and the import ends with it."""
    source = (
        "import signal, threading\n"
        "from rnnlane.api.interrupts import whole_imports\n"
        "with whole_imports():\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    threading.Event().wait(1)\n"
        "raise AssertionError('not interrupted')\n"
    )
    (tmp_path / "module_that_trains.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        import module_that_trains  # noqa: F401


def test_elsewhere_it_comes_at_once():
    with pytest.raises(KeyboardInterrupt), whole_imports():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_whoever_handles_it_otherwise_goes_on_doing_so():
    seen = []

    def handler(*_):
        seen.append(1)

    signal.signal(signal.SIGINT, handler)
    with whole_imports():
        signal.raise_signal(signal.SIGINT)
    assert seen == [1]
    assert signal.getsignal(signal.SIGINT) is handler


def test_in_another_thread_nothing_happens():
    with_handlers = []

    def look():
        with whole_imports():
            with_handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert with_handlers == [signal.default_int_handler]
