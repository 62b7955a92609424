"""How a verb's help is shown: examples from its docstring below its options, flags without type."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_HEADING = "Examples:"


def examples(docstring: str) -> list[str]:
    """The commands below ``Examples:``, the last section of a verb's docstring."""
    _, _, section = docstring.partition(f"{_HEADING}\n")
    return [line.strip() for line in section.splitlines() if line.strip()]


class Verb(TyperCommand):
    """A verb whose docstring ends in examples, a command a line."""

    def __init__(self, *arguments: Any, **options: Any):
        docstring = options.get("help") or ""
        self.examples = examples(docstring)
        options["help"] = docstring.partition(f"{_HEADING}\n")[0].rstrip()
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
