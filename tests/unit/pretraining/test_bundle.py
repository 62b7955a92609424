import pytest

from rnnlane.errors import ConfigError, DataError
from rnnlane.pretraining.bundle import load_pretrained, save_pretrained
from support.language import language_experiment, pretrained

VOCABULARY = '{"id": 0, "token": "<pad>", "count": 0}\n'


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    outcome = pretrained("pretraining.epochs=1")
    save_pretrained(
        folder, weights=outcome.weights, vocabulary=VOCABULARY, config=language_experiment()
    )
    return folder, outcome


def test_what_was_saved_is_read(saved):
    folder, outcome = saved
    found = load_pretrained(folder, language_experiment("text.max_length=9"), run_id="r")
    assert found.vocabulary == VOCABULARY
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
