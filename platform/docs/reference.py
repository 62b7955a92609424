"""The pages of reference, made from the models of the experiment file and from the commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """Markdown by the path of its page."""
    return {
        "reference/experiment.md": "\n".join(_experiment_page()),
        "reference/commands.md": "\n".join(_commands_page()),
    }


def _experiment_page() -> Iterator[str]:
    from rnnlane.config.experiment import ExperimentConfig

    schema = ExperimentConfig.model_json_schema()
    yield "# Keys of an experiment\n"
    yield (
        "Made from the models that check the file, as `rnnlane schema` is. Keys without a default "
        "are required. A key may be set on the command line: `--set training.epochs=3`.\n"
    )
    yield "```yaml\nname: reviews\ndata: {source: {kind: imdb}}\n```\n"
    plain = {
        key: entry for key, entry in schema["properties"].items() if _section(entry, schema) is None
    }
    yield "## At the top\n"
    yield from _table(plain, schema)
    for key, entry in schema["properties"].items():
        if (section := _section(entry, schema)) is not None:
            yield from _section_text(key, section, schema, level=2)


def _section_text(path: str, section: Schema, schema: Schema, *, level: int) -> Iterator[str]:
    """A heading, the section's description and its keys, then the sections within it."""
    yield f"{'#' * level} `{path}`\n"
    yield f"{section.get('description', '')}\n"
    properties = section["properties"]
    inner = {key: _section(entry, schema) for key, entry in properties.items()}
    variants = {key: _variants(entry, schema) for key, entry in properties.items()}
    plain = {
        key: entry for key, entry in properties.items() if inner[key] is None and not variants[key]
    }
    if plain:
        yield from _table(plain, schema)
    for key in properties:
        if (found := inner[key]) is not None:
            yield from _section_text(f"{path}.{key}", found, schema, level=level + 1)
        for kind, variant in variants[key].items():
            heading = f"{path}.{key}, kind {kind}"
            yield f"{'#' * (level + 1)} `{heading}`\n"
            yield f"{variant.get('description', '')}\n"
            keys = {name: entry for name, entry in variant["properties"].items() if name != "kind"}
            yield from _table(keys, schema)


def _table(properties: Mapping[str, Schema], schema: Schema) -> Iterator[str]:
    yield "| Key | Values | Default | |"
    yield "|---|---|---|---|"
    for key, entry in properties.items():
        default = f"`{json.dumps(entry['default'])}`" if "default" in entry else ""
        cells = (f"`{key}`", _values(entry, schema), default, entry.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _resolved(entry: Schema, schema: Schema) -> Schema:
    if "$ref" in entry:
        found: Schema = schema["$defs"][entry["$ref"].rsplit("/", 1)[1]]
        return found
    return entry


def _section(entry: Schema, schema: Schema) -> Schema | None:
    """The model of a key that is a section, also of one that may be null."""
    choices = [_resolved(each, schema) for each in entry.get("anyOf", [entry])]
    models = [each for each in choices if each.get("properties")]
    is_one = len(models) == 1 and all(each in models or _is_null(each) for each in choices)
    return models[0] if is_one else None


def _variants(entry: Schema, schema: Schema) -> dict[str, Schema]:
    """The models of a key whose ``kind`` decides which one holds."""
    models = [_resolved(each, schema) for each in entry.get("oneOf", [])]
    return {model["properties"]["kind"]["const"]: model for model in models}


def _is_null(entry: Schema) -> bool:
    return entry.get("type") == "null"


def _values(entry: Schema, schema: Schema) -> str:
    """What a key may hold, in words."""
    entry = _resolved(entry, schema)
    choices = entry.get("anyOf") or entry.get("oneOf")
    if choices:
        words = dict.fromkeys(_values(each, schema) for each in choices)
        return " or ".join(words)
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    if entry.get("type") == "array":
        items = entry.get("items") or (entry.get("prefixItems") or [{}])[0]
        return f"list of {_values(items, schema)}"
    names = {"object": "mapping", "string": "text", "boolean": "`true`, `false`"}
    name = names.get(entry.get("type", ""), entry.get("type", "any"))
    bounds = [
        f"{sign} {entry[key]:g}"
        for key, sign in (
            ("minimum", ">="),
            ("exclusiveMinimum", ">"),
            ("maximum", "<="),
            ("exclusiveMaximum", "<"),
        )
        if isinstance(entry.get(key), int | float)
    ]
    return " ".join([name, ", ".join(bounds)]).strip()


def _commands_page() -> Iterator[str]:
    import typer

    from rnnlane.cli.main import app

    yield "# Commands\n"
    yield (
        "Made from the commands themselves; `rnnlane VERB --help` shows the same. Exit codes: 0; "
        "2 where the input was wrong and nothing was started; 1 for other failures; 130 when "
        "interrupted.\n"
    )
    yield from _group_text(typer.main.get_command(app), "rnnlane")


def _group_text(group: Any, name: str) -> Iterator[str]:
    for key, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _group_text(command, f"{name} {key}")
            continue
        yield f"## `{name} {key}`\n"
        yield f"{_help_text(command.help or '')}\n"
        yield "\n".join(f"    {line}" for line in command.examples) + "\n"
        yield from _parameters(command)


def _help_text(text: str) -> str:
    """A command's help: its paragraphs, with examples, which are indented, as they are."""
    return text.replace("\b\n", "").strip()


def _parameters(command: Any) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        names = (
            ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "option"
            else f"`{(parameter.metavar or parameter.name or '').upper()}`"
        )
        words = " ".join((getattr(parameter, "help", None) or "").split())
        yield f"| {names} | {words} |".replace("||", "\\|\\|")
    yield ""
