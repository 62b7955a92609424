"""YAML text -> plain values, and the line of each dotted key."""

from __future__ import annotations

import re
from typing import Any

import yaml

from rnnlane.errors import ConfigError, first_line

KeyPath = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 scalars and without duplicate keys.

    PyYAML follows YAML 1.1, where ``off`` is a boolean and ``1e-3`` is a string; both would
    surprise the author of an experiment.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
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
        _collect_lines(node, (), lines, origin)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}:{mark.line + 1}" if mark else origin
        raise ConfigError(
            f"not valid YAML: {error.problem or error.context}",
            where=where,
            remedy="correct the syntax; `rnnlane schema` lists the keys",
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"not valid YAML: {first_line(error)}", where=origin) from None
    finally:
        if loader is not None:
            loader.dispose()


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
