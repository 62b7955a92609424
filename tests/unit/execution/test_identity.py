"""The files that a run's identity depends on."""

from rnnlane.config.fingerprint import config_fingerprint, search_fingerprint
from rnnlane.execution.identity import computed_fingerprint, run_fingerprint
from support.tiny import tiny_experiment

VARIED = "search.space={model.pretrained_vectors: 'choice(%s, %s)'}"


def test_without_word_vectors_it_is_that_of_the_experiment():
    config = tiny_experiment()
    assert computed_fingerprint(config) == config_fingerprint(config)
    search = tiny_experiment(
        "search.num_trials=1", "search.space={model.cell: 'choice(rnn, lstm)'}"
    )
    assert computed_fingerprint(search) == search_fingerprint(search)


def test_word_vectors_count_by_their_content(tmp_path):
    file, other = tmp_path / "vectors.txt", tmp_path / "other.txt"
    file.write_text("fine 1 0 0 0 0 0\n")
    other.write_text("fine 0 0 0 0 0 1\n")
    config = tiny_experiment(f"model.pretrained_vectors={file}")
    search = tiny_experiment("search.num_trials=1", VARIED % (file, other))
    before = computed_fingerprint(config), computed_fingerprint(search)
    assert computed_fingerprint(config) == before[0]
    file.write_text("fine 2 0 0 0 0 0\n")
    after = computed_fingerprint(config), computed_fingerprint(search)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_several_seeds_are_another_run_than_one_and_as_many_as_are_asked_for():
    one, three, five = (run_fingerprint(tiny_experiment(f"training.seeds={n}")) for n in (1, 3, 5))
    assert one != three == five
    assert three != run_fingerprint(tiny_experiment("training.seeds=3", "training.seed=1"))
    assert one == config_fingerprint(tiny_experiment("training.seeds=3"))


def test_the_run_of_a_seed_is_that_of_the_experiment_that_has_it():
    config = tiny_experiment("training.seeds=3", "seed=7")
    assert list(config.training_seeds) == [7, 8, 9]
    assert config.with_seed(8) == tiny_experiment("training.seed=8", "seed=7")
    searched = tiny_experiment(
        "training.seed=8",
        "seed=7",
        "search.num_trials=1",
        "search.space={model.cell: 'choice(rnn, lstm)'}",
    )
    assert run_fingerprint(config.with_seed(8)) == run_fingerprint(searched)
