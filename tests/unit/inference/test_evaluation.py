import numpy as np

from rnnlane.inference.evaluation import evaluate_split
from rnnlane.inference.predictor import Predictor, encoded_split


def test_the_scores_of_a_split_are_those_of_the_labels_that_are_predicted(bundle):
    predictor = Predictor.load(bundle)
    texts = ["a film", "fine", "dull dull film"]
    labels = np.array([0, 2, 1], dtype=np.int64)
    rows = encoded_split(predictor.token_ids(texts), labels)
    found = evaluate_split("ab", "val", rows, predictor)
    predicted = predictor.predict(texts).probabilities.argmax(axis=1)
    assert (found.run_id, found.split, found.num_rows) == ("ab", "val", 3)
    assert found.metrics["accuracy"] == (predicted == labels).mean()
    expected = np.zeros((3, 3), dtype=int)
    np.add.at(expected, (labels, predicted), 1)
    assert found.confusion == expected.tolist()
