import signal
import socket

import pytest

from support.nodes import RayNodes


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heeded():
    """A shell lets what it starts in the background, and all below that, ignore Ctrl-C."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def ray_environment(tmp_path_factory):
    """The environment of commands that need not start a Ray: they join one that they share.

    What is about a command's own Ray, or kills processes of Ray, is tested with a Ray of its own.
    """
    nodes = RayNodes(tmp_path_factory.mktemp("ray"))
    try:
        # As many CPUs as a command's own Ray has for two workers.
        nodes.start_head(num_cpus=4)
        yield nodes.environment
    finally:
        nodes.stop()


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
