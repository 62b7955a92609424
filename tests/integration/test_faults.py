"""A dozen rounds of `python -m tests.faults`, always the same ones."""

import pytest

from faults.campaign import Campaign
from faults.machine import why_not
from faults.plan import draw

pytestmark = pytest.mark.slow

# Each further target would cost an undisturbed round, and with workers a round takes six times as
# long. Each seed gives moments that are reached.
ROUNDS = [
    (1, "run", ["all-killed", "checkpoint-bit"]),
    (3, "run", ["home-full"]),
    (1007, "run", ["ctrl-c", "prepared-file-cut"]),
    (7, "run", ["record-cut"]),
    (2121, "run", ["driver-stopped", "resumed-twice"]),
    (28, "run", ["store-answers-lost", "driver-killed"]),
    (21, "run", ["store-login-page", "clock-jumps"]),
    (47, "run", ["inodes-exhausted"]),
    (14, "run", ["outbox-cut"]),
    (51, "run", ["database-locked", "stdout-closed"]),
    (61, "run", ["all-killed", "cleaned-between"]),
    (64, "run", ["weights-bit", "runs-listed"]),
]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    return Campaign(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(("seed", "target", "kinds"), ROUNDS)
def test_a_disturbed_command_ends_as_an_undisturbed_one(campaign, seed, target, kinds, capsys):
    passed = campaign.run(draw(seed, only=kinds, targets=[target]))
    assert passed, capsys.readouterr().out
