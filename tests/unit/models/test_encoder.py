"""The registry of encoders, and what a new one takes: a file and a line."""

import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlane.config import ExperimentConfig
from rnnlane.config.encoders import ENCODERS
from rnnlane.config.model import ModelConfig
from rnnlane.errors import ConfigError
from rnnlane.models.encoder import Encoder, build_encoder
from support.tiny import tiny_experiment

ROOT = Path(__file__).parents[3]
TOY_FILE = '''
"""A bag of words that were passed through one layer."""

import torch
from torch import nn

from rnnlane.models.encoder import Encoder


class ToyEncoder(Encoder):
    def __init__(self, config):
        super().__init__()
        self.output_size = config.hidden_size
        self.linear = nn.Linear(config.embedding_dim, config.hidden_size)

    def forward(self, embedded, lengths):
        outputs = self.linear(embedded).tanh()  # [B, T, H]
        is_real = torch.arange(embedded.shape[1], device=embedded.device) < lengths.unsqueeze(1)
        return outputs, (outputs * is_real.unsqueeze(2)).sum(dim=1) / lengths.unsqueeze(1)
'''
TOY_LINE = '    "toy": "rnnlane.models.toy:ToyEncoder",\n'


def test_a_new_encoder_is_one_file_and_one_line(tmp_path):
    """In a copy of the package; the conformance suite then trains it as well."""
    package = tmp_path / "rnnlane"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "platform" / "rnnlane", package, ignore=ignore)
    (package / "models" / "toy.py").write_text(TOY_FILE)
    registry = package / "config" / "encoders.py"
    before, opening, after = registry.read_text().partition("ENCODERS = {\n")
    registry.write_text(before + opening + TOY_LINE + after)

    suite = Path(__file__).with_name("test_encoder_conformance.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "toy", suite]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    # Without a test of that name, pytest ends with 5.
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("cell", list(ENCODERS))
def test_an_address_leads_to_an_encoder_that_build_encoder_makes(cell):
    kind = pkgutil.resolve_name(ENCODERS[cell])
    assert issubclass(kind, Encoder)
    assert type(build_encoder(ModelConfig(cell=cell))) is kind


def test_an_unknown_encoder_is_refused_with_the_known_ones():
    with pytest.raises(
        ConfigError, match="must be 'rnn', 'lstm' or 'gru', but got 'lstn'"
    ) as error:
        tiny_experiment("model.cell=lstn")
    assert "model.cell" in str(error.value)


def test_the_schema_lists_the_encoders():
    schema = ExperimentConfig.model_json_schema()
    assert schema["$defs"]["ModelConfig"]["properties"]["cell"]["enum"] == list(ENCODERS)


def test_a_class_that_does_not_encode_cannot_be_made():
    with pytest.raises(TypeError, match="forward"):
        Encoder()
