"""The help of every verb."""

import re
import shlex
import subprocess
import sys

import pytest
import typer

from rnnlane.cli.main import app
from rnnlane.cli.verb import Verb
from support.forked import rnnlane_forked


def verbs(command, name="rnnlane"):
    """Every verb with its whole name."""
    for child_name, child in getattr(command, "commands", {}).items():
        yield from verbs(child, f"{name} {child_name}")
    if not hasattr(command, "commands"):
        yield name, command


VERBS = dict(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("name", VERBS)
def test_each_example_of_a_verb_is_a_command_that_it_takes(name):
    verb = VERBS[name]
    assert isinstance(verb, Verb)
    assert verb.examples
    for line in verb.examples:
        command = re.split(r" [|>] ", line)
        (ours,) = [part for part in command if part.startswith(name)]
        words = shlex.split(ours)[len(name.split()) :]
        with verb.make_context(name, words):
            pass
        assert len(line) <= 78


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", VERBS)
def test_the_help_fits_and_says_nothing_of_the_type_of_a_flag(call, monkeypatch, name, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = call(*name.split()[1:], "--help").stdout
    assert all(len(line) <= width for line in text.splitlines())
    assert "bool" not in text
    assert "review" not in text
    assert text.index("Options") < text.index("Examples:\n  ")
    words = set(re.findall(r"[\w-]+", text))
    for param in VERBS[name].params:
        assert set(re.findall(r"[\w-]+", getattr(param, "help", None) or "")) <= words


@pytest.mark.parametrize("arguments", [[], ["jobs"]])
def test_without_a_verb_the_help_is_printed_and_that_is_no_error(arguments):
    done = rnnlane_forked(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Commands" in done.stdout


@pytest.mark.parametrize(
    ("words", "completed"), [("rnnlane tr", "train"), ("rnnlane train --w", "--workers")]
)
def test_a_shell_completes_verbs_and_options(words, completed):
    program = "import sys; sys.argv[0] = 'rnnlane'; from rnnlane.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={
            "PYTHONPATH": ":".join(sys.path),
            "_RNNLANE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
    )
    assert done.stdout.split() == [completed], done.stderr
