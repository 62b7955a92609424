"""The MLflow store away, slow, restarted, refusing, or reached over a bad network."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing

from faults.catalog import Ends, fault
from faults.machine import HOME, HOSTS_FILE, WORK, Machine, MissedError, StoreServer, hosts_text

_SERVER = {"store": "server", "lasts_s": (2.0, 10.0)}
_STARTING = {"store": "server", "ends": Ends.FAILS}


def _server(machine: Machine) -> StoreServer:
    assert machine.store is not None
    return machine.store


# A command that starts while the store is away refuses to, with one line.
@fault("store-away", "the store refuses connections for a while", ends=Ends.FAILS, **_SERVER)
def _store_away(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "refuse")


@fault("store-gone", "the store refuses connections until the end", lasts_s=None, **_STARTING)
def _store_gone(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "refuse")


@fault("store-hangs", "the link to the store moves no byte", ends=Ends.FAILS, **_SERVER)
def _store_hangs(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "hang")


@fault("store-slow", "each piece to and from the store takes 0.3 s", **_SERVER)
def _store_slow(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "slow", 0.3)


@fault("store-500", "the store answers 500", ends=Ends.FAILS, **_SERVER)
def _store_500(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "answer", 500, "Internal Server Error")


@fault("store-503", "a gateway answers 503 in the store's place", ends=Ends.FAILS, **_SERVER)
def _store_503(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "answer", 503, "no healthy upstream")


@fault("store-429", "the store answers 429: too many requests", ends=Ends.FAILS, **_SERVER)
def _store_429(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "answer", 429, "slow down")


@fault("store-401", "the store no longer knows the account", ends=Ends.FAILS, **_SERVER)
def _store_401(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "answer", 401, "who are you?")


@fault("store-login-page", "a gateway answers 200 and a login page", ends=Ends.FAILS, **_SERVER)
def _store_login_page(machine: Machine) -> Iterator[None]:
    page = "<html><body>Please log in.</body></html>"
    yield from _proxy(machine, "answer", 200, page, content_type="text/html")


@fault("store-answers-lost", "requests arrive but answers are lost", ends=Ends.FAILS, **_SERVER)
def _store_answers_lost(machine: Machine) -> Iterator[None]:
    yield from _proxy(machine, "lose_answers")


@fault("store-killed", "the store's server is killed and started again", ends=Ends.FAILS, **_SERVER)
def _store_killed(machine: Machine) -> Iterator[None]:
    server = _server(machine)
    server.kill()
    yield
    server.start()


@fault("store-unnamed", "the store's host name cannot be resolved", ends=Ends.FAILS, **_SERVER)
def _store_unnamed(_: Machine) -> Iterator[None]:
    hosts = WORK / "hosts"
    hosts.write_text(hosts_text(with_store=False))
    assert HOSTS_FILE.read_text() == hosts.read_text()
    try:
        yield
    finally:
        hosts.write_text(hosts_text())


def _proxy(machine: Machine, method: str, *arguments: object, **options: str) -> Iterator[None]:
    proxy = _server(machine).proxy
    getattr(proxy, method)(*arguments, **options)
    try:
        yield
    finally:
        proxy.heal()


@fault(
    "database-locked",
    "another process holds the embedded store's database",
    store="embedded",
    moments=("record", "checkpoint", "results", "finished"),
    lasts_s=(2.0, 10.0),
    ends=Ends.FAILS,
)
def _database_locked(_: Machine) -> Iterator[None]:
    file = HOME / "mlflow.db"
    if not file.exists():
        raise MissedError("there is no database yet")
    with closing(sqlite3.connect(file, timeout=20, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise MissedError(str(error)) from None
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


@fault(
    "packets-lost",
    "one packet in five is lost",
    lasts_s=(2.0, 8.0),
    ends=Ends.FAILS,
)
def _packets_lost(machine: Machine) -> Iterator[None]:
    # The kernel here need not have netem: the interface is down for a fifth of the time instead.
    is_healed = threading.Event()

    def flap() -> None:
        while not is_healed.wait(0.08):
            _loopback("down")
            is_healed.wait(0.02)
            _loopback("up")

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        is_healed.set()
        thread.join()
        _loopback("up")


@fault("link-cut", "the network is down for a while", lasts_s=(1.0, 6.0), ends=Ends.FAILS)
def _link_cut(_: Machine) -> Iterator[None]:
    _loopback("down")
    try:
        yield
    finally:
        _loopback("up")


def _loopback(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)
