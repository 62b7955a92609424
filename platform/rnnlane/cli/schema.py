"""`rnnlane schema`."""

from __future__ import annotations

from rnnlane.cli import output
from rnnlane.cli.options import Json
from rnnlane.config import ExperimentConfig
from rnnlane.config.schema import schema_text


def schema(as_json: Json = False) -> None:
    """Print the JSON schema of experiment files, for editors and for reference.

    Examples:
        rnnlane schema > experiment.schema.json
    """
    if as_json:
        output.write_json(ExperimentConfig.model_json_schema())
    else:
        output.write_piece(schema_text())
