from __future__ import annotations

from pathlib import Path

import pytest

from rnnlane.tracking.client import open_client
from rnnlane.tracking.colors import COLORS, next_color

TAG = "mlflow.runColor"


@pytest.mark.parametrize(
    ("newest", "after"), [(None, 0), (COLORS[0], 1), (COLORS[-1], 0), ("#123456", 0)]
)
def test_runs_take_turns_with_the_colors(newest: str | None, after: int, tmp_path: Path) -> None:
    client = open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("x")
    client.create_run(experiment, start_time=1, tags={TAG: COLORS[4]} if newest else {})
    if newest is not None:
        parent = client.create_run(experiment, start_time=2, tags={TAG: newest}).info.run_id
        trial = {"mlflow.parentRunId": parent, "rnnlane.trial_key": "0", TAG: COLORS[6]}
        client.create_run(experiment, start_time=3, tags=trial)
    assert next_color(client, experiment) == COLORS[after]
