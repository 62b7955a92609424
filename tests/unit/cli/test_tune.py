from pathlib import Path
from types import SimpleNamespace

import pytest

from rnnlane.errors import ConfigError

NUMBERS = {"num_trials": 4, "num_pruned": 2, "num_cut": 0, "num_failed": 1}
SPENT = {"epochs_trained": 9, "elapsed_s": 12.0, "report": "report.html", "run_id": "ab"}


def result(folder, **changes):
    best = folder / "winner.yaml"
    best.write_text("name: winner\n")
    values = {
        **NUMBERS,
        **SPENT,
        "tracking_uri": "sqlite:///x.db",
        "run_url": None,
        "runs_url": None,
        "best": {"number": 3, "value": 0.9, "params": {"model.hidden_size": 32}},
        "clip": {"max_norm": None, "clipped_fraction": 0.0},
        "best_config": str(best),
        "ablation": None,
        **changes,
    }
    return SimpleNamespace(**values)


def test_the_winner_is_shown_and_copied(call, replaced, experiment, tmp_path):
    replaced("rnnlane.cli.tune.tune_experiment", result(tmp_path))
    printed = call("tune", experiment, "--output", tmp_path / "best.yaml").stdout
    assert "4: 2 pruned, 0 cut by the time budget, 1 failed" in printed
    assert "trial 3, 0.9000" in printed
    assert (tmp_path / "best.yaml").read_text() == "name: winner\n"
    assert f"rnnlane train {tmp_path}/best.yaml" in "".join(printed.split("\n"))
    assert "winner.yaml" not in printed


def test_the_ablation_is_a_table(call, replaced, experiment, tmp_path):
    winner = {"label": "winner", "values": [0.8, 0.9], "mean": 0.85, "reasons": []}
    other = {**winner, "label": "num_layers=1", "values": [0.8, None], "reasons": ["it is cut"]}
    other |= {"difference": None, "low": None, "high": None, "verdict": "not measured"}
    found = {"winner": winner, "settings": [other], "skipped": {}, "recommended": "winner"}
    replaced("rnnlane.cli.tune.tune_experiment", result(tmp_path, ablation=found))
    printed = call("tune", experiment).stdout
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "recommended winner" in lines
    assert "winner 0.8500 – – 2 of 2 the reference, recommended" in lines
    assert "num_layers=1 0.8500 – – 1 of 2 not measured (it is cut)" in lines


def test_an_output_that_cannot_be_written_is_refused_before_the_search(
    call, replaced, experiment, tmp_path
):
    calls = replaced("rnnlane.cli.tune.tune_experiment", result(tmp_path))
    for place in (tmp_path, tmp_path / "none" / "best.yaml"):
        with pytest.raises(ConfigError, match="needs the path of a file in a folder"):
            call("tune", experiment, "--output", place)
    assert calls == []


def test_the_winner_does_not_replace_the_search(call, replaced, experiment, tmp_path, monkeypatch):
    calls = replaced("rnnlane.cli.tune.tune_experiment", result(tmp_path))
    link = tmp_path / "link.yaml"
    link.symlink_to(experiment)
    before = Path(experiment).read_bytes()
    for place in (experiment, link):
        with pytest.raises(ConfigError, match="must not replace the file of the search"):
            call("tune", experiment, "--output", place)
    assert calls == []
    assert Path(experiment).read_bytes() == before


def test_a_search_without_a_winner_exits_with_1(call, replaced, experiment, tmp_path):
    nothing = result(tmp_path, best=None, clip=None, best_config=None)
    replaced("rnnlane.cli.tune.tune_experiment", nothing)
    printed = call("tune", experiment, "--output", tmp_path / "best.yaml", exit_code=1).stdout
    assert "winner" not in printed
    assert not (tmp_path / "best.yaml").exists()


@pytest.mark.parametrize("resume", [True, False])
def test_resume_is_passed_on(call, replaced, experiment, tmp_path, resume):
    calls = replaced("rnnlane.cli.tune.tune_experiment", result(tmp_path))
    call("tune", experiment, *["--resume"][: int(resume)])
    assert calls[0][1]["resume"] is resume
