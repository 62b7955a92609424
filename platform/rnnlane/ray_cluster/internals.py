"""Every name of Ray, Ray Tune and Optuna that is not part of their public interface.

They may change in any release, which is why pyproject.toml allows one minor release of Ray. After
an upgrade ``tests/unit/ray_cluster/test_internals.py`` shows which of them have changed; no other
module has to be searched. Ray Train's names are in ``internals_train``, whose import takes seconds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Makes a Ray that is started in the block use 127.0.0.1 as this machine's address.

    Ray does so by itself on macOS only. Without it the processes of a local Ray serve metrics on
    every interface, without requiring a token.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def job_client(address: str, *, connect_timeout_s: float, answer_timeout_s: float) -> Any:
    """A ``JobSubmissionClient`` with time limits, for exactly this address.

    Ray's own client waits forever if packets are lost, and prefers the addresses in its environment
    variables to the one it is given. ``_do_request`` makes all its requests.
    """
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            timeouts = (connect_timeout_s, answer_timeout_s)
            return super()._do_request(method, endpoint, **{"timeout": timeouts, **options})

    hidden = {name: os.environ.pop(name) for name in _ADDRESS_VARIABLES if name in os.environ}
    try:
        return Client(address)
    finally:
        os.environ.update(hidden)


def tune_trial_error(trial: Any) -> BaseException | None:
    """The last error of a Tune trial, which Tune does not pass to its callbacks; None without one.

    Tune pickles it into the trial's folder before it calls ``on_trial_error``.
    """
    from ray import cloudpickle

    try:
        error: BaseException = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except (OSError, TypeError):
        return None
    return error


def reopen_trial(study: optuna.Study, frozen: optuna.trial.FrozenTrial) -> optuna.Trial:
    """A trial that is still running in the study's storage, after a restart of this process.

    Optuna only hands out new trials; a Trial is made from the storage's id of the old one.
    """
    import optuna

    return optuna.Trial(study, frozen._trial_id)
