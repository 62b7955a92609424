"""Slow imports in a background thread, while a verb takes its first steps.

The verb then imports the same modules: they are loaded by then, or it waits for Python's import
locks. Errors are ignored here, because the verb reports them.
"""

from __future__ import annotations

import contextlib
import importlib
import threading


def open_store_and_import(module: str, *, tracking_uri: str | None) -> None:
    """Opens the store, which imports MLflow, then imports a module, which imports torch.

    Raises:
        ConfigError: the verb would refuse RAY_ADDRESS, or the address of the store.
    """
    from rnnlane.ray_cluster.address import check_address
    from rnnlane.tracking.uris import resolve_uri

    # Opening makes a SQLite file that is not there yet.
    check_address()
    uri = resolve_uri(tracking_uri)

    def run() -> None:
        from rnnlane.tracking.store import check_store

        with contextlib.suppress(Exception):
            check_store(uri)
        # Python waits for this thread when it exits: a verb that has failed should not have to.
        if threading.main_thread().is_alive():
            with contextlib.suppress(Exception):
                importlib.import_module(module)

    threading.Thread(target=run, name="warm-up").start()
