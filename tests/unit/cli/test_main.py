"""The command line up to the point where something starts: no Ray, no MLflow."""

import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from rnnlane.cli import main
from support.deployment import VERSION
from support.forked import rnnlane_forked as command

GOOD = "name: x\ndata:\n  source: {kind: generated}\n"


@pytest.fixture
def experiment(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(GOOD)
    return str(file)


def test_help_goes_to_stdout_and_names_every_verb():
    done = command("--help")
    assert done.returncode == 0
    for verb in (
        "validate",
        "prepare",
        "train",
        "baseline",
        "tune",
        "submit",
        "jobs",
        "evaluate",
        "predict",
        "runs",
        "ui",
        "schema",
        "doctor",
    ):
        assert verb in done.stdout


def test_the_version_needs_neither_torch_nor_ray_nor_mlflow():
    program = """
import sys
from rnnlane.cli import main
sys.argv = ["rnnlane", "--version"]
try:
    main.main()
finally:
    assert not {"torch", "ray", "mlflow"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"rnnlane {VERSION}\n"


def test_validate_says_name_and_fingerprint(experiment):
    done = command("validate", experiment)
    assert done.returncode == 0
    assert "x, fingerprint" in done.stdout
    found = json.loads(command("validate", experiment, "--json").stdout)
    assert found["valid"] is True
    assert found["config_fingerprint"] in done.stdout
    assert found["config"]["training"]["epochs"] == 12


def test_set_works_and_is_validated(experiment):
    found = json.loads(
        command("validate", experiment, "--set", "training.clip.max_norm=1.5", "--json").stdout
    )
    assert found["config"]["training"]["clip"]["max_norm"] == 1.5
    done = command("validate", experiment, "--set", "training.clip.maxnorm=1.5")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "did you mean `max_norm`?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "none.yaml"],
        ["train", "none.yaml"],
        ["submit", "none.yaml"],
        ["submit", "none.yaml", "--runtime-env", "conda"],
        ["jobs", "list", "--address", "10.0.0.5:6379"],
        ["jobs", "status"],
        ["jobs", "nonsense"],
        ["prepare", "none.yaml"],
        ["evaluate", "none.yaml"],
        ["validate"],
        ["nonsense"],
        ["validate", "--nonsense"],
        ["predict", "--file", "none.txt"],
        ["ui", "--port", "0"],
        ["doctor", "--cluster", "head"],
        ["doctor", "--storage", "/data"],
        ["evaluate", "--set", "a=b"],
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_json_where_asked(arguments, tmp_path):
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    as_json = command(*arguments, "--json", cwd=tmp_path)
    assert as_json.returncode == 2
    assert set(json.loads(as_json.stdout)["error"]) == {"message", "where", "remedy"}
    assert list(tmp_path.iterdir()) == []


def test_predict_without_texts_says_how_to_give_one():
    done = command("predict", input="\n \n")
    assert done.returncode == 2
    assert "at least one text" in done.stderr


def test_the_schema_is_json_and_documents_nested_keys():
    schema = json.loads(command("schema").stdout)
    assert schema == json.loads(command("schema", "--json").stdout)
    assert "p-norm" in schema["$defs"]["ClipConfig"]["properties"]["norm_type"]["description"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_interrupted_command_says_so(options):
    program = f"""
import sys
from rnnlane.cli import main, predict
def interrupt(*_):
    raise KeyboardInterrupt
predict._asked = interrupt
sys.argv = ["rnnlane", "predict", *{options}]
main.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 130
    if options:
        assert json.loads(done.stdout)["error"]["message"] == "interrupted"
    else:
        assert (done.stdout, done.stderr) == ("", "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("evaluate", "--split", "tets"), "--split must be one of 'train', 'val', 'test', but got"),
        (("runs", "--limit=0"), "--limit must be a whole number from 1, but got '0'"),
        (
            ("train", "x.yaml", "--workers", "two"),
            "--workers must be a whole number from 0",
        ),
    ],
)
def test_a_value_that_an_option_refuses_is_named_with_the_rule(arguments, line):
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: command line: {line}")


def test_an_interrupt_waits_for_the_import_system(monkeypatch):
    """Raised there it can be lost, and leave the import lock locked: the command would hang."""
    later = []
    monkeypatch.setattr(signal, "setitimer", lambda _timer, seconds: later.append(seconds))
    importing = SimpleNamespace(f_code=SimpleNamespace(co_filename="<frozen importlib._bootstrap>"))
    main._interrupt(signal.SIGTERM, importing)
    assert len(later) == 1
    with pytest.raises(KeyboardInterrupt):
        main._interrupt(signal.SIGALRM, sys._getframe())
    assert len(later) == 1


def test_an_interrupt_that_a_callback_swallows_comes_again():
    program = """
import os, signal, time, weakref
from rnnlane.cli import main
main._heed_interrupts()
class Item: pass
item = Item()
kept = weakref.ref(item, lambda _: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(0.01)))
try:
    del item
    time.sleep(30)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "stopping ...\n")


def test_ctrl_c_during_the_imports_ends_the_command_without_a_traceback():
    program = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "rnnlane.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from rnnlane.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
