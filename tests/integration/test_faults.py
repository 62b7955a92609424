"""A dozen rounds of `python -m tests.faults`, always the same."""

import pytest

from faults.campaign import Campaign
from faults.machine import why_not
from faults.plan import draw

pytestmark = pytest.mark.slow

# Each further target would cost an undisturbed round, and with workers a round takes six times as
# long. Each seed gives moments that are reached.
ROUNDS = [
    (1, ["all-killed", "checkpoint-bit"]),
    (3, ["home-full"]),
    (2121, ["driver-stopped", "resumed-twice"]),
    (21, ["store-login-page", "clock-jumps"]),
    (51, ["database-locked", "stdout-closed"]),
    (1007, ["ctrl-c", "prepared-file-cut"]),
    (7, ["record-cut"]),
    (28, ["store-answers-lost", "driver-killed"]),
    (47, ["inodes-exhausted"]),
    (14, ["outbox-cut"]),
    (61, ["all-killed", "cleaned-between"]),
    (64, ["weights-bit", "runs-listed"]),
]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    return Campaign(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(("seed", "kinds"), ROUNDS)
def test_a_disturbed_command_ends_as_an_undisturbed_one(campaign, seed, kinds, capsys):
    passed = campaign.run(draw(seed, only=kinds, targets=["run"]))
    assert passed, capsys.readouterr().out
