import signal
import socket

import pytest

from support.shared_ray import shared_ray


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heeded():
    """A shell lets what it starts in the background, and all below that, ignore Ctrl-C."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def ray_environment(tmp_path_factory):
    """The environment of commands that need not start a Ray: they join one that they share."""
    with shared_ray(tmp_path_factory.mktemp("ray")) as environment:
        yield environment


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
