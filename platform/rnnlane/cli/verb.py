"""How a verb's help is shown: examples from its docstring below its options, flags without type."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

_EXAMPLES = re.compile(r"\n\s*Examples?:(.*)\Z", re.DOTALL)


def split_docstring(docstring: str) -> tuple[str, list[str]]:
    """A verb's description, and the commands of its last section ``Examples:``, one a line."""
    match = _EXAMPLES.search(docstring)
    if match is None:
        return docstring, []
    lines = [line.strip() for line in match[1].splitlines() if line.strip()]
    return docstring[: match.start()].rstrip(), lines


class Verb(TyperCommand):
    """A verb whose docstring ends in examples, a command a line."""

    def __init__(self, *arguments: Any, **options: Any):
        options["help"], self.examples = split_docstring(options.get("help") or "")
        super().__init__(*arguments, **options)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; flags say nothing about their type."""
        return _without_types(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, then the examples as they are, so that they can be copied."""
        super().format_help(ctx, formatter)
        if self.examples:
            formatter.write("\n".join(["Examples:", *(f"  {line}" for line in self.examples), ""]))


class VerbGroup(TyperGroup):
    """Verbs under one name."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See :meth:`Verb.get_params`."""
        return _without_types(super().get_params(ctx))


def _without_types(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params
