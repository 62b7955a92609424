"""Clusters that grow: a run asks for its room and waits, where the cluster says it may come."""

import pytest
import ray
import ray.autoscaler.sdk

from rnnlane.config.runtime import RuntimeConfig
from rnnlane.config.search import SearchConfig
from rnnlane.errors import ConfigError, ResourceError
from rnnlane.ray_cluster import capacity
from rnnlane.ray_cluster.capacity import check_own, check_own_trials, own_cpus
from rnnlane.ray_cluster.connect import (
    is_large_enough,
    num_fitting,
    use_gpu,
    with_counted_workers,
)
from rnnlane.records.events import RunEvents
from support.events import Remembered
from support.tiny import tiny_experiment

NONE, SOME, ALL = {"memory": 1.0}, {"CPU": 2.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 4.0}


def as_nodes(state):
    return state if isinstance(state, list) else [state]


@pytest.fixture
def cluster(monkeypatch):
    """Makes a cluster that shows these states one after the other; tells what was asked for.

    A state is a node, or a list of them.
    """
    asked = []
    monkeypatch.setattr(capacity, "_POLL_S", 0)

    def ask(bundles):
        asked.append(bundles)

    monkeypatch.setattr(ray.autoscaler.sdk, "request_resources", ask)

    def make(*states, wait_s):
        states = list(states)

        def nodes():
            state = states.pop(0) if len(states) > 1 else states[0]
            lost = {"Alive": False, "Resources": ALL}
            return [*({"Alive": True, "Resources": node} for node in as_nodes(state)), lost]

        monkeypatch.setattr(ray, "nodes", nodes)
        monkeypatch.setenv(capacity.WAIT_VARIABLE, wait_s)
        return asked

    return make


def runtime(device):
    return tiny_experiment("runtime.num_workers=4", f"runtime.device={device}").runtime


def test_a_cluster_that_does_not_grow_is_asked_for_nothing(cluster):
    asked = cluster(SOME, wait_s="")
    with pytest.raises(ResourceError, match="4 CPUs, but Ray has 2"):
        use_gpu(runtime("cpu"))
    assert asked == []


def test_a_run_asks_for_its_workers_and_waits_until_they_fit(cluster):
    asked = cluster(NONE, NONE, SOME, ALL, wait_s="60")
    assert use_gpu(runtime("gpu")) is True
    assert asked == [[{"CPU": 1.0, "GPU": 1.0}] * 4]


def test_device_auto_asks_for_cpus_and_takes_what_came(cluster):
    asked = cluster(NONE, ALL, wait_s="60")
    assert use_gpu(runtime("auto")) is True
    assert asked == [[{"CPU": 1.0}] * 4]


def test_what_fits_is_not_asked_for(cluster):
    asked = cluster(ALL, wait_s="60")
    assert use_gpu(runtime("gpu")) is True
    assert num_fitting(num_workers=2, cpus=1.0, gpus=1.0) == 2
    assert asked == []


def test_nodes_that_do_not_come_in_time_are_missed_by_name(cluster):
    asked = cluster(NONE, wait_s="0.01")
    with pytest.raises(ResourceError, match="a trial needs 2 workers x 1 CPUs = 2 CPUs"):
        num_fitting(num_workers=2, cpus=1.0, gpus=0.0)
    assert asked == [[{"CPU": 1.0}] * 2]


def test_a_waiting_time_that_is_none_is_refused(cluster):
    cluster(NONE, wait_s="soon")
    with pytest.raises(ConfigError, match="'soon'"):
        use_gpu(runtime("cpu"))


HEAD, GPU_NODE = {"CPU": 64.0}, {"CPU": 4.0, "GPU": 8.0}


def test_a_worker_has_its_cpus_and_its_gpu_on_one_node(cluster):
    cluster([HEAD, GPU_NODE], wait_s="")
    assert use_gpu(runtime("gpu")) is True
    eight = tiny_experiment("runtime.num_workers=8", "runtime.device=gpu").runtime
    with pytest.raises(ResourceError) as refused:
        use_gpu(eight)
    assert refused.value.message == (
        "8 workers need 1 CPUs and 1 GPUs each on one node, but the nodes have room for 4"
    )
    assert use_gpu(eight.model_copy(update={"device": "auto"})) is False
    assert is_large_enough(eight, 0.0) is True
    assert is_large_enough(eight, 1.0) is False


@pytest.mark.parametrize(
    ("share", "nodes", "fitting"),
    [
        (0.25, [{"CPU": 8.0, "GPU": 1.0}], 4),
        (0.3, [{"CPU": 8.0, "GPU": 1.0}], 3),
        (0.1, [{"CPU": 16.0, "GPU": 1.0}], 10),
        (0.6, [{"CPU": 8.0, "GPU": 4.0}], 4),
        (0.25, [{"CPU": 2.0, "GPU": 1.0}], 2),
        (0.5, [{"CPU": 1.0, "GPU": 1.0}, {"CPU": 9.0, "GPU": 2.0}, {"CPU": 9.0}], 5),
        (1.0, [{"CPU": 9.0, "GPU": 2.0}, {"CPU": 9.0, "GPU": 1.0}], 3),
        (0.0, [{"CPU": 3.0, "GPU": 1.0}, {"CPU": 2.0}], 5),
    ],
)
def test_a_trial_has_a_share_of_one_gpu(cluster, share, nodes, fitting):
    cluster(nodes, wait_s="")
    assert num_fitting(num_workers=1, cpus=1.0, gpus=share) == fitting


def test_a_trial_of_workers_that_no_nodes_hold_together_is_refused(cluster):
    cluster([HEAD, GPU_NODE], wait_s="")
    assert num_fitting(num_workers=2, cpus=1.0, gpus=1.0) == 2
    with pytest.raises(ResourceError) as refused:
        num_fitting(num_workers=5, cpus=1.0, gpus=1.0)
    assert refused.value.message == (
        "a trial needs 5 workers x (1 CPUs and 1 GPUs), each on one node, but the nodes have room "
        "for 4"
    )


@pytest.mark.parametrize(
    ("nodes", "overrides", "count"),
    [
        ([{"CPU": 8.0, "GPU": 2.0}], (), 2),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}], (), 4),
        ([HEAD, GPU_NODE], (), 4),
        ([HEAD, GPU_NODE], ("runtime.cpus_per_worker=0.5",), 8),
        ([HEAD, GPU_NODE], ("runtime.device=cpu",), 2),
        ([HEAD, GPU_NODE], ("training.global_batch_size=3",), 3),
        ([HEAD, GPU_NODE], ("training.reduction_shards=2",), 2),
        ([{"CPU": 64.0}], (), 2),
        ([{"CPU": 1.0}], (), 1),
    ],
)
def test_auto_is_a_worker_for_each_gpu_else_two(cluster, nodes, overrides, count):
    cluster(nodes, wait_s="")
    events = Remembered()
    config = tiny_experiment("runtime.num_workers=auto", "runtime.device=auto", *overrides)
    found = with_counted_workers(config, events)
    assert found.runtime.num_workers == count
    assert events.notes[0].startswith(f"runtime.num_workers auto: {count}, as ")
    expects_gpu = "GPU" in nodes[-1] and config.runtime.device == "auto"
    assert use_gpu(found.runtime) is expects_gpu


def test_auto_waits_for_a_gpu_that_may_come_and_refuses_none(cluster):
    gpu = tiny_experiment("runtime.num_workers=auto", "runtime.device=gpu")
    asked = cluster(NONE, ALL, wait_s="60")
    assert with_counted_workers(gpu, RunEvents()).runtime.num_workers == 4
    assert asked == [[{"CPU": 1.0, "GPU": 1.0}]]
    cluster([HEAD], wait_s="")
    with pytest.raises(ResourceError, match="1 workers x 1 GPU = 1 GPUs, but Ray has 0"):
        use_gpu(with_counted_workers(gpu, RunEvents()).runtime)


def test_a_number_of_workers_is_left_as_it_is(cluster):
    cluster([GPU_NODE], wait_s="")
    config = tiny_experiment("runtime.num_workers=3")
    assert with_counted_workers(config, RunEvents()) is config


@pytest.fixture
def two_cpus(monkeypatch):
    """A machine with two CPUs and no GPU, where no cluster is named."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return monkeypatch


@pytest.mark.usefixtures("two_cpus")
@pytest.mark.parametrize(
    ("settings", "cpus"),
    [
        ({"num_workers": 0}, 2),
        ({"num_workers": 16}, 16),
        ({"num_workers": (1, 500)}, 2),
        ({"num_workers": 3, "cpus_per_worker": 1.5}, 5),
        ({"num_workers": 4, "cpus_per_worker": 0.5}, 2),
    ],
)
def test_a_ray_of_our_own_has_the_cpus_of_the_machine_or_those_of_the_workers(settings, cpus):
    assert own_cpus(RuntimeConfig(**settings)) == cpus


@pytest.mark.parametrize(
    ("settings", "arithmetic"),
    [
        ({"num_workers": 500}, "500 workers x 1 CPUs = 500 CPUs, but this machine has 2, and a "),
        ({"num_workers": (17, 20)}, "17 workers x 1 CPUs = 17 CPUs"),
        ({"num_workers": 1, "cpus_per_worker": 500}, "1 workers x 500 CPUs = 500 CPUs"),
        ({"num_workers": 500, "cpus_per_worker": 0.01}, "500 workers x 1 CPUs = 500 CPUs"),
        ({"device": "gpu"}, "2 workers x 1 GPU = 2 GPUs, but this machine has 0"),
    ],
)
def test_what_a_ray_of_our_own_cannot_hold_is_refused_with_the_arithmetic(
    two_cpus, settings, arithmetic
):
    config = RuntimeConfig(**settings)
    with pytest.raises(ResourceError) as refused:
        check_own(config)
    assert refused.value.message.startswith(arithmetic)
    two_cpus.setenv("RAY_ADDRESS", "head:6379")
    check_own(config)


@pytest.mark.parametrize(
    ("settings", "device", "arithmetic"),
    [
        ({"workers_per_trial": 3}, "auto", "a trial needs 3 workers x 1 CPUs = 3 CPUs, but Ray "),
        ({}, "gpu", "a trial needs 1 workers x 1 GPUs = 1 GPUs, but Ray has 0"),
        ({"gpus_per_worker": 0.5}, "auto", "a trial needs 1 workers x 0.5 GPUs = 0.5 GPUs"),
    ],
)
def test_trials_that_a_ray_of_our_own_cannot_hold_are_refused_before_the_data_is_prepared(
    two_cpus, settings, device, arithmetic
):
    search = SearchConfig(space={"model.hidden_size": "choice(1, 2)"}, **settings)
    with pytest.raises(ResourceError) as refused:
        check_own_trials(search, device)
    assert refused.value.message.startswith(arithmetic)
    two_cpus.setenv("RAY_ADDRESS", "head:6379")
    check_own_trials(search, device)
