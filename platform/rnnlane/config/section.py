"""The base class and the value types of the sections of an experiment."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
ValMetric = Literal["val/loss", "val/accuracy", "val/macro_f1", "val/roc_auc"]

_SECRET_OPTION = re.compile(r"secret|passw|token|key|credential|sig(nature)?$", re.IGNORECASE)


def _without_credentials(address: str) -> str:
    # A secret may contain slashes, so the whole path is searched; options may be URIs themselves.
    names = [option.partition("=")[0] for option in address.partition("?")[2].split("&")]
    is_uri = "://" in address
    if is_uri and ("@" in address or any(_SECRET_OPTION.search(name) for name in names)):
        raise ValueError(
            "an address may not hold credentials, because it is logged; "
            "give them in the environment, such as AWS_ACCESS_KEY_ID"
        )
    return address


Location = Annotated[str, AfterValidator(_without_credentials)]


class Section(BaseModel):
    """A frozen part of an experiment; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
