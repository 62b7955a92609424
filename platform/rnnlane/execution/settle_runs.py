"""Runs whose driver is gone: what they could not send is sent, and their end is told."""

from __future__ import annotations

from rnnlane.errors import JobError, TrackingError
from rnnlane.execution.run_record import all_records
from rnnlane.tracking.run import send_outbox, terminate_run
from rnnlane.tracking.uris import store_identity


def settle_runs(uri: str) -> int:
    """Brings the store up to date with the runs of this machine whose driver is gone.

    Sends what they could not send while the server was away, and gives a run whose driver was
    killed without a word the status KILLED.

    Returns:
        How many records were sent.
    """
    sent = 0
    for record in all_records():
        try:
            sent += send_outbox(uri, record.outbox)
            if record.state != "running" or record.tracking_uri != store_identity(uri):
                continue
            with record.locked(timeout_s=0.0) as current:
                if current.state == "running" and current.run_id is not None:
                    terminate_run(uri, current.run_id, "KILLED", reason="its driver died")
                    current.update(state="killed")
        except (TrackingError, JobError):
            # The store is away or does not know the run; or its driver lives.
            continue
    return sent
