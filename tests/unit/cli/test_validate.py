import json
import subprocess
import sys

import pytest

from rnnlane.errors import ConfigError, DataError, MistakesError


def test_it_prints_name_and_fingerprint_and_the_whole_config_as_json(call, experiment):
    found = json.loads(call("validate", experiment, "--json").stdout)
    assert found["config"]["data"]["source"]["kind"] == "generated"
    text = call("validate", experiment).stdout
    assert text == f"{experiment} is valid: x, fingerprint {found['config_fingerprint']}\n"


def test_it_lists_what_a_search_varies(call, experiment):
    space = "search.space.model.hidden_size=choice(16, 32)"
    lines = call("validate", experiment, "--set", space).stdout.splitlines()
    assert lines[1] == "`rnnlane tune` would vary:"
    assert lines[2].startswith("  model.hidden_size: ")


def test_a_broken_rule_is_refused(call, experiment):
    with pytest.raises(ConfigError) as refused:
        call("validate", experiment, "--set", "model.hidden_size=0")
    assert "model.hidden_size" in refused.value.where


@pytest.fixture
def with_csv(tmp_path):
    """An experiment whose source is a csv file, and that file."""
    data, file = tmp_path / "data.csv", tmp_path / "csv.yaml"
    data.write_text("text,label\na,1\n")
    file.write_text(f"name: x\ndata:\n  source: {{kind: csv, path: {data}}}\n")
    return file, data


def test_a_source_that_is_missing_or_not_as_described_is_refused(call, with_csv):
    file, data = with_csv
    call("validate", file)
    data.write_text("text;label\na;1\n")
    with pytest.raises(DataError, match="delimiter") as refused:
        call("validate", file)
    assert "config-only" not in str(refused.value)
    data.unlink()
    with pytest.raises(DataError, match="no such file") as refused:
        call("validate", file)
    assert refused.value.remedy.endswith("if only the cluster reaches the files, add --config-only")
    assert "is valid" in call("validate", file, "--config-only").stdout


def test_the_experiment_says_how_many_texts_may_be_damaged(call, with_csv):
    file, data = with_csv
    data.write_bytes(b"text,label\n" + b"a,1\n" * 9 + b"caf\xe9,1\n")
    with pytest.raises(DataError, match="1 of the first 10 are not"):
        call("validate", file)
    call("validate", file, "--set", "data.max_repaired=0.1")


def test_all_that_is_not_there_is_told_at_once(call, with_csv):
    file, data = with_csv
    data.unlink()
    names = ["text.stop_words=no.txt", "model.pretrained_vectors=no.vec", "tracking.uri=ftp://x"]
    overrides = [part for name in names for part in ("--set", name)]
    with pytest.raises(MistakesError) as refused:
        call("validate", file, *overrides)
    found = [f"{error.where} {error.message}" for error in refused.value.errors]
    for part, line in zip(("data.csv", "no.txt", "no.vec", "ftp://x"), found, strict=True):
        assert part in line
    assert "is valid" in call("validate", file, "--config-only", *overrides).stdout


def test_it_imports_nothing_slow(with_csv):
    code = (
        "import sys; from rnnlane.cli.main import main; sys.argv = ['rnnlane', 'validate', "
        f"{str(with_csv[0])!r}]\ntry: main()\nexcept SystemExit as done: assert not done.code\n"
        "heavy = {'torch', 'ray', 'mlflow', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("device", "has_gpu", "is_said"),
    [("gpu", False, True), ("auto", True, True), ("auto", False, False), ("cpu", True, False)],
)
def test_what_is_slow_on_a_gpu_is_said_where_one_is_meant(
    monkeypatch, call, experiment, device, has_gpu, is_said
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    sets = ("--set", "model.hidden_size=256", "--set", f"runtime.device={device}")
    done = call("validate", experiment, *sets)
    assert ("units" in done.stderr) == is_said
    assert len(json.loads(call("validate", experiment, *sets, "--json").stdout)["notes"]) == is_said
