"""Links between runs that belong together, in their descriptions: a search and the runs of its
winner's experiment; a run of several seeds and the run of each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rnnlane.tracking.internals import NOTE_TAG
from rnnlane.tracking.links import run_anchor

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SEARCH_RUN_TAG = "rnnlane.search_run"
"""Of a run whose experiment a search has found: the search's run id."""
BEST_RUN_TAG = "rnnlane.best_run"
"""Of a search: the run that was last trained from its ``best.yaml``."""

# MLflow refuses a tag of more than 8,000 characters.
MAX_NOTE_CHARS = 6000

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+.!|~-])")


def link_search(client: MlflowClient, run_id: str, search_run_id: str) -> None:
    """Links a run with the search that found its experiment; twice has the effect of once.

    Does nothing if the store has no such search: its ``best.yaml`` may come from another store.

    Raises:
        Exception: whatever MLflow raises.
    """
    from mlflow.exceptions import MlflowException

    try:
        search = client.get_run(search_run_id)
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise
        return
    if search.info.lifecycle_stage != "active":
        return
    run = client.get_run(run_id)
    _add_note(client, run, f"Trained from the `best.yaml` of the search {_link(search)}.")
    _add_note(client, search, f"Its `best.yaml` was trained as {_link(run)}.")
    client.set_tag(search_run_id, BEST_RUN_TAG, run_id)


def link_seed(client: MlflowClient, run_id: str, seed_run_id: str, *, seed: int) -> None:
    """Adds a link to the run of a seed to the description of a run of several.

    Raises:
        Exception: whatever MLflow raises.
    """
    line = f"Seed {seed}: {_link(client.get_run(seed_run_id))}"
    _add_note(client, client.get_run(run_id), line)


def _add_note(client: MlflowClient, run: Run, line: str) -> None:
    """Adds a paragraph to a run's description, unless it is there or there is no room for it."""
    note = run.data.tags.get(NOTE_TAG, "")
    longer = f"{note}\n\n{line}".strip()
    if line not in note and len(longer) <= MAX_NOTE_CHARS:
        client.set_tag(run.info.run_id, NOTE_TAG, longer)


def _link(run: Run) -> str:
    """A link in Markdown to the page of a run, whatever the server's address is."""
    name = _MARKDOWN.sub(r"\\\1", " ".join(run.info.run_name.split()))
    return f"[{name}]({run_anchor(run.info.experiment_id, run.info.run_id)})"
