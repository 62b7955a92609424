import csv
import io
import json
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rnnlane.errors import ConfigError, DataError, ResourceError
from support.bundle import write_bundle
from support.chosen_devices import chosen_devices

EXPERIMENT = "name: x\ndata:\n  source: {kind: generated}\n  columns: {text: review}\n"


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """The runs whose model was fetched: that of a bundle on disk."""
    bundle = write_bundle(tmp_path / "bundle", ("[bad]", "so\x1b[31m so", "[/good]"))
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    runs = []

    class Fetcher:
        experiment = tmp_path / "experiment.yaml"

        def __init__(self, _, run, __, *, with_experiment):
            runs.append((run, with_experiment))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def folder(self):
            return bundle

    monkeypatch.setattr("rnnlane.tracking.model_fetcher.ModelFetcher", Fetcher)
    return runs


@pytest.fixture
def file(tmp_path):
    def file(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return file


def asked(done):
    """The texts of a printed answer, one a line, and the mark of one without a known token."""
    lines = [line.split("\t")[2:] for line in done.stdout.splitlines()]
    # The weights are random, so every answer is marked as a guess.
    return [[text, *(mark for mark in marks if "no known" in mark)] for text, *marks in lines]


def test_the_model_is_put_on_the_device_that_is_chosen(call, runs, monkeypatch):
    devices = chosen_devices(monkeypatch)
    for options in ([], ["--device", "gpu"], ["--device", "cpu"]):
        call("predict", "A film.", *options)
    assert devices == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="needs a GPU"):
        call("predict", "A film.", "--device", "gpu")


def test_texts_come_from_the_command_line_a_file_or_stdin(call, runs, file):
    assert asked(call("predict", "A film.", "fine")) == [["A film."], ["fine"]]
    assert asked(call("predict", "--file", file("x.txt", b"film\na"))) == [["film"], ["a"]]
    assert asked(call("predict", "--run", "ab", input="fine\n\nfilm")) == [
        ["fine"],
        ["", "(not sure; no known token)"],
        ["film"],
    ]
    assert runs == [("latest", False), ("latest", False), ("ab", False)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_has_one_answer_a_line_in_its_order(call, runs, file, encoding):
    lines = ["a film\u2028fine", "", "dull\x85film", "a\x0cfilm\x0b", " ", "fine"]
    done = call("predict", "--file", file("x.txt", "\r\n".join(lines).encode(encoding)))
    texts = [found[0] for found in asked(done)]
    assert texts == ["a film\\u2028fine", "", "dull\\x85film", "a\\x0cfilm\\x0b", " ", "fine"]
    assert [found[1:] for found in asked(done)].count(["(not sure; no known token)"]) == 2
    assert "a token that the model knows: 2 of 6;" in done.stderr
    done = call("predict", "--file", file("x.txt", "\n".join(lines).encode()), "--json")
    found = json.loads(done.stdout)
    assert [each["text"] for each in found["predictions"]] == lines


@pytest.mark.parametrize("text", ["", " ", "zzz qqq", "\u200b", "<br>"])
def test_a_text_that_is_empty_for_the_model_is_answered_so(call, runs, text):
    done = call("predict", text, "a film")
    assert [found[1:] for found in asked(done)] == [["(not sure; no known token)"], []]
    assert "a token that the model knows: 1 of 2;" in done.stderr
    found = json.loads(call("predict", text, "a film", "--json").stdout)["predictions"]
    assert [each["num_known_tokens"] for each in found] == [0, 2]


def test_answers_near_chance_are_not_sure_and_unknown_tokens_are_told(call, runs):
    done = call("predict", "a film zzz", "a film")
    # The weights are random, so no class is far from a third.
    first, second = (line.split("\t")[3] for line in done.stdout.splitlines())
    assert first == "(not sure; 33% of the tokens unknown)"
    assert second == "(not sure)"
    assert "hardly more than a guess (not sure): 2 of 2;" in done.stderr
    found = json.loads(call("predict", "a film zzz", "--json").stdout)["predictions"]
    assert [(each["is_sure"], each["num_tokens"]) for each in found] == [(False, 3)]


def test_json_has_every_prediction(call, runs):
    (found,) = json.loads(call("predict", "A film", "--json").stdout)["predictions"]
    counts = {"num_known_tokens", "num_tokens", "is_sure"}
    assert set(found) == {"text", "label", "probabilities", *counts}
    assert sum(found["probabilities"].values()) == pytest.approx(1)
    assert found["label"] == max(found["probabilities"], key=found["probabilities"].get)


def test_names_and_texts_are_printed_as_they_are(call, runs):
    done = call("predict", "a [red]film[/red]\x1b[2J", "a\ttab\nand a line")
    assert "\x1b" not in done.stdout
    assert done.stdout.count("\n") == 2
    assert asked(done) == [["a [red]film[/red]\\x1b[2J"], ["a\\ttab\\nand a line"]]
    labels = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert labels <= {"[bad]", "[/good]", "so\\x1b[31m so"}


@pytest.mark.parametrize("arguments", [["A", "--file", "x.txt"], ["--file", "none.txt"], []])
def test_no_text_or_two_sources_of_texts_are_refused(call, runs, arguments):
    with pytest.raises(ConfigError):
        call("predict", *arguments, input=" \n")
    assert runs == []


def test_a_closed_stdin_holds_no_text(call, runs, monkeypatch):
    monkeypatch.setattr("rnnlane.cli.predict.sys", SimpleNamespace(stdin=None))
    with pytest.raises(ConfigError, match="at least one text"):
        call("predict")


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.txt", "été\nété".encode("latin-1")), ("x.pdf", b"%PDF-1.7\n\0"), ("x", b"PK\3\4\0")],
)
def test_a_file_of_another_encoding_or_kind_is_refused(call, runs, file, name, content):
    with pytest.raises(DataError) as caught:
        call("predict", "--file", file(name, content))
    assert caught.value.where.endswith(name)
    assert runs == []


def test_a_few_broken_lines_are_told(call, runs, file):
    done = call("predict", "--file", file("x.txt", b"a film\n" * 150 + b"caf\xe9\n"))
    assert len(done.stdout.splitlines()) == 151
    assert "lines with bytes that are not UTF-8, left out: 1" in done.stderr


CSV = b'review,label\n"a film, fine",pos\n,neg\ndull,neg\n'
PROBABILITIES = ["probability_[bad]", "probability_so\x1b[31m so", "probability_[/good]"]
ADDED = ["predicted_label", *PROBABILITIES, "num_known_tokens", "num_tokens", "is_sure"]


def test_a_table_is_read_by_the_experiments_columns_and_answered_row_by_row(call, runs, file):
    done = call("predict", "--file", file("x.csv", CSV))
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["review", "label", *ADDED]
    assert [row[:2] for row in rows[1:]] == [["a film, fine", "pos"], ["", "neg"], ["dull", "neg"]]
    assert [row[-3] for row in rows[1:]] == ["3", "0", "1"]
    assert "a token that the model knows: 1 of 3;" in done.stderr
    assert "rows without a text: 1 of 3" in done.stderr
    assert runs == [("latest", True)]
    found = json.loads(call("predict", "--file", file("x.csv", CSV), "--json").stdout)
    assert [each["text"] for each in found["predictions"]] == ["a film, fine", "", "dull"]


@pytest.mark.parametrize("name", ["y.csv", "y.tsv", "y.jsonl", "y.parquet"])
def test_the_answers_are_written_as_the_kind_that_their_file_is_called(
    call, runs, file, tmp_path, name
):
    target = tmp_path / "out" / name
    target.parent.mkdir()
    done = call("predict", "--file", file("x.csv", CSV), "--output", target)
    assert done.stdout == ""
    assert f"wrote 3 answers to {target}" in done.stderr
    assert list(target.parent.iterdir()) == [target]
    if name.endswith(".parquet"):
        rows = pq.read_table(target).to_pylist()
    elif name.endswith(".jsonl"):
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        delimiter = "\t" if name.endswith(".tsv") else ","
        rows = list(csv.DictReader(target.open(newline=""), delimiter=delimiter))
    assert list(rows[0]) == ["review", "label", *ADDED]
    assert [row["review"] for row in rows] == ["a film, fine", "", "dull"]


def test_parquet_is_printed_as_json_lines(call, runs, tmp_path):
    pq.write_table(pa.table({"review": ["a film"], "n": [1]}), tmp_path / "x.parquet")
    (line,) = call("predict", "--file", tmp_path / "x.parquet").stdout.splitlines()
    assert list(json.loads(line)) == ["review", "n", *ADDED]


@pytest.mark.parametrize("name", ["", "y.jsonl", "y.csv"])
def test_numbers_that_json_lacks_are_null(call, runs, tmp_path, name):
    numbers = [float("nan"), float("inf"), 1.5]
    table = pa.table({"review": ["a"] * 3, "n": numbers, "nested": [{"m": n} for n in numbers]})
    pq.write_table(table, tmp_path / "x.parquet")
    output = ["--output", tmp_path / name] if name else []
    printed = call("predict", "--file", tmp_path / "x.parquet", *output).stdout
    if name == "y.csv":
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        found = [json.loads(row["nested"], parse_constant=pytest.fail) for row in rows]
        assert [row["n"] for row in rows] == ["nan", "inf", "1.5"]
    else:
        lines = ((tmp_path / name).read_text() if name else printed).splitlines()
        rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        found = [row["nested"] for row in rows]
        assert [row["n"] for row in rows] == [None, None, 1.5]
    assert found == [{"m": None}, {"m": None}, {"m": 1.5}]


def test_texts_alone_can_be_written_as_a_table(call, runs, tmp_path):
    call("predict", "a film", "", "--output", tmp_path / "y.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["a film", ""]


@pytest.mark.parametrize("output", ["y.txt", "y", "y.csv.gz", "none/y.csv", "x.csv"])
def test_an_output_that_cannot_be_is_refused_before_anything_starts(
    call, runs, file, tmp_path, monkeypatch, output
):
    monkeypatch.chdir(tmp_path)
    source = file("x.csv", CSV)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError) as caught:
        call("predict", "--file", source, "--output", output)
    assert caught.value.where == f"--output {output}"
    assert runs == []
    assert sorted(tmp_path.iterdir()) == before
    assert source.read_bytes() == CSV


def test_a_table_without_the_column_is_refused(call, runs, file):
    with pytest.raises(DataError, match="'review', as in the run's experiment"):
        call("predict", "--file", file("x.csv", b"text\na film\n"))
    with pytest.raises(ConfigError, match="cannot read the texts"):
        call("predict", "--file", "none.csv")


def test_a_plot_shows_the_first_few(call, runs, tmp_path):
    plot = tmp_path / "answers.png"
    done = call("predict", *map(str, range(25)), "--plot", plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "the first 8 of 25" in done.stderr


def test_a_plot_of_no_texts_is_none(call, runs, file, tmp_path):
    done = call("predict", "--file", file("x.csv", b"review\n"), "--plot", tmp_path / "a.png")
    assert "there is no picture, as there are no texts" in done.stderr
    assert not (tmp_path / "a.png").exists()


def test_half_a_character_is_answered_and_drawn(call, runs, file, tmp_path):
    table = file("x.jsonl", b'{"review": "a film \\ud83d"}')
    plot = tmp_path / "answers.png"
    (found,) = json.loads(call("predict", "--file", table, "--plot", plot, "--json").stdout)[
        "predictions"
    ]
    assert (found["text"], found["num_known_tokens"]) == ("a film \ud83d", 2)
    assert plot.exists()
    (line,) = call("predict", "--file", table).stdout.splitlines()
    assert json.loads(line)["review"] == "a film \ud83d"


def test_a_plot_that_cannot_be_written_is_refused(call, runs, tmp_path):
    with pytest.raises(ConfigError, match="cannot write the picture"):
        call("predict", "A", "--plot", tmp_path / "none" / "answers.png")
