"""The cluster's resources, and requests to its autoscaler for more nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from rnnlane.errors import ConfigError

# Set where a cluster's head is started: only the cluster knows whether it can add nodes.
WAIT_VARIABLE = "RNNLANE_WAIT_FOR_NODES_S"
_POLL_S = 2.0


def capacity(bundle: Mapping[str, float], count: int) -> dict[str, float]:
    """Amount of each resource, such as CPU and GPU, that the connected Ray has.

    If the cluster says that its autoscaler adds nodes, requests room for the bundles and waits
    until they fit or the time is over. Otherwise a run would be refused for lack of nodes that
    were never requested. The request lasts until the next one, or until the driver ends.

    Args:
        bundle: what one worker needs.
        count: number of workers.

    Raises:
        ConfigError: the cluster's waiting time is not a number of seconds.
    """
    import ray

    have: dict[str, float] = ray.cluster_resources()
    wait_s = _wait_s()
    if wait_s <= 0 or fits(have, bundle, count):
        return have
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(bundle)] * count)
    end = time.monotonic() + wait_s
    while not fits(have, bundle, count) and time.monotonic() < end:
        time.sleep(_POLL_S)
        have = ray.cluster_resources()
    return have


def fits(have: Mapping[str, float], bundle: Mapping[str, float], count: int) -> bool:
    """Whether ``count`` bundles are within the amounts of ``have``."""
    return all(have.get(name, 0.0) >= each * count for name, each in bundle.items())


def _wait_s() -> float:
    text = os.environ.get(WAIT_VARIABLE) or "0"
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"{WAIT_VARIABLE} must be a number of seconds, but got {text!r}",
            where=WAIT_VARIABLE,
            remedy="for example 900; unset it where no autoscaler adds nodes",
        ) from None
