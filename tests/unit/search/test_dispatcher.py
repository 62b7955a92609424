from types import SimpleNamespace
from typing import Any

import pytest

from rnnlane.errors import ConfigError
from rnnlane.search import dispatcher as dispatcher_module
from rnnlane.search.dispatcher import TrialDispatcher, TrialEvents

NUM_EPOCHS = 3


class FakeStudy:
    """Gives ``num_trials`` trials; records all that happens to them, in order."""

    def __init__(self, num_trials: int, *, refused: tuple[int, ...] = (), prunes: bool = False):
        self.numbers = iter(range(num_trials))
        self.refused = refused
        self.prunes = prunes
        self.calls: list[tuple] = []

    def ask(self) -> SimpleNamespace | None:
        number = next(self.numbers, None)
        if number in self.refused:
            raise ConfigError(f"trial {number} is invalid")
        config = SimpleNamespace(training=SimpleNamespace(epochs=NUM_EPOCHS))
        return None if number is None else SimpleNamespace(number=number, config=config)

    def report(self, number: int, history: list) -> bool:
        self.calls.append(("report", number, len(history)))
        return self.prunes

    def record(self, number: int) -> str:
        return f"record of {number}"

    def mark_ended(self, number: int, state: str, *, reason: str) -> str:
        self.calls.append((state, number, reason))
        return f"end of {number}"

    def tell(self, number: int) -> None:
        self.calls.append(("tell", number))


class Recorder(TrialEvents):
    """Writes the events among the calls of the study."""

    def __init__(self, calls: list[tuple]):
        self.calls = calls

    def trial_started(self, spec: Any) -> None:
        self.calls.append(("started", spec.number))

    def trial_progressed(self, spec: Any, record: Any) -> None:
        self.calls.append(("progressed", record))

    def trial_ended(self, spec: Any, record: Any) -> None:
        self.calls.append(("ended", record))

    def note(self, text: str) -> None:
        self.calls.append(("note", text))

    def system_use(self, use: Any) -> None:
        self.calls.append(("system_use", use))


@pytest.fixture
def now(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(dispatcher_module.time, "monotonic", lambda: now[0])
    return now


def dispatch(study: FakeStudy, **limits: Any) -> TrialDispatcher:
    return TrialDispatcher(
        study,
        make_task=lambda spec: spec.number,
        events=Recorder(study.calls),
        **{"max_running": 2, "max_requeues": 1, "deadline": 100.0, **limits},
    )


def test_samples_of_machines_are_passed_on():
    study = FakeStudy(1)
    dispatch(study).pass_on("use")
    assert study.calls == [("system_use", "use")]


def epochs(num: int) -> list[dict[str, float]]:
    return [{"epoch": float(epoch)} for epoch in range(1, num + 1)]


def test_trials_are_given_until_there_are_no_more(now):
    dispatcher = dispatch(FakeStudy(2))
    assert [dispatcher.ask(name) for name in "abc"] == [0, 1, None]


def test_it_is_full_while_as_many_trials_run_as_may(now):
    dispatcher = dispatch(FakeStudy(3))
    states = []
    for name in "ab":
        states.append(dispatcher.is_full)
        dispatcher.ask(name)
    states.append(dispatcher.is_full)
    dispatcher.end("a", "finished")
    assert [*states, dispatcher.is_full] == [False, False, True, False]


def test_an_end_is_stored_then_sent_on_and_only_then_final(now):
    study = FakeStudy(1)
    dispatcher = dispatch(study)
    dispatcher.ask("a")
    assert not dispatcher.report("a", epochs(1))
    dispatcher.end("a", "finished")
    dispatcher.end("a", "failed")
    assert study.calls == [
        ("started", 0),
        ("report", 0, 1),
        ("progressed", "record of 0"),
        ("finished", 0, ""),
        ("ended", "end of 0"),
        ("tell", 0),
    ]


def test_a_pruned_trial_stops_and_ends_as_pruned(now):
    study = FakeStudy(1, prunes=True)
    dispatcher = dispatch(study)
    dispatcher.ask("a")
    assert dispatcher.report("a", epochs(1))
    assert ("pruned", 0, "") in study.calls
    # The executor may still report an epoch that was under way.
    num_calls = len(study.calls)
    assert dispatcher.report("a", epochs(2))
    assert len(study.calls) == num_calls


@pytest.mark.parametrize(("num_epochs", "is_cut"), [(2, True), (NUM_EPOCHS, False)])
def test_past_the_deadline_trials_are_cut_unless_they_are_done(now, num_epochs, is_cut):
    study = FakeStudy(2)
    dispatcher = dispatch(study)
    dispatcher.ask("a")
    now[0] = 100.0
    assert dispatcher.report("a", epochs(num_epochs)) == is_cut
    assert (("cut", 0, "the time budget was used up") in study.calls) == is_cut
    assert dispatcher.ask("b") is None


def test_a_requeued_trial_is_the_next_but_not_without_end(now):
    study = FakeStudy(2)
    dispatcher = dispatch(study, max_requeues=1)
    dispatcher.ask("a")
    dispatcher.requeue("a")
    dispatcher.requeue("unknown")
    assert dispatcher.report("a", epochs(1))
    assert dispatcher.ask("b") == 0
    dispatcher.requeue("b")
    assert dispatcher.ask("c") == 1
    dispatcher.fail("b")
    assert ("failed", 0, "") in study.calls


def test_a_trial_fails_with_its_last_error(now):
    study = FakeStudy(1)
    dispatcher = dispatch(study)
    dispatcher.ask("a")
    dispatcher.note_error("a", "first")
    dispatcher.note_error("a", "its process was lost")
    dispatcher.fail("a")
    assert ("failed", 0, "its process was lost") in study.calls


def test_an_invalid_trial_is_noted_and_the_next_one_given(now):
    study = FakeStudy(2, refused=(0,))
    assert dispatch(study).ask("a") == 1
    assert study.calls == [
        ("note", "a trial was left out: trial 0 is invalid"),
        ("started", 1),
    ]
