"""The base of every typed config section, and a type that several of them use."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class StrictModel(BaseModel):
    """A config section: unknown keys are errors, values are checked and then fixed, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Record(BaseModel):
    """What is read back of a record: values of exactly these types, numbers finite; other keys are left."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


_LIKE = "expected one like 2026-11-26T08:00:00+01:00"


def _no_number(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and ":" not in value):
        # pydantic would take it for seconds since 1970
        raise ValueError(f"{str(value)[:40]!r} is not a clock time; {_LIKE}")
    return value


def _with_offset(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"a clock time without its offset from UTC; {_LIKE}")
    return value


ClockTime = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_with_offset)]
