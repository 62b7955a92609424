"""A dozen rounds of `python -m tests.faults`, always the same ones."""

import pytest

from faults.campaign import Campaign
from faults.machine import why_not
from faults.plan import draw

pytestmark = pytest.mark.slow

SEEDS = range(1, 13)
# Each target costs an undisturbed round: those with processes of their own have tests of their own.
TARGETS = ["run", "workers", "baseline"]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    return Campaign(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_disturbed_command_ends_as_an_undisturbed_one(campaign, seed, capsys):
    passed = campaign.run(draw(seed, targets=TARGETS))
    assert passed, capsys.readouterr().out
