import io
from dataclasses import replace

from rich.console import Console

from rnnlane.cli import progress
from rnnlane.cli.progress import BarEvents, LineEvents, epoch_line, events_for
from rnnlane.records.progress import Progress
from rnnlane.records.search import SearchRecord, TrialRecord

EPOCH = {
    "epoch": 3.0,
    "train/loss": 0.5,
    "train/accuracy": 0.75,
    "val/loss": 0.25,
    "val/accuracy": 0.875,
    "val/macro_f1": 0.8125,
    "throughput/rows_per_s": 1234.5,
    "grad_norm/clipped_fraction": 0.125,
    "time/epoch_s": 6.0,
}


def trial(number: int, state: str) -> TrialRecord:
    return TrialRecord(
        number=number,
        state=state,
        params={"model.hidden_size": 64},
        value=0.5 + number / 100,
        best_epoch=1,
        ended_at=None if state == "running" else 10.0 + number,
        key=f"s-{number}",
    )


def search(*trials: TrialRecord) -> SearchRecord:
    return SearchRecord(
        "x",
        "val/accuracy",
        True,
        space={"model.hidden_size": ""},
        algorithm="random",
        scheduler="asha",
        max_epochs=3,
        num_planned=4,
        elapsed_s=60.0,
        trials=trials,
    ).with_best()


def rendered(events: BarEvents) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(*events._bars.get_renderables())
    return console.export_text()


def test_an_epoch_is_one_line():
    assert epoch_line(EPOCH) == (
        "epoch 3  train loss 0.5000 acc 0.7500  val loss 0.2500 acc 0.8750 F1 0.8125  "
        "1,234 rows/s  clipped 12.5%  6.0 s"
    )


def test_an_epoch_of_a_refit_is_named_and_has_no_val():
    of_refit = {f"refit/{key}": value for key, value in EPOCH.items() if "val/" not in key}
    assert epoch_line(of_refit) == (
        "refit epoch 3  train and val loss 0.5000 acc 0.7500  1,234 rows/s  clipped 12.5%  6.0 s"
    )


def test_lines_have_the_newest_epoch_and_stages_only_if_verbose(capsys):
    for verbose in (False, True):
        with LineEvents(verbose=verbose) as events:
            events.stage("preparing")
            events.epoch([])
            events.epoch([{**EPOCH, "epoch": 2.0}, EPOCH])
            events.note("a note")
    lines = capsys.readouterr().err.splitlines()
    line = epoch_line(EPOCH)
    assert lines == [line, "a note", "preparing ...", line, "a note"]


def test_where_stderr_is_no_terminal_there_are_lines(capsys):
    assert isinstance(events_for(verbose=False), LineEvents)


def test_a_bar_is_that_of_the_current_stage():
    events = BarEvents(verbose=False)
    events.progress(Progress("read", 5, 10))
    events.progress(Progress("read", 7, 10))
    assert "read" in rendered(events)
    assert "7 rows" in rendered(events)
    events.progress(Progress("encode", 1, None))
    assert "read" not in rendered(events)
    events.stage("writing")
    assert [task.description for task in events._bars.tasks] == ["writing"]


def test_lines_report_each_ended_trial_once_and_none_of_an_earlier_attempt(capsys):
    events = LineEvents(verbose=False)
    earlier, later = trial(0, "finished"), trial(1, "running")
    events.trial(search(earlier, later))
    assert capsys.readouterr().err == ""
    later = replace(later, state="finished", ended_at=20.0)
    for _ in range(2):
        events.trial(search(earlier, later))
    lines = capsys.readouterr().err.splitlines()
    assert [line[:16] for line in lines] == ["trial 1 finished"]


def test_bars_show_the_table_above_the_number_of_trials():
    events = BarEvents(verbose=False)
    events.trial(search(trial(0, "finished"), trial(1, "running")))
    text = rendered(events)
    assert text.index("hidden_size") < text.rindex("1/4 trials, best 0.5100 (trial 1)")
    events.stage("writing the report")
    assert [task.description for task in events._bars.tasks] == ["writing the report"]


def test_bars_show_names_as_they_are():
    bars = BarEvents(verbose=False)
    bars.stage("reading x[/old] \x1b[2J")
    assert "reading x[/old] \\x1b[2J" in rendered(bars)
    bars.progress(Progress("read [bug] [/bug]", 1, 2))
    assert "read [bug] [/bug]" in rendered(bars)
    bars.trial(replace(search(trial(0, "running")), name="x[/old]", space={"[bug]": ""}))
    assert "x[/old]" in rendered(bars)
    assert "[bug]" in rendered(bars)
    bars._bars.console.file = io.StringIO()
    bars.note("[/bug] :smile:\n\x1b")
    assert bars._bars.console.file.getvalue() == "[/bug] :smile:\n\\x1b\n"


def test_an_interrupt_is_acknowledged_at_once_and_late_progress_is_not_shown(capsys):
    progress.acknowledge_interrupt()
    with LineEvents(verbose=False):
        progress.acknowledge_interrupt()
    assert capsys.readouterr().err == "stopping ...\n" * 2
    with BarEvents(verbose=False) as bars:
        progress.acknowledge_interrupt()
        bars.progress(Progress("read", 5, 10))
        assert [task.description for task in bars._bars.tasks] == ["stopping"]
    assert "stopping ..." in capsys.readouterr().err
    assert progress._shown == []
    with progress.interrupt_says("detaching ..."):
        progress.acknowledge_interrupt()
    assert capsys.readouterr().err == "detaching ...\n"
