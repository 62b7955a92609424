"""The ``search`` section: which keys vary, how trials are compared, and what they may cost."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from rnnlane.config.section import (
    PositiveFloat,
    PositiveInt,
    Seconds,
    Section,
    ValMetric,
)
from rnnlane.config.yaml_source import parse_yaml
from rnnlane.errors import ConfigError

Distribution = Literal["choice", "uniform", "loguniform", "randint", "steps"]

_ARGUMENTS: dict[Distribution, tuple[str, ...]] = {
    "choice": (),
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "randint": ("low", "high"),
    "steps": ("low", "high", "step"),
}
_MAX_STEPS = 10_000
_EXAMPLES = "a mapping such as {choice: [32, 64]} or a call such as loguniform(1e-4, 1e-2)"

_Finite = Annotated[float, Field(allow_inf_nan=False)]


def same_value(left: Any, right: Any) -> bool:
    """Whether two plain values are equal; unlike with ``==``, 1 and true are not."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def format_value(value: Any) -> str:
    """A plain value as YAML text, as it is written within a call or a list."""
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value)


def _is_plain(text: str) -> bool:
    try:
        return text.isprintable() and bool(parse_yaml(f"[{text}]", origin="")[0] == [text])
    except ConfigError:
        return False


def _quoted(text: str) -> str:
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return dumped.rstrip("\n")


class Variation(Section):
    """How one key varies: exactly one distribution, and the conditions under which it applies."""

    choice: tuple[Any, ...] | None = Field(None, description="One of these values.", min_length=1)
    uniform: tuple[_Finite, _Finite] | None = Field(None, description="[low, high], uniform.")
    loguniform: tuple[_Finite, _Finite] | None = Field(
        None, description="[low, high], uniform on a logarithmic scale; low > 0."
    )
    randint: tuple[int, int] | None = Field(
        None, description="[low, high], whole numbers, both ends included."
    )
    steps: tuple[_Finite, _Finite, _Finite] | None = Field(
        None, description="[low, high, step]: low, low + step, ... up to high."
    )
    when: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="The key varies only in trials where each of these keys has one of these "
        "values; in others it keeps the experiment's own value.",
    )

    @field_validator("uniform", "loguniform", "randint", "steps", mode="before")
    @classmethod
    def _has_its_arguments(cls, value: Any, info: Any) -> Any:
        names = _ARGUMENTS[info.field_name]
        if isinstance(value, list | tuple) and len(value) != len(names):
            raise ValueError(
                f"{info.field_name} takes ({', '.join(names)}), but got {_call('', value)}"
            )
        return value

    @field_validator("choice")
    @classmethod
    def _choices_differ(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        _check_distinct(value or ())
        return value

    @field_validator("when")
    @classmethod
    def _conditions_are_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for allowed in value.values():
            _check_scalars(allowed)
        return value

    @model_validator(mode="after")
    def _has_one_possible_distribution(self) -> Self:
        given = [name for name in _ARGUMENTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of {', '.join(_ARGUMENTS)} must be given, "
                f"but got {' and '.join(given) or 'none'}"
            )
        if self.choice is None:
            self._check_range(*self.arguments)
        return self

    def _check_range(self, low: float, high: float, step: float = 1) -> None:
        if self.loguniform is not None and low <= 0:
            raise ValueError(f"low > 0 must hold, but got (low={_number(low)})")
        if low > high:
            raise ValueError(
                f"low <= high must hold, but got (low={_number(low)}, high={_number(high)})"
            )
        if step <= 0:
            raise ValueError(f"step > 0 must hold, but got (step={_number(step)})")
        if self.steps is not None and (high - low) / step >= _MAX_STEPS:
            raise ValueError(
                f"steps must give at most {_MAX_STEPS:,} values, "
                f"but got {self}; take a larger step or uniform"
            )

    @property
    def distribution(self) -> Distribution:
        """The name of its distribution."""
        return next(name for name in _ARGUMENTS if getattr(self, name) is not None)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The choices, or low and high, and for steps the step."""
        arguments: tuple[Any, ...] = getattr(self, self.distribution)
        return arguments

    @property
    def is_continuous(self) -> bool:
        """Whether it samples from a range of real numbers rather than from listed values."""
        if self.distribution not in {"uniform", "loguniform"}:
            return False
        low, high = self.arguments
        return bool(low < high)

    @property
    def values(self) -> Sequence[Any]:
        """All its values, in order; whole numbers are ints. Not for a continuous distribution."""
        assert not self.is_continuous
        if self.choice is not None:
            return self.choice
        low, high, *rest = self.arguments
        step = rest[0] if rest else 1
        if all(float(number).is_integer() for number in (low, high, step)):
            return range(int(low), int(high) + 1, int(step))
        # Decimals, because 0.1 + 2 x 0.1 must give 0.3 as written, not 0.30000000000000004.
        start, end, stride = (Decimal(repr(number)) for number in (low, high, step))
        return tuple(float(start + n * stride) for n in range(int((end - start) // stride) + 1))

    def can_be(self, value: Any) -> bool:
        """Whether a sample can equal ``value``; False for every continuous distribution."""
        if self.is_continuous:
            return False
        values = self.values
        if not isinstance(values, range):
            return any(same_value(value, item) for item in values)
        # For a float, `in` would iterate over the whole range.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and float(value).is_integer() and int(value) in values

    def __str__(self) -> str:
        """The call notation, followed by the conditions."""
        text = _call(self.distribution, self.arguments)
        conditions = [f"{key} in {_call('', allowed)}" for key, allowed in self.when.items()]
        return f"{text} when {' and '.join(conditions)}" if conditions else text


def _check_distinct(choices: Sequence[Any]) -> None:
    _check_scalars(choices)
    for index, item in enumerate(choices):
        if any(same_value(item, earlier) for earlier in choices[:index]):
            raise ValueError(f"choices must differ, but got {format_value(item)} twice")


def _check_scalars(values: Sequence[Any]) -> None:
    for value in values:
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise ValueError(
                f"a value must be null, true, false, a number or text, but got {value!r}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"a number must be finite, but got {value}")


def _call(name: str, arguments: Sequence[Any]) -> str:
    show = format_value if name in {"choice", ""} else _number
    return f"{name}({', '.join(show(argument) for argument in arguments)})"


def _number(value: float) -> str:
    return repr(int(value)) if abs(value) < 1e15 and float(value).is_integer() else repr(value)


def _from_call(value: Any) -> Any:
    """``loguniform(1e-4, 1e-2)`` -> ``{"loguniform": [1e-4, 1e-2]}``; a mapping is unchanged."""
    if isinstance(value, Mapping | Variation):
        return value
    match = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", value, re.S) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"the distribution of a key must be {_EXAMPLES}, but got {value!r}")
    name, text = match.groups()
    if name not in _ARGUMENTS:
        raise ValueError(f"unknown distribution `{name}`; known: {', '.join(_ARGUMENTS)}")
    try:
        arguments, _ = parse_yaml(f"[{text}]", origin=name)
    except ConfigError:
        raise ValueError(
            f"the arguments of a call must be values separated by commas, but got {value!r}"
        ) from None
    return {name: arguments}


# The varied keys by dotted name.
Space = dict[
    str,
    Annotated[Variation, BeforeValidator(_from_call, json_schema_input_type=str | Variation)],
]


class AblationConfig(Section):
    """The winner of a search with one setting changed, over several training seeds."""

    keys: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        {"training.clip": ("none", 0.25, 1, 4), "model.num_layers": (1, 2, 3)},
        description="The values that take the place of the winner's, by dotted key; those that it "
        "has are left out. `training.clip` may be none or multiples of the mean gradient norm, as "
        "training.clip.of_mean. Keys of data and text may not be named.",
        min_length=1,
    )
    seeds: int = Field(
        3,
        ge=2,
        description="Training seeds of the winner and of each alternative: the same ones, and none "
        "by which the winner was chosen. An interval from 3 is wide; 5 halve it.",
    )

    @field_validator("keys")
    @classmethod
    def _alternatives_differ(cls, value: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for alternatives in value.values():
            _check_distinct(alternatives)
        return value


class SearchConfig(Section):
    """What `rnnlane tune` varies, how it samples trials, and how much it may spend."""

    space: Space = Field(
        description="The distribution of each varied key, by its dotted name, such as "
        "`model.hidden_size: {choice: [32, 64]}` or `training.learning_rate: "
        "loguniform(1e-4, 1e-2)`.",
        min_length=1,
    )
    algorithm: Literal["grid", "random", "optuna"] = Field(
        "optuna", description="grid: every combination. optuna: TPE, which learns from trials."
    )
    scheduler: Literal["none", "asha", "median"] = Field(
        "asha",
        description="Which trials are cut short: those outside the best 1/reduction_factor at "
        "epochs grace_epochs, grace_epochs x reduction_factor, ... (asha), or those below the "
        "median of the others (median).",
    )
    grace_epochs: PositiveInt = Field(1, description="Epochs that every trial gets.")
    reduction_factor: int = Field(
        2, ge=2, description="For asha: one in this many trials continues."
    )
    metric: ValMetric | None = Field(
        None, description="The metric that trials are compared by; default: training.metric."
    )
    mode: Literal["min", "max"] | None = Field(
        None, description="The better direction; default: min for a loss, else max."
    )
    num_trials: PositiveInt = Field(20, description="Trials in all; at most one for each setting.")
    time_budget_s: Seconds | None = Field(
        None, description="Seconds after which running trials are cut, over all attempts."
    )
    max_epochs: PositiveInt | None = Field(
        None, description="Epochs of a trial that is not cut short; default: training.epochs."
    )
    workers_per_trial: PositiveInt = Field(
        1,
        description="DDP workers of each trial; with 1, trials reuse processes. "
        "runtime.num_workers applies to `rnnlane train` only.",
    )
    cpus_per_worker: PositiveFloat = Field(
        1.0, description="CPUs that Ray reserves for each worker."
    )
    gpus_per_worker: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="Share of a GPU that each worker gets, from 0 to 1; 0.25 puts four trials on "
        "one GPU, each with a quarter of its memory. Default: by runtime.device.",
    )
    max_concurrent: PositiveInt | None = Field(
        None, description="Trials at once; default: as many as fit."
    )
    max_retries: int = Field(
        3, ge=0, description="Times that a failed trial is retried from its checkpoint."
    )
    finalists: PositiveInt = Field(
        3, description="Number of best trials to train again with other seeds, if repeats > 1."
    )
    repeats: PositiveInt = Field(
        1, description="Seeds that each finalist is trained with, its first included."
    )
    ablation: AblationConfig | None = Field(
        None,
        description="Afterwards, train the winner again with one setting changed at a time: the "
        "evidence for the clip value and the number of layers, and what best.yaml follows. {}: "
        "with the defaults. null: not.",
    )

    @model_validator(mode="after")
    def _workers_of_a_trial_have_whole_gpus(self) -> Self:
        workers, gpus = self.workers_per_trial, self.gpus_per_worker or 0.0
        if workers > 1 and 0.0 < gpus < 1.0:
            raise ValueError(
                "gpus_per_worker must be 0 or 1 where workers_per_trial is above 1, as NCCL takes "
                f"one process for each GPU, but got ({gpus:g}, {workers})"
            )
        return self


def natural_mode(metric: str) -> Literal["min", "max"]:
    """Whether a smaller or a larger value of a metric is better."""
    return "min" if metric.endswith("loss") else "max"
