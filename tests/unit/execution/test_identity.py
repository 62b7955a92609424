"""The files that a run's identity depends on."""

from rnnlane.config.fingerprint import config_fingerprint, search_fingerprint
from rnnlane.execution.identity import computed_fingerprint
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
