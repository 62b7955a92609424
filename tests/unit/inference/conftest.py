import pytest

from support.bundle import write_bundle


@pytest.fixture
def bundle(tmp_path):
    """The folder of a classifier with random weights, of three classes."""
    return write_bundle(tmp_path)
