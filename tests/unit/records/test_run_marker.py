from rnnlane.records.run_marker import RunMarker, find_marker, marker_line

RUN = "0123456789abcdef" * 2
PAGE = f"http://mlflow:5000/#/experiments/1/runs/{RUN}?workflowType=machine_learning"


def test_a_marker_is_found_in_a_log_and_holds_no_secret():
    line = marker_line(RUN, "postgresql://me:hunter2@db/mlflow", page=None)
    assert "hunter2" not in line
    earlier = marker_line("f" * 32, "http://a", page=PAGE)
    log = f"preparing\n{earlier}\n{line}\n  run   {'e' * 32} in b\n"
    assert find_marker(log) == RunMarker(RUN, "postgresql://***@db/mlflow")
    assert find_marker("a run that is none in all\n") is None


def test_a_marker_of_a_server_names_the_page_and_the_store():
    found = find_marker(marker_line(RUN, "http://me:hunter2@mlflow:5000", page=PAGE))
    assert (found.url, found.tracking_uri) == (PAGE, "http://mlflow:5000")


def test_only_a_server_has_pages():
    assert RunMarker(RUN, "sqlite:////srv/mlflow.db").url is None


def test_a_store_may_have_spaces_in_its_path():
    line = marker_line(RUN, "sqlite:////srv/my data/mlflow.db", page=None)
    found = find_marker(f"{line}\nmore")
    assert found.tracking_uri == "sqlite:////srv/my data/mlflow.db"
