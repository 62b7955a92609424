"""YAML text -> plain values, and the line of each dotted key."""

from __future__ import annotations

import re
from typing import Any

import yaml

from rnnlane.errors import ConfigError, first_line

KeyPath = tuple[str, ...]


MAX_BYTES = 1_000_000
_MAX_NODES = 20_000


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 scalars and without duplicate keys.

    PyYAML follows YAML 1.1, where ``off`` is a boolean, ``1e-3`` is a string, ``010`` is eight,
    ``1:30`` is ninety and ``2024-01-01`` is a date; all would surprise the author of an experiment.
    """

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        base = {"0x": 16, "0o": 8}.get(text.lstrip("+-")[:2].lower(), 10)
        return int(text, base)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in resolvers
        if not tag.endswith((":bool", ":float", ":int", ":timestamp"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+|[0-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def parse_yaml(text: str, *, origin: str) -> tuple[Any, dict[KeyPath, int]]:
    """Parses one YAML document.

    Args:
        text: the document.
        origin: how errors name it, such as its file name.

    Returns:
        The value, and for each key path the 1-based line of its key.

    Raises:
        ConfigError: it is not YAML, uses an unsafe tag, or has a key twice.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if node is None:
            return None, lines
        _check_size(node, origin)
        _collect_lines(node, (), lines, origin)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}:{mark.line + 1}" if mark else origin
        raise ConfigError(
            f"not valid YAML: {_problem(error)}",
            where=where,
            remedy="correct the syntax; `rnnlane schema` lists the keys",
        ) from None
    except RecursionError:
        # In words of ours: Python's differ with the call in which the stack ends.
        raise ConfigError(
            "lists and mappings are nested too deeply",
            where=origin,
            remedy="an experiment has sections of a few levels",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not valid YAML: {first_line(error)}", where=origin) from None
    finally:
        if loader is not None:
            loader.dispose()


def _problem(error: yaml.MarkedYAMLError) -> str:
    if error.problem == "but found another document":
        return "expected a single document, but found another one"
    return str(error.problem or error.context)


def parse_value(text: str, *, origin: str) -> Any:
    """Parses the value of an override, which a shell has unquoted already.

    As YAML, but all of the text counts: what YAML would take for a comment or for the beginning of
    a block or a tag is text here, because ``--set data.source.delimiter=|`` means what it says.

    Raises:
        ConfigError: it begins as a list, a mapping or a quoted text does and is none.
    """
    stripped = text.strip(" ")
    if not stripped:
        return None
    if stripped[0] in "#&*!|>%@`\t\r\n":
        return stripped
    value, _ = parse_yaml(stripped, origin=origin)
    node = yaml.compose(stripped, Loader=_Loader)
    rest = stripped[node.end_mark.index :].strip() if node else ""
    if not rest:
        return value
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        return stripped
    raise ConfigError(f"the value must end where it closes, but {rest!r} follows", where=origin)


def _check_size(root: yaml.Node, origin: str) -> None:
    """Refuses a document that aliases blow up: ten nested levels of ten make ten billion values."""
    num_nodes = 0
    waiting = [root]
    while waiting:
        node = waiting.pop()
        num_nodes += 1
        if num_nodes > _MAX_NODES:
            raise ConfigError(
                f"an experiment must have at most {_MAX_NODES:,} values, but this one has more",
                where=origin,
                remedy="an alias counts as all that it repeats",
            )
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]


def _collect_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], origin: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _collect_lines(item, (*path, str(index)), lines, origin)
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        key_path = (*path, str(key_node.value))
        key = ".".join(key_path)
        line = key_node.start_mark.line + 1
        if key_path in lines:
            raise ConfigError(
                f"a key may appear only once, but `{key}` is also on line {lines[key_path]}",
                where=f"{origin}:{line} {key}",
                remedy="remove one of the two",
            )
        lines[key_path] = line
        _collect_lines(value_node, key_path, lines, origin)
