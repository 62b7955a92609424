"""One Ray for the commands of many tests, which would each start one of their own for 15 to 20 s.

What is about a command's own Ray, or kills processes of Ray, is tested with a Ray of its own.
"""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.command import command_environment

# It ends with its standard input: when the tests end, however they do.
PROGRAM = """
import sys
import ray
from rnnlane.config.runtime import RuntimeConfig
from rnnlane.ray_cluster.connect import connect

connect(RuntimeConfig(num_workers=2, device="cpu"))
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def shared_ray(folder: Path) -> Iterator[dict[str, str]]:
    """Starts a Ray as a command does, and ends it.

    Args:
        folder: an empty one for what it needs and logs.

    Yields:
        The environment of a command that joins it.
    """
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    joining = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    log = folder / "ray.log"
    with log.open("w") as errors:
        head = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=command_environment(folder / "home", **joining),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # The tests' Ctrl-C is not its own.
            start_new_session=True,
        )
    assert head.stdin is not None
    assert head.stdout is not None
    try:
        address = head.stdout.readline().strip()
        assert address, log.read_text()
        yield {**joining, "RAY_ADDRESS": address}
    finally:
        head.stdin.close()
        try:
            head.wait(timeout=60)
        finally:
            head.kill()
            head.stdout.close()
