import torch

from rnnlane.training.graphs import Graphs, graphs_for
from support.events import Remembered
from support.graphs import PretendedCapture
from support.tiny import tiny_experiment


def functions(ran):
    return [lambda: ran.append("one"), lambda: ran.append("other")]


def warm_up(ran):
    return lambda: ran.append("warm-up")


def test_functions_are_warmed_up_and_captured_without_being_run():
    ran, capture, events = [], PretendedCapture(), Remembered()
    graphs = Graphs(capture, events)
    one, other = graphs.captured(functions(ran), warm_up=warm_up(ran), name="a step")
    assert (ran, capture.num_captured) == (["warm-up"], 2)
    other()
    one()
    one()
    assert ran == ["warm-up", "other", "one", "one"]
    assert events.notes == []


def test_without_a_capture_functions_are_left_as_they_are():
    ran, both = [], functions([])
    assert Graphs(None, Remembered()).captured(both, warm_up=warm_up(ran), name="a step") is both
    assert ran == []


def test_after_one_failure_nothing_is_captured_any_more_and_it_is_said_once():
    ran, capture, events = [], PretendedCapture(fails_from=4), Remembered()
    graphs = Graphs(capture, events)
    for _ in range(3):
        one, other = graphs.captured(functions(ran), warm_up=warm_up(ran), name="a step of 3 rows")
        one()
        other()
    assert ran == ["warm-up", "one", "other"] * 2 + ["one", "other"]
    assert events.notes == [
        "training.cuda_graphs has no effect: a step of 3 rows cannot be captured "
        "(operation not permitted when stream is capturing)"
    ]


def test_a_cpu_has_no_graphs():
    config = tiny_experiment("training.cuda_graphs=true").training
    both = functions([])
    graphs = graphs_for(config, torch.device("cpu"), Remembered())
    assert graphs.captured(both, warm_up=warm_up([]), name="a step") is both
