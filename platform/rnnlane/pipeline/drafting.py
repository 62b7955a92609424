"""The verbs that write experiments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlane.records.draft import ExperimentDraft, Hints

if TYPE_CHECKING:
    pass


def init_experiment(
    path: str,
    *,
    output: str | None = None,
    name: str | None = None,
    hints: Hints | None = None,
    force: bool = False,
) -> ExperimentDraft:
    """Finds out what files of labeled texts are like, and writes an experiment for them.

    Args:
        path: a csv, tsv, jsonl or Parquet file, or a folder, a glob or a URI of such files.
        output: the experiment to write; default: ``NAME.yaml`` in the working directory. The
            schema for editors is written beside it.
        name: of the experiment; default: that of the file.
        hints: what is known of the files.
        force: replace a file that is there already.

    Raises:
        DataError: the files cannot be read, or hold no labeled texts.
        ConfigError: a hint or the name is not valid, or the file to write exists.
    """
    from rnnlane.config.new_files import check_is_new, write_experiment
    from rnnlane.data.survey.draft import default_name, draft_experiment

    name = name or default_name(path)
    file = Path(output or f"{name}.yaml")
    check_is_new(file, force=force)
    draft = draft_experiment(path, name=name, hints=hints or Hints())
    write_experiment(file, draft.yaml)
    return replace(draft, path=str(file))


def copy_examples(folder: str, *, force: bool = False) -> list[str]:
    """Copies the experiments that come with rnnlane into a folder; returns the paths.

    Raises:
        ConfigError: an experiment of that name is there, with another content.
    """
    from rnnlane.config.new_files import write_examples

    return write_examples(Path(folder), force=force)
