from rnnlane.records.run_marker import RunMarker, find_marker, marker_line

RUN = "0123456789abcdef" * 2


def test_a_marker_is_found_in_a_log_and_holds_no_secret():
    line = marker_line(RUN, "http://me:hunter2@mlflow:5000/")
    assert "hunter2" not in line
    log = f"preparing\n{marker_line('f' * 32, 'http://a')}\n{line}\n  run   {'e' * 32} in b\n"
    assert find_marker(log) == RunMarker(RUN, "http://***@mlflow:5000/")
    assert find_marker("a run that is none in all\n") is None


def test_only_a_server_has_pages():
    assert RunMarker(RUN, "http://m:5000/").url == f"http://m:5000/#/runs/{RUN}"
    assert RunMarker(RUN, "sqlite:////srv/mlflow.db").url is None


def test_a_store_may_have_spaces_in_its_path():
    line = marker_line(RUN, "sqlite:////srv/my data/mlflow.db")
    assert find_marker(f"{line}\nmore") == RunMarker(RUN, "sqlite:////srv/my data/mlflow.db")
