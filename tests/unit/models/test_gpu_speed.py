import subprocess
import sys

import pytest

from rnnlane.config.encoders import ENCODERS
from rnnlane.models.gpu_speed import PERSISTENT, slow_on_gpus
from support.tiny import tiny_experiment


@pytest.mark.parametrize(("cell", "fast"), [("lstm", 128), ("gru", 128), ("rnn", 256)])
def test_the_largest_fast_layer_is_not_mentioned_and_the_next_is(cell, fast):
    def notes(size: int) -> list[str]:
        return slow_on_gpus(tiny_experiment(f"model.cell={cell}", f"model.hidden_size={size}"))

    assert notes(fast) == []
    (note,) = notes(fast + 1)
    assert f"{cell} layers slowly above {fast} units" in note
    assert f"model.hidden_size is {fast + 1}" in note


def test_bfloat16_is_mentioned():
    (note,) = slow_on_gpus(tiny_experiment("training.precision=bfloat16", "runtime.device=auto"))
    assert note.startswith("training.precision bfloat16 makes recurrent layers slow")


def test_every_recurrent_cell_has_its_limits():
    recurrent = {cell for cell, place in ENCODERS.items() if "models.recurrent:" in place}
    assert set(PERSISTENT) == recurrent


def test_torch_is_not_imported_for_it():
    code = "import sys, rnnlane.models.gpu_speed; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
