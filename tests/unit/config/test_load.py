import json
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlane.config import (
    ExperimentConfig,
    config_fingerprint,
    experiment_from_mapping,
    load_experiment,
)
from rnnlane.config.yaml_source import parse_yaml
from rnnlane.errors import ConfigError

MINIMAL = {"name": "x", "data": {"source": {"kind": "generated"}}}
EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments").glob("*.yaml"))


def refusal(*overrides: str, values: object = MINIMAL) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        experiment_from_mapping(values, overrides)
    return caught.value


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid_and_named_as_their_file(path):
    assert load_experiment(path).name == path.stem


def test_the_four_original_experiments_are_shipped_with_the_original_values():
    for name, layers, both_ways in (
        ("rnn-1", 1, False),
        ("lstm-1", 1, False),
        ("birnn-3", 3, True),
        ("bilstm-3", 3, True),
    ):
        config = load_experiment(EXPERIMENTS[0].parent / f"{name}.yaml")
        assert (config.model.num_layers, config.model.bidirectional) == (layers, both_ways)
        assert (config.model.embedding_dim, config.model.hidden_size) == (96, 64)
        assert (config.training.global_batch_size, config.training.epochs) == (32, 12)
        assert (config.training.clip.max_norm, config.training.clip.norm_type) == (3.0, 2)
        assert (config.data.test, config.data.val) == ("official", 0.1)


def test_an_experiment_is_frozen():
    config = experiment_from_mapping(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


@pytest.mark.parametrize(
    ("override", "key", "suggestion"),
    [
        ("training.clip.maxnorm=1", "maxnorm", "max_norm"),
        ("nme=y", "nme", "name"),
        ("data.source.num_row=50", "num_row", "num_rows"),
        ("text.vocabulary.mincount=2", "mincount", "min_count"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_valid_one(override, key, suggestion):
    error = refusal(override)
    assert f"`{key}`" in error.message
    assert error.remedy == f"did you mean `{suggestion}`?"
    assert override.partition("=")[0] in error.where


def test_an_error_names_file_line_and_dotted_key(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ndata:\n  source: {kind: generated}\ntraining:\n  epochs: none\n")
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    assert caught.value.where == f"{file}:5 training.epochs"
    assert "'none'" in caught.value.message


def test_an_error_of_an_override_names_the_override():
    assert refusal("training.epochs=0").where == "--set training.epochs=0 training.epochs"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model.dropout=0.5"], ["num_layers >= 2", "dropout=0.5"]),
        (["data.test=official"], ["official", "generated"]),
        (["text.tokenizer=characters", "text.stop_words=english"], ["stop_words", "characters"]),
        (["training.global_batch_size=1"], ["global_batch_size", "num_workers"]),
        (["data.source.balance=[0.5, 0.4]"], ["add up to 1", "0.4"]),
        (["data.classes=[a, a]"], ["differ"]),
        (["training.precision=bfloat16", "runtime.device=cpu"], ["GPU"]),
        (["data.source.kind=foo"], ["imdb", "'foo'"]),
        (["data.source.kind=csv", "data.source.num_rows=5"], ["path", "required"]),
        (["training.clip.max_norm=.inf"], ["inf"]),
        (["training.learning_rate=-1"], ["greater than 0", "-1"]),
        (["runtime.storage_path=s3://KEY:SEC/RET@bucket/x"], ["credentials", "AWS_ACCESS_KEY_ID"]),
    ],
)
def test_rules_are_stated_with_the_value_received(overrides, words):
    message = refusal(*overrides).message
    for word in words:
        assert word in message


def test_a_refused_secret_is_not_repeated():
    error = refusal("data.source={kind: csv, path: 's3://KEY:SEC/RET@bucket/x'}")
    assert "credentials" in error.message
    assert "RET" not in error.message


def test_overrides_apply_in_order_and_read_yaml_values():
    config = experiment_from_mapping(
        MINIMAL,
        ["training.epochs=3", "training.epochs=4", "training.learning_rate=1e-2", "data.val=0.2"],
    )
    assert config.training.epochs == 4
    assert config.training.learning_rate == 0.01
    assert config.data.val == 0.2


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training..epochs=3", "name.x=3"])
def test_a_malformed_override_is_refused(override):
    assert override in refusal(override).where


@pytest.mark.parametrize("values", [None, [], "text", 3])
def test_what_is_not_a_mapping_is_refused(values):
    assert "mapping" in refusal(values=values).message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name: x\nname: y\n", "line 1"),
        ("name: [x\n", "not valid YAML"),
        ("name: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("a: &a [*a]\n", "at most 20,000 values"),
        ("\tname: x\n", "not valid YAML"),
    ],
)
def test_bad_yaml_is_one_clear_error(tmp_path, text, word):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    assert word in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_binary_file_are_clear_errors(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_experiment(tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_experiment(binary)


def test_a_file_that_is_no_experiment_is_refused_without_reading_it_all(tmp_path):
    with pytest.raises(ConfigError, match="at most 1,000,000 bytes"):
        load_experiment("/dev/zero")
    marked = tmp_path / "marked.yaml"
    marked.write_text("name: x\ndata: {source: {kind: generated}}\n", encoding="utf-8-sig")
    assert load_experiment(marked).name == "x"


def test_yaml_scalars_are_those_of_yaml_1_2():
    value, _ = parse_yaml("{a: off, b: 1e-3, c: true, d: no, e: 1_000, f: .5}", origin="text")
    assert value == {"a": "off", "b": 0.001, "c": True, "d": "no", "e": 1000, "f": 0.5}


def test_the_fingerprint_is_of_what_is_computed_not_of_where():
    base = config_fingerprint(experiment_from_mapping(MINIMAL))
    same = ["runtime.num_workers=1", "tracking.mlflow_experiment=y", "description=z"]
    other = ["seed=1", "training.epochs=3", "text.max_length=7", "name=y"]
    for override in same:
        assert config_fingerprint(experiment_from_mapping(MINIMAL, [override])) == base
    for override in other:
        assert config_fingerprint(experiment_from_mapping(MINIMAL, [override])) != base


def test_the_resolved_experiment_reads_back_as_itself():
    config = experiment_from_mapping(MINIMAL, ["training.clip.norm_type=inf"])
    plain = json.loads(config.model_dump_json())
    assert experiment_from_mapping(plain) == config


def test_every_field_is_documented():
    def undocumented(schema: dict, name: str) -> list[str]:
        return [
            f"{name}.{key}"
            for key, value in schema.get("properties", {}).items()
            if "description" not in value and "$ref" not in value and key not in {"kind", "source"}
        ]

    schema = ExperimentConfig.model_json_schema()
    missing = undocumented(schema, "experiment")
    for name, part in schema["$defs"].items():
        missing += undocumented(part, name)
    assert missing == []


def test_reading_an_experiment_imports_neither_torch_nor_ray_nor_mlflow():
    code = (
        "import sys; from rnnlane.config import experiment_from_mapping as read;"
        f"read({MINIMAL!r}); import rnnlane.cli.main;"
        "print([m for m in ('torch', 'ray', 'mlflow', 'pyarrow', 'nltk') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
