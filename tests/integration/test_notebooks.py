"""The notebooks run from top to bottom, each in a kernel of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SMALL = {"NUM_REVIEWS": "1000", "NUM_TICKETS": "300", "EPOCHS": "2", "NUM_TRIALS": "3"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Both notebooks share the home, and nothing else of the machine's own."""
    variables = {
        **SMALL,
        "RNNLANE_HOME": str(tmp_path_factory.mktemp("home")),
        "TMPDIR": str(tmp_path_factory.mktemp("files")),
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        for name in ("RNNLANE_IMDB", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        # A session folder of Ray has a socket, whose path must be short.
        patch.setenv("RAY_TMPDIR", "/tmp")
        yield


def notebook(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, environment, tmp_path):
    executed = notebook(path)
    client = NotebookClient(
        executed, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    # What libraries complain of is no part of a lesson.
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not complaints
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= 3
    assert sum("TrainResult" in data.get("text/html", "") for data in shown) >= 2
    assert any("log-odds" in data.get("text/html", "") for data in shown)


@pytest.mark.slow
@pytest.mark.release
def test_a_kernel_is_usable_after_its_stop_button(environment, tmp_path):
    """It is pressed while torch is imported, and while a network is trained."""
    cells = [
        "import rnnlane, signal, sys, threading, time\n"
        "def stop_when(ready):\n"
        "    def wait():\n"
        "        while not ready():\n"
        "            time.sleep(0.01)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    threading.Thread(target=wait).start()\n"
        "config = rnnlane.experiment_from_mapping({'name': 'stopped',\n"
        "    'data': {'source': {'kind': 'generated', 'num_rows': 200}},\n"
        "    'model': {'embedding_dim': 4, 'hidden_size': 4},\n"
        "    'training': {'epochs': 3}, 'runtime': {'num_workers': 0}})\n"
        "rnnlane.prepare(config, events=rnnlane.SILENT)",
        "stop_when(lambda: 'torch' in sys.modules)\nrnnlane.train(config)",
        "class Stop(rnnlane.RunEvents):\n"
        "    def epoch(self, history):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "rnnlane.train(config, events=Stop())",
        "rnnlane.train(config, resume=True, events=rnnlane.SILENT).epochs",
        "rnnlane.load_model('nothing')",
    ]
    stopped = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(stopped, timeout=120, kernel_name="python3", allow_errors=True).execute()
    names = [[o.get("ename") for o in cell.outputs if "ename" in o] for cell in stopped.cells]
    assert names == [[], ["KeyboardInterrupt"], ["KeyboardInterrupt"], [], ["ConfigError"]]
    assert stopped.cells[3].outputs[-1].data["text/plain"] == "3"
    (line,) = stopped.cells[4].outputs[0].traceback
    assert line.startswith("ConfigError: ")
    assert "no run has the id or name 'nothing'" in line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_paths_of_a_machine(path):
    content = path.read_text(encoding="utf-8")
    nbformat.validate(json.loads(content))
    assert not re.search(r"/(home|work|tmp|root|Users)/", content)
    for cell in notebook(path).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_formatted_as_the_code_is(path):
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, str(path)]
        done = subprocess.run(ruff, cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
