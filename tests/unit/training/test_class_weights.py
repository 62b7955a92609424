import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from rnnlane.errors import ConfigError
from rnnlane.training.class_weights import class_weights
from support.tiny import tiny_experiment

LABELS = np.array([0, 0, 0, 1, 1, 3])
COUNTS = np.bincount(LABELS)
NAMES = ("a", "b", "c", "d")


def test_none_is_no_weights():
    assert class_weights("none", COUNTS, ()) is None


def test_balanced_is_that_of_scikit_learn_over_the_classes_that_occur():
    weights = class_weights("balanced", COUNTS, NAMES)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=LABELS)
    np.testing.assert_allclose(weights[[0, 1, 3]], expected)
    assert weights[2] == 1
    assert weights[LABELS].mean() == pytest.approx(1)


def test_a_mapping_names_classes_and_the_others_weigh_one():
    assert class_weights({"b": 2.5}, COUNTS, NAMES).tolist() == [1, 2.5, 1, 1]


@pytest.mark.parametrize(
    ("name", "remedy"), [("Spam", "did you mean 'spam'?"), ("x", "the classes are ham, spam")]
)
def test_a_name_that_is_no_class_is_refused(name, remedy):
    with pytest.raises(ConfigError, match=f"must be classes of the data, but got '{name}'") as no:
        class_weights({name: 2.0}, COUNTS[:2], ("ham", "spam"))
    assert (no.value.where, no.value.remedy) == ("training.class_weights", remedy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("balance", "must be none, balanced or a mapping of class to weight, but got 'balance'"),
        ("null", "must be none, balanced or a mapping of class to weight, but got None"),
        ("2", "must be none, balanced or a mapping of class to weight, but got 2"),
        ("[1, 2]", r"must be none, balanced or a mapping of class to weight, but got \[1, 2\]"),
        ("{a: 0}", "a weight must be a number from 1e-6 to 1e6, but got a: 0"),
        ("{a: 1.0e-50}", "a weight must be a number from 1e-6 to 1e6, but got a: 1e-50"),
        ("{a: true}", "a weight must be a number from 1e-6 to 1e6, but got a: True"),
        ("{a: .nan}", "a weight must be a number from 1e-6 to 1e6, but got a: nan"),
        ("{a: x}", "a weight must be a number from 1e-6 to 1e6, but got a: 'x'"),
        ('{1: 2, "1.0": 3}', "a class has one weight, but '1' got several"),
        ("{'': 2}", "a class name must not be empty"),
    ],
)
def test_other_settings_are_refused(text, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        tiny_experiment(f"training.class_weights={text}")
    assert (refusal.value.where or "").endswith("training.class_weights")


@pytest.mark.parametrize(
    ("text", "name"), [("1", "1"), ("2.0", "2"), ("true", "true"), ("' a  b'", "a b")]
)
def test_names_are_in_the_normal_form_of_class_names(text, name):
    config = tiny_experiment(f"training.class_weights={{{text}: 2}}")
    assert config.training.class_weights == {name: 2.0}
