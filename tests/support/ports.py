"""Free ports for the servers that tests start."""

import contextlib
import secrets
import socket


def free_ports(count: int) -> list[int]:
    """Ports outside those that Ray gives its workers (10002-19999) and below the kernel's own."""
    ports: list[int] = []
    while len(ports) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports
