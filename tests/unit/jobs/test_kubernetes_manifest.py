"""RayJobs of experiments: size, identity, queue, and what is refused."""

import pytest
import yaml

from rnnlane.config import experiment_from_mapping
from rnnlane.errors import ConfigError
from rnnlane.jobs.kubernetes_manifest import (
    EXPERIMENT_FILE,
    Placement,
    as_yaml,
    cluster_manifest,
    job_manifests,
    job_name,
)
from support.kuberay import validate_kubernetes, validate_ray
from support.tiny import tiny_experiment

PLACE = Placement("registry.example.org/rnnlane:1")
SEARCH = "search={space: {model.hidden_size: 'choice(4, 8)'}, num_trials: 2}"


def job(*overrides, place=PLACE):
    config_map, ray_job = job_manifests(tiny_experiment(*overrides), place)
    validate_kubernetes(config_map)
    validate_ray(ray_job)
    return config_map, ray_job


def workers(ray_job):
    (group,) = ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return group


def requests(ray_job):
    return workers(ray_job)["template"]["spec"]["containers"][0]["resources"]["requests"]


def test_the_config_map_holds_the_very_experiment_with_its_overrides():
    config = tiny_experiment("training.learning_rate=1e-05", "text.stop_words=english")
    config_map, _ = job_manifests(config, PLACE)
    printed = next(yaml.safe_load_all(as_yaml([config_map])))
    assert experiment_from_mapping(yaml.safe_load(printed["data"]["experiment.yaml"])) == config


def test_entrypoint_is_the_verb_that_the_experiment_is_for():
    config_map, ray_job = job()
    assert ray_job["spec"]["entrypoint"] == f"python -m rnnlane train {EXPERIMENT_FILE} --resume"
    assert " tune " in job(SEARCH)[1]["spec"]["entrypoint"]
    head = ray_job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    assert volumes["experiment"]["configMap"]["name"] == config_map["metadata"]["name"]
    mounts = {m["name"]: m["mountPath"] for m in head["containers"][0]["volumeMounts"]}
    (key,) = config_map["data"]
    assert f"{mounts['experiment']}/{key}" == EXPERIMENT_FILE


@pytest.mark.parametrize(
    ("overrides", "count", "cpus", "gpus"),
    [
        (["runtime.num_workers=3"], 3, "1", None),
        (["runtime.num_workers=0"], 1, "1", None),
        (["runtime.num_workers=2", "runtime.cpus_per_worker=1.5"], 2, "2", None),
        (["runtime.num_workers=2", "runtime.device=gpu"], 2, "1", "1"),
        (["runtime.num_workers=2", "runtime.device=auto"], 2, "1", None),
        ([SEARCH, "search.workers_per_trial=2", "search.max_concurrent=3"], 6, "1", None),
        ([SEARCH, "search.cpus_per_worker=2", "search.gpus_per_worker=0.25"], 1, "2", "1"),
    ],
)
def test_pods_are_as_many_and_as_large_as_the_workers(overrides, count, cpus, gpus):
    _, ray_job = job(*overrides)
    group = workers(ray_job)
    assert (group["minReplicas"], group["replicas"], group["maxReplicas"]) == (count,) * 3
    assert requests(ray_job)["cpu"] == cpus
    assert requests(ray_job).get("nvidia.com/gpu") == gpus
    assert ("tolerations" in group["template"]["spec"]) == (gpus is not None)


def test_workers_must_be_counted_before_there_is_a_cluster():
    with pytest.raises(ConfigError) as refused:
        job("runtime.num_workers=auto")
    assert (refused.value.where, refused.value.remedy) == (
        "runtime.num_workers",
        "set a number, or [min, max]",
    )
    assert job(SEARCH, "runtime.num_workers=auto")


def name_of(config, image="image:1"):
    return job_name(config, image=image)


def test_the_name_is_of_the_experiment_and_the_image_and_fits_kuberay():
    config = tiny_experiment("name=" + "An_Experiment.with-a-long-name" * 2)
    assert name_of(config) == name_of(config)
    assert len(name_of(config)) <= 47
    assert name_of(config).startswith("rnnlane-an-experiment-with-a-long")
    assert name_of(tiny_experiment()) != name_of(tiny_experiment("seed=1"))
    assert name_of(tiny_experiment(SEARCH)) != name_of(tiny_experiment())
    assert name_of(tiny_experiment()) != name_of(tiny_experiment(), image="image:2")
    # Where it runs does not change what it is: the job goes on with other workers.
    assert name_of(tiny_experiment("runtime.num_workers=4")) == name_of(tiny_experiment())
    validate_ray(job_manifests(config, PLACE)[1])


def test_queue_priority_namespace_and_image_reach_their_places():
    place = Placement("image:2", "team-a", "gpus", "urgent")
    config_map, ray_job = job(place=place)
    labels = ray_job["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "gpus"
    assert labels["kueue.x-k8s.io/priority-class"] == "urgent"
    assert config_map["metadata"]["namespace"] == ray_job["metadata"]["namespace"] == "team-a"
    text = as_yaml([ray_job])
    assert text.count("image: image:2") == 3
    assert "kueue" not in as_yaml([job()[1]])
    queued = cluster_manifest(place)
    validate_ray(queued)
    assert "enableInTreeAutoscaling" not in queued["spec"]


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ((""), "--image"),
        (("a b",), "--image"),
        (("a", "Team"), "--namespace"),
        (("a", "t" * 64), "--namespace"),
        (("a", "team", "my_queue"), "--queue"),
        (("a", "team", "queue", "-urgent"), "--priority"),
        (("a", "team", None, "urgent"), "--priority"),
    ],
)
def test_bad_places_are_refused(arguments, where):
    with pytest.raises(ConfigError) as caught:
        Placement(*(arguments or ("",)))
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("tracking.uri='http://me:hunter2@mlflow:5000'", "tracking.uri"),
        ("data.source={kind: csv, path: reviews.csv}", "data.source.path"),
        ("data.source={kind: imdb, path: aclImdb}", "data.source.path"),
        ("text.stop_words=mine.txt", "text.stop_words"),
        ("model.pretrained_vectors=glove.txt", "model.pretrained_vectors"),
        ("runtime.storage_path=here", "runtime.storage_path"),
    ],
)
def test_what_no_pod_can_have_is_refused(override, where):
    with pytest.raises(ConfigError) as caught:
        job(override)
    assert caught.value.where == where
    assert "hunter2" not in str(caught.value)


def test_absolute_paths_and_addresses_are_let_through():
    job("data.source={kind: csv, path: 's3://bucket/a.csv'}", "runtime.storage_path=/mnt/x")


def test_only_a_cluster_that_grows_lets_runs_wait_for_nodes():
    assert "RNNLANE_WAIT_FOR_NODES_S" in as_yaml([cluster_manifest(PLACE)])
    assert "RNNLANE_WAIT_FOR_NODES_S" not in as_yaml([cluster_manifest(Placement("x", queue="q"))])
    assert "RNNLANE_WAIT_FOR_NODES_S" not in as_yaml([job()[1]])


def test_an_elastic_run_lets_its_cluster_grow_from_the_fewest_workers():
    _, ray_job = job("runtime.num_workers=[1, 4]")
    group = workers(ray_job)
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (1, 1, 4)
    assert ray_job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is True
