import json

import pytest

from rnnlane.errors import ConfigError


def answered(texts):
    return [{"text": t, "label": "pos", "probabilities": {"neg": 0.25, "pos": 0.75}} for t in texts]


@pytest.fixture
def asked(monkeypatch):
    """The texts that the model is asked about."""
    texts = []

    def predict(lines, **_):
        texts.extend(lines)
        return answered(lines)

    monkeypatch.setattr("rnnlane.cli.predict._classify", predict)
    return texts


def test_texts_come_from_the_command_line_a_file_or_stdin(call, asked, tmp_path):
    assert call("predict", "A film.", "B").stdout == "pos\t0.7500\tA film.\npos\t0.7500\tB\n"
    file = tmp_path / "texts.txt"
    file.write_bytes(b"C\n \nD \xff\n")
    call("predict", "--file", file)
    call("predict", input="E\n\nF")
    assert asked == ["A film.", "B", "C", "D �", "E", "F"]


def test_json_has_every_prediction(call, asked):
    assert json.loads(call("predict", "A", "--json").stdout) == {"predictions": answered(["A"])}


@pytest.mark.parametrize("arguments", [["A", "--file", "x.txt"], ["--file", "none.txt"], []])
def test_no_text_or_two_sources_of_texts_are_refused(call, asked, arguments):
    with pytest.raises(ConfigError):
        call("predict", *arguments, input=" \n")
    assert asked == []


def test_a_plot_shows_the_first_few(call, asked, tmp_path):
    plot = tmp_path / "answers.png"
    done = call("predict", *map(str, range(25)), "--plot", plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "the first 8 of 25" in done.stderr


def test_a_plot_that_cannot_be_written_is_refused(call, asked, tmp_path):
    with pytest.raises(ConfigError, match="cannot write the picture"):
        call("predict", "A", "--plot", tmp_path / "none" / "answers.png")
