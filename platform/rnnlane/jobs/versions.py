"""Whether a cluster has the versions that a job needs.

rnnlane's own source is sent with every job, so its dependencies must agree: Ray exactly and Python
to its minor version, because the processes of one Ray exchange pickled objects, and every package
that rnnlane depends on within the range that it is tested with.
"""

from __future__ import annotations

import functools
import json
import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rnnlane.errors import ConfigError
from rnnlane.jobs.answer import ask_cluster
from rnnlane.jobs.client import JobClient

_MARK = "rnnlane-probe "
# Only Python's standard library: none of our packages may be installed there.
_PROBE = """
import json, platform
from importlib import metadata
found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in metadata.distributions()}
print("rnnlane-probe " + json.dumps({"python": platform.python_version(), "packages": found}))
"""


@dataclass(frozen=True)
class Versions:
    """The versions of Python and of each package, by its lower-case name, on a machine."""

    python: str
    packages: Mapping[str, str]


@functools.cache
def here() -> Versions:
    """The versions that this process runs on."""
    packages: dict[str, str] = {
        canonicalize_name(each.metadata["Name"]): each.version for each in metadata.distributions()
    }
    return Versions(platform.python_version(), packages)


def ask(client: JobClient) -> Versions:
    """The versions that the cluster's jobs run on, asked by a job of a second.

    Raises:
        JobError: the cluster starts no job.
        ConfigError: it has no `python` for jobs.
    """
    encoded = json.dumps(_PROBE)
    entrypoint = f"python -c {shlex.quote(f'exec({encoded})')}"
    return Versions(**ask_cluster(client, entrypoint=entrypoint, mark=_MARK))


def requirements() -> list[Requirement]:
    """What rnnlane depends on besides Ray, and what the extras of Ray depend on."""
    ours = _by_name(direct_requirements("rnnlane", {""}))
    rays = _by_name(direct_requirements("ray", ours.pop("ray").extras))
    rays.pop("ray", None)
    return [requirement for _, requirement in sorted((rays | ours).items())]


def check(theirs: Versions, *, address: str, with_packages: bool) -> None:
    """Refuses a cluster with other versions than here.

    Args:
        theirs: the cluster's versions.
        address: of the cluster, for the error.
        with_packages: whether packages must agree too; not if they are installed for the job.

    Raises:
        ConfigError: versions do not agree; names each of them.
    """
    ours = here()
    wrong = list(_base_mismatches(ours, theirs))
    if wrong:
        raise ConfigError(
            f"Ray and Python must agree with the cluster's, but {'; '.join(wrong)}",
            where=address,
            remedy="submit from an environment with the cluster's versions, or change the cluster",
        )
    wrong = list(_package_mismatches(theirs)) if with_packages else []
    if wrong:
        raise ConfigError(
            f"the cluster must have what rnnlane depends on, but {'; '.join(wrong)}",
            where=address,
            remedy="give --runtime-env pip, or install rnnlane on the cluster",
        )


def other_rnnlane(theirs: Versions) -> str | None:
    """The version of rnnlane that is installed on the cluster, if it is another than here."""
    version = theirs.packages.get("rnnlane")
    return None if version == here().packages.get("rnnlane") else version


def pins() -> list[str]:
    """``name==version`` of each requirement that is installed here, without Ray itself.

    A local part such as torch's ``+cpu`` is dropped: package indexes do not have it.
    """
    installed = here().packages
    return [
        f"{requirement.name}=={installed[canonicalize_name(requirement.name)].partition('+')[0]}"
        for requirement in requirements()
        if canonicalize_name(requirement.name) in installed
    ]


def installed_bytes(requirements: list[str]) -> int:
    """How much room packages take here, as ``name==version``, without what they depend on."""
    num_bytes = 0
    for requirement in requirements:
        files = metadata.distribution(requirement.partition("==")[0]).files or ()
        num_bytes += sum(file.size or 0 for file in files)
    return num_bytes


def _base_mismatches(ours: Versions, theirs: Versions) -> Iterator[str]:
    if _minor(ours.python) != _minor(theirs.python):
        yield f"Python is {ours.python} here and {theirs.python} there"
    if ours.packages.get("ray") != theirs.packages.get("ray"):
        version = theirs.packages.get("ray", "missing from the `python` of its jobs")
        yield f"Ray is {ours.packages.get('ray')} here and {version} there"


def _package_mismatches(theirs: Versions) -> Iterator[str]:
    for requirement in requirements():
        version = theirs.packages.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{requirement.name} is missing"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is {version} and must be {requirement.specifier}"


def direct_requirements(name: str, extras: Set[str]) -> Iterator[Requirement]:
    """What an installed package depends on here, with some of its extras; ``""`` for none."""
    for line in metadata.requires(name) or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _by_name(requirements: Iterable[Requirement]) -> dict[str, Requirement]:
    return {canonicalize_name(each.name): each for each in requirements}


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
