"""The base of every typed config section, and a type that several of them use."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A config section: unknown keys are errors, values are checked and then fixed, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _with_offset(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(
            "a clock time without its offset from UTC; expected one like 2026-11-26T08:00:00+01:00"
        )
    return value


ClockTime = Annotated[datetime, AfterValidator(_with_offset)]
