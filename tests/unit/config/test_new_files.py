import tomllib
from pathlib import Path

import pytest

from rnnlane.config import load_experiment, new_files
from rnnlane.config.new_files import check_is_new, shipped_experiments, write_examples
from rnnlane.config.schema import SCHEMA_FILE, SCHEMA_LINE, schema_text
from rnnlane.errors import ConfigError, ResourceError

ROOT = Path(__file__).parents[3]


def test_the_shipped_experiments_and_their_schema_are_copied(tmp_path):
    written = write_examples(tmp_path / "new", force=False)
    names = {file.name for file in (ROOT / "experiments").glob("*.yaml")}
    yaml = {Path(each).name for each in written if each.endswith(".yaml")}
    assert yaml == names
    assert written[-1] == str(tmp_path / "new" / SCHEMA_FILE)
    assert load_experiment(tmp_path / "new" / "demo.yaml").name == "demo"
    assert write_examples(tmp_path / "new", force=False) == written


def test_an_experiment_that_somebody_changed_stays_unless_forced(tmp_path):
    (tmp_path / "demo.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="with another content") as refused:
        write_examples(tmp_path, force=False)
    assert refused.value.where == str(tmp_path / "demo.yaml")
    assert [file.name for file in tmp_path.iterdir()] == ["demo.yaml"]
    write_examples(tmp_path, force=True)
    assert load_experiment(tmp_path / "demo.yaml").name == "demo"


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "new").write_text("")
    with pytest.raises(ResourceError):
        write_examples(tmp_path / "new", force=False)


def test_the_wheel_has_the_experiments_where_they_are_looked_for(monkeypatch, tmp_path):
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "/experiments/*.yaml" in wheel["targets"]["wheel"]["include"]
    place = wheel["targets"]["wheel"]["sources"]["experiments"]
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "notebooks").mkdir()
    for name in ("a.yaml", "notebooks/b.ipynb", "LOG.md"):
        (tmp_path / place / name).write_text("")
    monkeypatch.setattr(new_files.rnnlane, "__file__", str(tmp_path / "rnnlane" / "__init__.py"))
    assert list(shipped_experiments()) == ["a.yaml", "notebooks/b.ipynb"]


@pytest.mark.parametrize("name", [name for name in shipped_experiments() if "/" not in name])
def test_every_shipped_experiment_names_its_schema(name):
    assert shipped_experiments()[name].read_text().startswith(SCHEMA_LINE + "\n")


def test_the_schema_beside_them_is_the_present_one():
    """After a change of the keys: rnnlane schema > experiments/rnnlane.schema.json."""
    assert (ROOT / "experiments" / SCHEMA_FILE).read_text() == schema_text()


@pytest.mark.parametrize(
    ("name", "force", "message"),
    [
        ("x.yaml", False, "must not exist"),
        ("x.csv", True, "must end in .yaml"),
        ("no/x.yaml", False, "the folder of the file to write must exist"),
        ("folder.yaml", True, "must not exist"),
    ],
)
def test_a_file_that_may_not_be_written_is_refused(tmp_path, name, force, message):
    (tmp_path / "x.yaml").write_text("")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=message):
        check_is_new(tmp_path / name, force=force)
