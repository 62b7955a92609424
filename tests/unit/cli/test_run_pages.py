from types import SimpleNamespace

from rnnlane.cli.run_pages import browse_rows, store_option, write_pages

RUN_ID = "0123456789abcdef"
RUNS = "http://mlflow.example.com:5000/#/experiments/1/runs"


def result(**pages):
    values = {"run_url": None, "runs_url": None, "tracking_uri": "sqlite:///x.db", **pages}
    return SimpleNamespace(run_id=RUN_ID, **values)


def test_the_pages_of_a_server_are_lines_that_nothing_breaks(capsys):
    query = "?workflowType=machine_learning&viewStateShareKey=rnnlane-1"
    found = result(run_url=f"{RUNS}/{RUN_ID}{query}", runs_url=RUNS + query)
    write_pages(found)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == [found.run_url, found.runs_url]
    assert browse_rows(found, store="") == []


def test_any_other_store_has_a_command_that_opens_the_run(capsys):
    config = SimpleNamespace(tracking=SimpleNamespace(uri="sqlite:///x.db"))
    store = store_option(config, result())
    expected = "rnnlane ui --tracking-uri sqlite:///x.db --run 01234567"
    assert browse_rows(result(), store=store) == [["browse", expected]]
    write_pages(result())
    assert capsys.readouterr().out == ""
    # As a shell takes it.
    blanks = store_option(config, result(tracking_uri="sqlite:////my runs/x.db"))
    assert blanks == " --tracking-uri 'sqlite:////my runs/x.db'"
