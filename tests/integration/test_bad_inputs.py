"""Every row of the tables of bad inputs, as a user would meet it: the command, run for real."""

import pytest

from bad_inputs.commands import COMMANDS
from bad_inputs.data import DATA
from bad_inputs.experiments import EXPERIMENTS
from bad_inputs.language_models import LANGUAGE_MODELS
from support.nodes import RayNodes

ROWS = (*EXPERIMENTS, *LANGUAGE_MODELS, *COMMANDS, *DATA)


def test_the_tables_have_a_hundred_rows_or_more(record_property, capsys):
    with capsys.disabled():
        print(f"\n{len(ROWS)} bad inputs")
    assert len({row.what for row in ROWS}) == len(ROWS) >= 100


@pytest.fixture(scope="module")
def ray(tmp_path_factory):
    nodes = RayNodes(tmp_path_factory.mktemp("ray"))
    try:
        nodes.start_head()
        yield nodes.environment
    finally:
        nodes.stop()


@pytest.mark.parametrize("row", [r for r in ROWS if not r.needs_ray], ids=lambda row: row.what)
def test_it_is_refused_before_anything_starts(row, tmp_path):
    row.check(tmp_path)


@pytest.mark.parametrize("row", [r for r in ROWS if r.needs_ray], ids=lambda row: row.what)
def test_it_is_refused_when_all_rows_are_read(row, tmp_path, ray):
    row.check(tmp_path, **ray)
