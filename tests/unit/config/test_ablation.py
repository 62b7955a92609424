from typing import Any

import pytest

from rnnlane.config import ExperimentConfig, experiment_from_mapping
from rnnlane.config.ablation import alternatives, shown_value
from rnnlane.config.experiment import ExperimentConfig as Experiment
from rnnlane.config.space import trial_experiment
from rnnlane.errors import ConfigError
from support.spaces import LAYERS, mapping, refusal

CLIP = "training.clip"


def ablated(keys: dict[str, Any] | None = None, **sections: Any) -> ExperimentConfig:
    ablation = {} if keys is None else {"keys": keys}
    return experiment_from_mapping({**mapping(LAYERS, ablation=ablation), **sections})


def labels(config: ExperimentConfig, winner: dict[str, Any]) -> list[str]:
    return [one.label for one in alternatives(config, winner)]


def test_by_default_the_clip_value_and_the_layers_change_but_not_to_what_the_winner_has():
    config = ablated()
    found = alternatives(config, {"model.num_layers": 2, f"{CLIP}.policy": "none"})
    assert [one.label for one in found] == [
        *("clip=0.25", "clip=1", "clip=4"),
        *("num_layers=1", "num_layers=3"),
    ]
    assert config.search.ablation.seeds == 3


@pytest.mark.parametrize(
    ("value", "clip"),
    [("none", ("none", 1.0)), (0.25, ("auto", 0.25))],
)
def test_an_alternative_changes_nothing_but_its_key(value, clip):
    config = ablated({CLIP: [value]})
    winner = {"model.num_layers": 3, f"{CLIP}.policy": "auto", f"{CLIP}.of_mean": 2.5}
    (found,) = alternatives(config, winner)
    own, changed = trial_experiment(config, winner), found.experiment
    assert isinstance(changed, Experiment)
    assert (changed.training.clip.policy, changed.training.clip.of_mean) == clip
    training = changed.training.model_copy(update={"clip": own.training.clip})
    assert changed.model_copy(update={"training": training}) == own


def test_a_conflict_with_the_winner_is_left_out_with_the_rule():
    config = ablated({"model.num_layers": [1, 3], "model.dropout": [0.0]})
    one, three, dropout = alternatives(config, {"model.num_layers": 2, "model.dropout": 0.3})
    assert one.experiment is None
    assert "dropout acts between layers and needs num_layers >= 2" in one.problem
    assert [three.label, dropout.label] == ["num_layers=3", "dropout=0.0"]
    assert three.experiment is not None


def test_keys_that_end_alike_are_named_in_full():
    config = ablated({"training.schedule.factor": [0.2], "training.schedule.final_factor": [0.5]})
    assert labels(config, {}) == ["factor=0.2", "final_factor=0.5"]
    config = ablated({"training.clip.percentile": [50.0], "model.hidden_size": [8]})
    assert labels(config, {}) == ["percentile=50.0", "hidden_size=8"]


@pytest.mark.parametrize(
    ("clip", "shown"),
    [
        ({"policy": "none"}, "none"),
        ({"max_norm": 2.5}, "fixed 2.5"),
        ({"policy": "auto", "of_mean": 0.123456}, "0.123 × mean"),
        ({"policy": "auto", "statistic": "percentile"}, "1 × 90th percentile"),
    ],
)
def test_a_clip_setting_is_shown_as_one_value(clip, shown):
    config = ablated(training={"clip": clip})
    assert shown_value(config, CLIP) == shown
    assert shown_value(config, "model.num_layers") == "1"


@pytest.mark.parametrize(
    ("keys", "message", "remedy"),
    [
        ({"model.num_layer": [1]}, "unknown key `model.num_layer`", "did you mean"),
        ({"model": [1]}, "`model` is a section", "name one of its keys"),
        ({"data.val": [0.1]}, "rows cannot be compared", "remove it from the ablation"),
        ({"training.seed": [1]}, "best seed would win by chance", "remove it from the ablation"),
        ({"text.max_length": [9]}, "`text.max_length` changes what is prepared", "search.space"),
        ({"model.pretrained_vectors": ["a.txt"]}, "changes what is prepared", "search.space"),
        ({"model.num_layers": [1, 0]}, "must be greater than or equal to 1, but got 0", "schema"),
        ({"model.num_layers": [True]}, "must be a number, but got true", "schema"),
        ({"model.cell": ["grru"]}, "or 'gru', but got 'grru'", "schema"),
        ({CLIP: ["off"]}, "none or a multiple of the mean norm above 0, but got off", "0.25"),
        ({CLIP: [-1]}, "but got -1", "0.25"),
        ({CLIP: [True]}, "but got true", "0.25"),
        ({CLIP: [1, 1]}, "choices must differ, but got 1 twice", ""),
        ({CLIP: []}, "at least 1 item", ""),
        ({}, "at least 1 item", ""),
    ],
)
def test_a_key_or_value_that_cannot_be_is_refused(keys, message, remedy):
    error = refusal(LAYERS, ablation={"keys": keys})
    assert message in error.message
    assert remedy in (error.remedy or "")
    assert "search.ablation.keys" in error.where


def test_a_dotted_key_can_be_set_from_the_command_line():
    override = "search.ablation.keys.model.num_layers=[1, 4]"
    config = experiment_from_mapping(mapping(LAYERS, ablation={"seeds": 5}), [override])
    assert config.search.ablation.keys == {"model.num_layers": (1, 4)}
    with pytest.raises(ConfigError, match="greater than or equal to 2"):
        experiment_from_mapping(mapping(LAYERS), ["search.ablation.seeds=1"])
