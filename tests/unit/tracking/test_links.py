from __future__ import annotations

import pytest

from rnnlane.tracking.links import run_link, runs_link

TYPE = "workflowType=machine_learning"


def test_the_pages_of_a_server_have_addresses_without_credentials() -> None:
    uri = "https://me:hunter2@host:5000/mlflow/?token=x"
    runs = f"https://host:5000/mlflow/#/experiments/3/runs?{TYPE}"
    assert runs_link(uri, "3") == runs
    assert runs_link(uri, "3", view="best") == f"{runs}&viewStateShareKey=best"
    assert (
        run_link(uri, "3", "ab12") == f"https://host:5000/mlflow/#/experiments/3/runs/ab12?{TYPE}"
    )


@pytest.mark.parametrize("uri", ["sqlite:///x.db", "postgresql://host/db", "databricks"])
def test_any_other_store_has_no_pages(uri: str) -> None:
    assert run_link(uri, "3", "ab12") is None
    assert runs_link(uri, "3") is None
