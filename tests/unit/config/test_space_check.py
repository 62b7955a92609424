import pytest

from rnnlane.config import ExperimentConfig
from rnnlane.config.space_check import check_space
from rnnlane.errors import ConfigError
from support.spaces import LAYERS, WIDE, mapping, refusal


@pytest.mark.parametrize("metric", [{}, {"metric": "val/accuracy"}])
def test_a_mode_that_turns_the_metric_around_is_refused(metric):
    error = refusal(LAYERS, mode="min", **metric)
    assert error.message == "val/accuracy is better at its max, but got mode min"
    assert error.where == "experiment search.mode"


@pytest.mark.parametrize(
    ("key", "words", "remedy"),
    [
        ("model.hiden_size", "unknown key `model.hiden_size`", "did you mean `model.hidden_size`?"),
        ("hidden_size", "unknown key `hidden_size`", "did you mean `model.hidden_size`?"),
        ("zzz", "unknown key `zzz`", "`rnnlane schema` lists the keys"),
        ("training.clip", "`training.clip` is a section", "training.clip.max_norm"),
        ("seed", "`seed` may not vary: trials on different splits", "remove it"),
        ("training.seed", "search.repeats", "remove it"),
        ("training.epochs", "search.max_epochs", "remove it"),
        ("training.metric", "search.metric", "remove it"),
        ("data.val", "trials on different rows cannot be compared", "remove it"),
        ("data.source", "trials on different rows cannot be compared", "remove it"),
        ("runtime.num_workers", "search.workers_per_trial", "remove it"),
        ("tracking.uri", "does not change what is learned", "remove it"),
        ("name", "only labels", "remove it"),
        ("sample_text", "does not change what is learned", "remove it"),
        ("inference.temperature", "does not change what is learned", "remove it"),
        ("search", "configures the search itself", "remove it"),
    ],
)
def test_a_key_that_may_not_vary_is_refused_with_the_reason(key, words, remedy):
    error = refusal({key: "choice(1, 2)"})
    assert words in error.message
    assert remedy in error.remedy
    assert error.where == f"experiment search.space.{key}"


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"model.num_layer": [2]}, "unknown key `model.num_layer`"),
        ({"model": [2]}, "must be a key with a value, but `model` is a section"),
        ({"model.num_layers": [2, 5]}, "model.num_layers is never 5: it is randint(1, 3)"),
        ({"model.num_layers": ["2"]}, 'model.num_layers is never "2"'),
        ({"model.cell": ["lstm", "grru"]}, "model.cell is never grru"),
        ({"model.cell": ["gru"]}, "never hold together: uniform(0, 0.5) when model.cell in (gru)"),
        ({"training.learning_rate": [0.01]}, "training.learning_rate is never 0.01"),
        ({"model.dropout": [0.1]}, "cycle, but got model.dropout -> model.dropout"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(space, words):
    varied = {**LAYERS, "training.learning_rate": "loguniform(1e-3, 1e-1)"}
    error = refusal({**varied, "model.dropout": {"uniform": [0, 0.5], "when": space}})
    assert words in error.message
    assert error.where == "experiment search.space.model.dropout"


@pytest.mark.parametrize("own_layers", [1, 2])
def test_an_invalid_combination_is_refused_with_its_cause_and_its_cure(own_layers):
    space = {
        "model.cell": "choice(rnn, lstm)",
        "model.dropout": "uniform(0, 0.5)",
        **LAYERS,
        "training.learning_rate": "loguniform(1e-4, 1e-2)",
    }
    error = refusal(space, values={"model": {"num_layers": own_layers}})
    assert error.where == "experiment search.space.model.dropout"
    assert error.message == (
        "model.dropout=0.5 with model.num_layers=1 breaks a rule: dropout acts between layers and "
        "needs num_layers >= 2, but got (dropout=0.5, num_layers=1)"
    )
    assert error.remedy == "add `when: {model.num_layers: [2, 3]}`"


def test_a_condition_on_whole_numbers_is_advised_rather_than_one_on_fractions():
    space = {"model.num_layers": "choice(1, 2)", "model.dropout": "choice(0.0, 0.5)"}
    error = refusal(space, values={"model": {"num_layers": 2}})
    assert error.remedy == "add `when: {model.num_layers: [2]}`"


def test_no_condition_is_advised_that_would_form_a_cycle():
    layers = {"choice": [1, 2], "when": {"model.dropout": [0.5]}}
    error = refusal({"model.dropout": "choice(0.0, 0.5)", "model.num_layers": layers})
    assert error.where == "experiment search.space.model.dropout"
    assert error.remedy == "leave out model.dropout=0.5, or give the key a `when`"


def test_a_wrong_value_is_blamed_alone():
    space = {**LAYERS, "model.cell": "choice(lstm, lstmm)", "model.pooling": "choice(max, mean)"}
    error = refusal(space)
    assert error.where == "experiment search.space.model.cell"
    assert error.message.startswith("model.cell=lstmm breaks a rule: must be 'rnn'")
    assert "leave out model.cell=lstmm" in error.remedy


def test_an_end_of_a_range_that_breaks_a_rule_is_found():
    error = refusal({"model.dropout": "uniform(0, 1)"}, values={"model": {"num_layers": 2}})
    assert error.message.startswith("model.dropout=1.0 breaks a rule: must be less than 1")


def test_a_value_between_the_ends_for_which_a_key_is_not_varied_is_found():
    dropout = {"uniform": [0, 0.5], "when": {"model.num_layers": [2, 4]}}
    own = {"model": {"num_layers": 2, "dropout": 0.3}}
    error = refusal({"model.num_layers": "randint(1, 4)", "model.dropout": dropout}, values=own)
    assert "model.num_layers=1" in error.message


@pytest.mark.parametrize("wrong", ["model.num_layers", "training.momentum"])
def test_a_wide_space_is_probed_at_each_value_of_each_key(wrong):
    bad = {
        "model.num_layers": "choice(1, 2, 3, 0)",
        "training.momentum": {"choice": [0.0, 1.5], "when": {"training.optimizer": ["sgd"]}},
    }
    error = refusal({**WIDE, wrong: bad[wrong]})
    assert error.where == f"experiment search.space.{wrong}"


def test_a_value_that_hardly_ever_applies_is_probed_in_a_wide_space():
    many = list(range(1, 201))
    space = {
        "training.bucket_window": "choice(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "training.max_nonfinite_steps": "choice(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
        "model.hidden_size": {"choice": many},
        "model.embedding_dim": {"choice": many, "when": {"model.hidden_size": [7]}},
        "training.momentum": {"choice": [0.0, 1.5], "when": {"model.embedding_dim": [9]}},
    }
    assert refusal(space).where == "experiment search.space.training.momentum"


def test_a_continuous_range_for_whole_numbers_is_refused():
    error = refusal({"model.hidden_size": "uniform(32, 64)"})
    assert "does not accept every number in between, but got uniform(32, 64)" in error.message
    assert "randint" in error.remedy


def test_a_continuous_text_key_is_refused():
    error = refusal({"text.max_length": "uniform(100, 400)"})
    assert "prepared data of its own" in error.message
    assert error.where == "experiment search.space.text.max_length"


def test_the_check_names_the_key_where_no_file_is_known():
    config = ExperimentConfig.model_validate(mapping({"seed": "choice(1, 2)"}))
    with pytest.raises(ConfigError) as caught:
        check_space(config)
    assert caught.value.where == "search.space.seed"
