import shutil

import pytest

from rnnlane.errors import ConfigError, DataError
from rnnlane.pretraining.bundle import check_split, load_pretrained, save_pretrained
from support.language import language_experiment, pretrained

VOCABULARY = '{"id": 0, "token": "<pad>", "count": 0}\n'


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    outcome = pretrained("pretraining.epochs=1")
    save_pretrained(
        folder,
        weights=outcome.weights,
        vocabulary=VOCABULARY,
        config=language_experiment(),
        source="s",
    )
    return folder, outcome


def test_what_was_saved_is_read(saved):
    folder, outcome = saved
    found = load_pretrained(folder, language_experiment("text.max_length=9"), run_id="r")
    assert (found.vocabulary, found.source) == (VOCABULARY, "s")
    assert {"bias", *found.weights} == set(outcome.weights)
    assert all((found.weights[name] == outcome.weights[name]).all() for name in found.weights)


@pytest.mark.parametrize(
    ("setting", "message", "remedy"),
    [
        ("model.hidden_size=7", "hidden_size differs: 7 here", "set model.hidden_size=5"),
        ("model.cell=gru", "cell differs: gru here", "set model.cell=lstm"),
        ("text.lowercase=false", "lowercase differs: False here", "set text.lowercase=True"),
    ],
)
def test_another_shape_or_other_texts_are_refused(saved, setting, message, remedy):
    with pytest.raises(ConfigError) as refused:
        load_pretrained(saved[0], language_experiment(setting), run_id="r")
    assert message in refused.value.message
    assert remedy in refused.value.remedy
    assert refused.value.where == "model.init_from r"


def test_a_damaged_one_is_refused(saved, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_pretrained(tmp_path, language_experiment(), run_id="r")


@pytest.mark.parametrize("name", ["weights.safetensors", "vocabulary.jsonl"])
def test_one_that_was_altered_is_refused(saved, tmp_path, name):
    folder = tmp_path / "copy"
    shutil.copytree(saved[0], folder)
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match="not as they were written") as refused:
        load_pretrained(folder, language_experiment(), run_id="r")
    assert str(folder) in refused.value.where
    assert "fetched again" in refused.value.remedy


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (["seed=1"], "seed=1"),
        (["data.test=0.3"], "data.test=0.3"),
        (["data.columns.group=film"], "'group': 'film'"),
    ],
)
def test_rows_that_are_split_in_another_way_are_refused(saved, settings, shown):
    start = load_pretrained(saved[0], language_experiment(), run_id="r")
    check_split(start, language_experiment("training.seed=5", "data.val=0.4"), source="s")
    other = language_experiment(*settings)
    check_split(start, other, source="another")
    with pytest.raises(ConfigError, match="texts that its language model has read") as refused:
        check_split(start, other, source="s")
    assert shown in refused.value.message
    assert refused.value.where == "model.init_from r"


def with_official_test(*overrides):
    config = language_experiment(*overrides)
    return config.model_copy(update={"data": config.data.model_copy(update={"test": "official"})})


def test_an_official_test_is_the_same_whatever_the_seed(tmp_path):
    outcome = pretrained("pretraining.epochs=1")
    experiments = [with_official_test(f"seed={seed}") for seed in (0, 1)]
    values = {"weights": outcome.weights, "vocabulary": VOCABULARY, "source": "s"}
    save_pretrained(tmp_path, config=experiments[0], **values)
    start = load_pretrained(tmp_path, experiments[1], run_id="r")
    check_split(start, experiments[1], source="s")
    with pytest.raises(
        ConfigError, match=r"got data.test=0\.2, and there data.test=official"
    ) as no:
        check_split(start, language_experiment(), source="s")
    assert no.value.remedy == "set data.test=official, or pretrain with this experiment"
