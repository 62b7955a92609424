"""Which sockets processes listen on."""

from collections.abc import Iterable

import psutil

# Addresses that other machines cannot reach; Ray's listen as IPv6, too.
LOOPBACK = ("127.", "::1", "::ffff:127.")
Sockets = dict[tuple[str, int], str]


def family(root: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started; empty where it is gone."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def listening(processes: Iterable[psutil.Process]) -> Sockets:
    """Whose each listening socket is, by its address and port."""
    found = {}
    for process in processes:
        try:
            for socket in process.net_connections("tcp"):
                if socket.status == psutil.CONN_LISTEN:
                    found[socket.laddr.ip, socket.laddr.port] = " ".join(process.cmdline())[:100]
        except psutil.Error:
            continue
    return found


def beyond_loopback(sockets: Sockets) -> Sockets:
    """Those of them that other machines can reach."""
    return {key: who for key, who in sockets.items() if not key[0].startswith(LOOPBACK)}
