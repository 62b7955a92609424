import pytest

from rnnlane.cli.class_table import sample_rows, write_classes


def classes(number):
    return [
        {"class": f"c{n}", "precision": 0.5, "recall": 0.5, "f1": (n + 1) / 100, "rows": 1000}
        for n in range(number)
    ]


CONFUSED = [{"true": "c1", "predicted": "c[0]", "rows": 1234, "share": 0.5}]


def test_a_dozen_classes_are_all_shown_in_their_order(capsys):
    write_classes(classes(12), CONFUSED)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines if line and line[0].startswith("c")][1:] == [
        f"c{n}" for n in range(12)
    ]
    assert not any("confused" in line for line in lines)


def test_of_equally_bad_classes_the_largest_come_first(capsys):
    many = [{**one, "f1": 0.0, "rows": n} for n, one in enumerate(classes(20))]
    write_classes(many, [])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines if line and line[0][1:].isdigit()] == [
        f"c{n}" for n in range(19, 11, -1)
    ]


def test_of_more_the_worst_and_the_most_confused_pairs_are_shown(capsys):
    absent = {"class": "none", "precision": None, "recall": None, "f1": None, "rows": 0}
    write_classes([*reversed(classes(2000)), absent], CONFUSED)
    printed = capsys.readouterr().out
    assert "test: the 8 classes of 2,001 with the lowest F1" in printed
    assert printed.index("c0 ") < printed.index("c7 ")
    assert "c8 " not in printed
    assert ["c1", "c[0]", "1,234", "50.0%"] in [line.split() for line in printed.splitlines()]
    assert len(printed.splitlines()) < 30


@pytest.mark.parametrize(
    ("sample", "line"),
    [
        ({}, "a 75.0%: t"),
        ({"true_label": "b"}, "a 75.0% (it is b): t"),
        ({"is_sure": False, "true_label": "b"}, "a 75.0%, not sure (it is b): t"),
        ({"text": "x" * 500}, f"a 75.0%: {'x' * 116} ..."),
    ],
)
def test_the_sample_is_a_line(sample, line):
    answer = {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}, "text": "t", **sample}
    assert sample_rows(answer) == [["sample", line]]
    assert sample_rows(None) == []


def test_a_verdict_takes_the_place_of_the_sample():
    answer = {"label": "a", "probabilities": {"a": 1.0, "b": 0.0}, "text": "t"}
    for sample in (answer, None):
        [[name, text]] = sample_rows(sample, verdict="no better than always answering 'a'")
        assert name == "verdict"
        assert text == "do not use this model: it is no better than always answering 'a'"
