"""The JSON schema of experiment files, by which editors complete and check them."""

from __future__ import annotations

import json

from rnnlane.config.experiment import ExperimentConfig

SCHEMA_FILE = "rnnlane.schema.json"
"""Its name, beside the experiments."""

# Read by the YAML extensions of VS Code, Neovim, JetBrains and others; relative to the file.
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(ExperimentConfig.model_json_schema(), indent=2) + "\n"
