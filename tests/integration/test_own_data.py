"""Data of a user's own, by configuration alone: odd columns, several classes, characters."""

import csv
import random
import time
import urllib.request

import psutil
import pytest
import yaml

from support.command import rnnlane, rnnlane_json, start_rnnlane, wait_until
from support.listening import beyond_loopback, family, listening

QUEUES = {"Rechnung/€": "invoice amount", "Störung": "broken error", "Lob & Dank": "thanks great"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_tickets(path):
    """Three classes under odd column names, with quotes, line breaks and HTML in the text."""
    chance = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Ticket No.", "Body (raw)", "Queue"])
        for number in range(300):
            queue = chance.choice(list(QUEUES))
            words = QUEUES[queue].split() + [f"word{chance.randrange(400)}" for _ in range(6)]
            chance.shuffle(words)
            writer.writerow([number, 'He said, "well"\n<br />' + " ".join(words), queue])


def write_names(path, num_classes=18):
    """Short strings of many unbalanced classes; a class has endings of its own."""
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for label in range(num_classes):
            for _ in range(10 + 12 * label):
                stem = "".join(chance.choice(LETTERS) for _ in range(chance.randint(2, 6)))
                end = LETTERS[label] + LETTERS[-1 - label]
                file.write(f'{{"name": "{stem}{end}", "language": "language {label:02d}"}}\n')


def experiment(folder, name, **sections):
    file = folder / f"{name}.yaml"
    small = {"embedding_dim": 24, "hidden_size": 32, "pooling": "max"}
    values = {"name": name, "model": small, "tracking": {"system_metrics": False}, **sections}
    file.write_text(yaml.safe_dump(values))
    return str(file)


def test_a_csv_of_three_classes_with_odd_column_names_trains_on_two_workers(
    tmp_path, ray_environment
):
    write_tickets(tmp_path / "tickets 2026.csv")
    file = experiment(
        tmp_path,
        "tickets",
        data={
            "source": {"kind": "csv", "path": str(tmp_path / "tickets*.csv")},
            "columns": {"text": "Body (raw)", "label": "Queue", "id": "Ticket No."},
        },
        text={"stop_words": "english_keep_negations"},
        training={"epochs": 10, "learning_rate": 0.01, "metric": "val/macro_f1"},
    )
    home = tmp_path / "home"
    result = rnnlane_json(home, "train", file, **ray_environment)
    assert result["metrics"]["best"]["test/accuracy"] > 0.8
    assert "test/roc_auc" not in result["metrics"]
    answer = rnnlane_json(home, "predict", "thanks, that was great")["predictions"][0]
    assert answer["label"] == "Lob & Dank"
    assert set(answer["probabilities"]) == set(QUEUES)


@pytest.mark.slow
@pytest.mark.release
def test_an_experiment_drafted_for_short_strings_of_eighteen_unbalanced_classes_trains(
    tmp_path, ray_environment
):
    write_names(tmp_path / "names.jsonl")
    home = tmp_path / "home"
    config = rnnlane_json(home, "init", "names.jsonl")["config"]
    assert config["text"]["tokenizer"] == "characters"
    assert config["training"]["class_weights"] == "balanced"
    settings = ["training.epochs=8", "training.learning_rate=0.01", "model.hidden_size=32"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    options = ("names.yaml", "--workers", "0", *overrides)
    result = rnnlane_json(home, "train", *options, **ray_environment)
    assert result["metrics"]["best"]["test/accuracy"] > 0.6
    assert len(result["sample"]["probabilities"]) == 18


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.metric=val/roc_auc"], ["two classes"]),
        (["tracking.uri=http://127.0.0.1:9"], ["127.0.0.1:9"]),
    ],
)
def test_what_cannot_run_is_refused_in_one_line_and_leaves_no_run(
    tmp_path, overrides, words, ray_environment
):
    write_tickets(tmp_path / "tickets.csv")
    file = experiment(
        tmp_path,
        "tickets",
        data={
            "source": {"kind": "csv", "path": "tickets.csv"},
            "columns": {"text": "Body (raw)", "label": "Queue"},
        },
    )
    home = tmp_path / "home"
    settings = [part for override in overrides for part in ("--set", override)]
    done = rnnlane(home, "train", file, "--workers", "0", *settings, **ray_environment)
    assert done.returncode == (1 if "tracking" in overrides[0] else 2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not list(home.glob("runs/*"))


def test_ui_serves_the_store_on_loopback(tmp_path, free_port):
    log = tmp_path / "ui.log"
    server = start_rnnlane(tmp_path / "home", log, "ui", "--port", str(free_port))

    def answers():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health") as response:
                return response.status == 200
        except OSError:
            return False

    try:
        wait_until(answers, timeout_s=60, what="the pages")
        processes = family(psutil.Process(server.pid))
        sockets = listening(processes)
        assert ("127.0.0.1", free_port) in sockets
        assert beyond_loopback(sockets) == {}
    finally:
        server.terminate()
        time.sleep(1)
        assert server.wait(timeout=30) in (0, 130), log.read_text()
    assert psutil.wait_procs(processes, timeout=10)[1] == []


@pytest.mark.slow
def test_doctor_finds_this_machine_fit(tmp_path):
    found = rnnlane_json(tmp_path / "home", "doctor")
    assert found["ok"], found
    assert {"Ray", "MLflow store", "packages"} <= {each["what"] for each in found["findings"]}
