"""What the verbs print on terminals of 80 and 120 columns: each line fits, each word is whole."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest

from rnnlane.cli import output, progress
from rnnlane.cli.progress import BarEvents
from rnnlane.config.search import Variation
from rnnlane.errors import ConfigError
from rnnlane.jobs.client import Job
from rnnlane.records.progress import EpochProgress, Progress
from rnnlane.records.results import Evaluation, TrainResult
from rnnlane.records.search import SearchRecord, TrialRecord
from rnnlane.reports.classes import describe_classes
from rnnlane.tracking.store import RunSummary

KEYS = ("hidden_size", "num_layers", "dropout", "pooling", "bidirectional", "embedding_dim")
LONG_NAME = "search-clip-and-layers-on-tickets"
JOB = f"rnnlane-{LONG_NAME}-1a2b3c4d-12"


RUN_ID = "0123456789abcdef0123456789abcdef"
FIGURES = {"train/accuracy": 0.91, "val/accuracy": 0.82, "test/accuracy": 0.8, "val/macro_f1": 0.5}
EPOCH = {
    **FIGURES,
    "epoch": 100.0,
    "train/loss": 0.5,
    "val/loss": 0.25,
    "throughput/rows_per_s": 123456.5,
    "grad_norm/clipped_fraction": 0.125,
    "time/epoch_s": 1234.0,
}


class Terminal(io.StringIO):
    """A stream that counts as a terminal."""

    def isatty(self):
        return True


@pytest.fixture(params=[80, 120])
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm")
    return request.param


@pytest.fixture
def screen(width, monkeypatch):
    """Takes what is printed; gives its lines, after checking that each fits the terminal."""
    terminal = Terminal()
    monkeypatch.setattr(output, "_stdout", terminal)
    # Not sys.stderr itself, which pytest sets again.
    for module in (output, progress):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=terminal))

    def lines(*whole):
        text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
        for line in text.splitlines():
            too_long = [word for word in line.split() if len(word) > width - 14]
            assert len(line) <= width or too_long, line
        words = text.split()
        assert [word for word in whole if word not in words] == []
        return text.splitlines()

    return lines


def search(**changes):
    params = {f"model.{key}": 0.123456 for key in KEYS}
    trials = [
        TrialRecord(number, "running" if number % 3 else "pruned", params, value=0.5 + number / 100)
        for number in range(20)
    ]
    return SearchRecord(
        LONG_NAME,
        "val/accuracy",
        True,
        space={key: Variation(choice=(1, 2)) for key in params},
        algorithm="random",
        scheduler="asha",
        max_epochs=3,
        num_planned=24,
        elapsed_s=60.0,
        trials=tuple(trials),
        **changes,
    ).with_best()


def shown(bars):
    bars._bars.console.print(*bars._bars.get_renderables())


def test_the_end_of_train(screen, call, replaced, experiment):
    folder = f"/home/someone/experiments/{'x' * 60}"
    sample = {
        "label": "pos",
        "probabilities": {"pos": 0.75},
        "text": "The film is interesting " * 9,
    }
    figures = {"precision": 0.5, "recall": 0.25, "f1": 0.3333, "rows": 1200}
    best = {**EPOCH, "test/macro_f1": 0.5}
    value = TrainResult(
        run_id=RUN_ID,
        tracking_uri="sqlite:///x.db",
        config_fingerprint="a",
        data_fingerprint="b",
        prepared_path=folder,
        model_uri="models:/m-1",
        metrics={**best, "best": best, "last": best},
        epochs=3,
        best_epoch=2,
        clip={"max_norm": 1.5, "clipped_fraction": 0.25},
        sample=sample,
        run_folder=folder,
        report=f"{folder}/results/report.html",
        classes=[{"class": "a class of several words", **figures}],
    )
    replaced("rnnlane.cli.train.train_experiment", value)
    call("train", experiment, "--set", f"tracking.uri=sqlite:///{folder}/x.db")
    screen(folder, "interesting", "precision", "sqlite:///x.db")


def test_the_end_of_tune(screen, call, replaced, experiment):
    params = {f"model.{key}": 0.123456 for key in KEYS}
    best = {"number": 3, "value": 0.9, "params": params}
    value = SimpleNamespace(
        num_trials=24,
        num_pruned=12,
        num_cut=0,
        num_failed=1,
        epochs_trained=123,
        elapsed_s=12345.0,
        report=f"/home/someone/{'x' * 60}/report.html",
        run_id=RUN_ID,
        tracking_uri="sqlite:///x.db",
        best=best,
        clip={"max_norm": None, "clipped_fraction": 0.0},
        best_config="winner.yaml",
        ablation=None,
        run_url="http://mlflow.example.org:5000/#/experiments/1/runs/" + RUN_ID,
        runs_url="http://mlflow.example.org:5000/#/experiments/1/runs",
    )
    replaced("rnnlane.cli.tune.tune_experiment", value)
    call("tune", experiment)
    screen(*(f"model.{key}=0.1235," for key in KEYS[:-1]), f"model.{KEYS[-1]}=0.1235")


def test_runs(screen, call, replaced):
    summaries = [
        RunSummary(RUN_ID, name, "FINISHED", 0.0, 61.4, EPOCH, {}, {}, "", best=EPOCH)
        for name in ("demo", LONG_NAME)
    ]
    replaced("rnnlane.cli.runs.list_runs", (summaries, 0))
    call("runs")
    screen("01234567", LONG_NAME, "FINISHED", "0.8200", "0.8000")


def test_jobs(screen, call, monkeypatch):
    noted = {"rnnlane.experiment": LONG_NAME, "rnnlane.user": "ana"}
    job = Job(JOB, "FAILED", "out of memory " * 9, started_at=0.0, ended_at=9.0, metadata=noted)
    client = SimpleNamespace(
        jobs=lambda: [job],
        job=lambda _id: job,
        log=lambda _id: f"run {RUN_ID} in http://mlflow:5000\n",
        address="http://head:8265",
    )
    monkeypatch.setattr("rnnlane.jobs.client.JobClient", lambda _address: client)
    monkeypatch.setenv("RAY_ADDRESS", client.address)
    call("jobs", "list")
    call("jobs", "status", JOB)
    screen(JOB, "FAILED", RUN_ID[:8], "memory")


@pytest.mark.parametrize("name", ["class", "kind-of-ticket"])
def test_evaluate(screen, call, replaced, name):
    names = tuple(f"{name}-{number}" for number in range(9))
    matrix = np.arange(81).reshape(9, 9)
    described = describe_classes({"test": matrix}, names, split="test")
    scores = Evaluation(RUN_ID, "test", 5, FIGURES, names, matrix.tolist(), **described)
    replaced("rnnlane.cli.evaluate.evaluate_run", scores)
    call("evaluate")
    screen(f"{name}-8", "precision")


def test_trials_of_a_search_and_its_repeats(screen, width):
    for found in (
        search(),
        search(afterwards="1/4 repeats of the best trials (trial 12 with seed 3)"),
    ):
        bars = BarEvents(verbose=False)
        bars.trial(found)
        shown(bars)
    lines = screen("val/accuracy", "pruned", "1/4")
    assert any("hidden_size=0.123" in line for line in lines) is (width == 80)


@pytest.mark.parametrize(
    "under_way",
    [
        Progress("read", 50_000_000, None),
        Progress("download", 84_125_825, 84_125_825, unit="bytes"),
        Progress("calibrating the clip value", 120, 200, unit="steps"),
        EpochProgress(
            "epoch 12/100",
            9_999,
            12_345,
            epoch=12,
            num_epochs=100,
            loss=0.12345,
            accuracy=0.98765,
            rows_per_s=123_456,
            left_s=36_000,
        ),
    ],
)
def test_progress(screen, under_way):
    bars = BarEvents(verbose=False)
    bars.progress(under_way)
    shown(bars)
    screen(*under_way.stage.split(), *under_way.detail.split())


def test_epochs_notes_and_errors(screen):
    bars = BarEvents(verbose=False)
    bars.epoch([EPOCH])
    bars.note("a note of many words " * 10)
    output.note("another note " * 20)
    output.write("a result " * 20)
    output.write_error(
        ConfigError("a rule " * 20, where="x.yaml", remedy="a remedy " * 9), as_json=False
    )
    screen("0.8200", "12.5%", "remedy")


def test_what_tabs_part_is_not_broken(screen):
    text = "positive\t0.9\t" + "a text " * 30
    output.write(text)
    assert output._stdout.getvalue() == f"{text.rstrip()}\n"


def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch):
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=Terminal()))
    for name, kind in (("xterm", BarEvents), ("dumb", progress.LineEvents)):
        monkeypatch.setenv("TERM", name)
        assert type(progress.events_for(verbose=False)) is kind


@pytest.mark.parametrize(
    ("variable", "value", "plain"),
    [("NO_COLOR", "1", False), ("TERM", "dumb", True), ("TERM", "unknown", True)],
)
def test_there_is_no_color_where_none_is_wanted(monkeypatch, variable, value, plain):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(variable, value)
    terminal = Terminal()
    monkeypatch.setattr(output, "_stdout", terminal)
    output.write_table([["1"]], header=["x"], title="a title")
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", terminal.getvalue()))
    assert codes <= (set() if plain else {"0", "1"})


def test_in_a_pipe_there_are_no_codes_at_all(capsys):
    output.write_table([["1"]], header=["x"], title="a title")
    assert "\x1b" not in capsys.readouterr().out
