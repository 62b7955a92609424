from types import SimpleNamespace

import pytest

from rnnlane.errors import ConfigError
from rnnlane.execution.data_checks import check_same_data
from rnnlane.execution.environment import code_version
from rnnlane.tracking.store import CODE_TAG, DATA_TAG


def run_of(data, code):
    return SimpleNamespace(run_id="r", tags={DATA_TAG: data, CODE_TAG: code})


@pytest.mark.parametrize("code", [None, "01234567"])
def test_a_run_of_other_code_may_have_other_data_in_its_own_experiment(code):
    prepared = SimpleNamespace(fingerprint="new")
    check_same_data(prepared, run_of("new", code))
    with pytest.raises(ConfigError, match="name the run's own experiment") as caught:
        check_same_data(prepared, run_of("old", code_version()))
    assert "other code" not in str(caught.value)
    with pytest.raises(ConfigError, match="other code of rnnlane, which trained it, prepared"):
        check_same_data(prepared, run_of("old", code))
