"""`rnnlane schema`."""

from __future__ import annotations

import json

from rnnlane.cli import output
from rnnlane.cli.options import Json
from rnnlane.config import ExperimentConfig


def schema(as_json: Json = False) -> None:
    """Print the JSON schema of experiment files, for editors and for reference.

    Examples:
        rnnlane schema > experiment.schema.json
    """
    value = ExperimentConfig.model_json_schema()
    if as_json:
        output.write_json(value)
    else:
        output.write_file(json.dumps(value, indent=2) + "\n")
