"""``ray start`` for a second node on loopback, which Ray refuses to start by its own command.

The switch that keeps Ray on loopback (``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``) also makes
``ray start --address`` say no. Here that one check alone sees the switch as on. A Ray that has
changed there refuses to start; it does not listen where it should not.
"""

from __future__ import annotations

from types import SimpleNamespace

from ray._private import ray_constants
from ray.scripts import scripts

if __name__ == "__main__":
    scripts.ray_constants = SimpleNamespace(**{**vars(ray_constants), "ENABLE_RAY_CLUSTER": True})
    scripts.cli()
