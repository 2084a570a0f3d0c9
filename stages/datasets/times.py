"""When each tracklet was filmed: tables `*times.tsv` in a data root, a row per tracklet.

tracklet    person/camera/tracklet, relative to the root
camera      its name
first, last frames of the video, as its tracks number them
start, end  clock time (ISO 8601 with its offset from UTC), or seconds where no clock time is known
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from cache.text_files import load_table

TIMES = "times.tsv"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = ("tracklet", "camera", "first", "last", "start", "end")


@dataclass(frozen=True, slots=True)
class Span:
    """Time span as the table has it: clock times or seconds of the video. first, last: frames."""

    start: str
    end: str
    first: int
    last: int


def written(start: datetime | None, seconds: float) -> str:
    """The moment `seconds` after `start`: ISO 8601, or the seconds alone without a start."""
    if start is None:
        return f"{seconds:.3f}"
    return (start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def moment(text: str) -> tuple[bool, float]:
    """(whether it is a clock time, seconds since 1970 or since the beginning of the video).

    Raises ValueError for anything but an ISO 8601 time with its offset from UTC, or a finite number.
    """
    try:
        seconds = float(text)
    except ValueError:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            raise ValueError(f"{text!r} has no offset from UTC, such as +01:00") from None
        if not 1900 <= when.year < 2300:
            raise ValueError(f"{text!r} is not between 1900 and 2299") from None
        return True, when.timestamp()
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is not finite")
    return False, seconds


def zone_of(text: str) -> float:
    """Seconds east of UTC of a clock time; NaN for seconds of a video. Raises ValueError as `moment`."""
    if not moment(text)[0]:
        return math.nan
    return datetime.fromisoformat(text).utcoffset().total_seconds()


def time_text(seconds: float, zone: float) -> str:
    """A moment in words: ISO 8601 where it is a clock time, else 61.5 s; "" where it is not known.

    seconds: since 1970, or of the video, NaN unknown. zone: seconds east of UTC, NaN no clock time.
    """
    if math.isnan(seconds):
        return ""
    if math.isnan(zone):
        return f"{seconds:.1f} s"
    place = timezone(timedelta(seconds=zone))
    return (EPOCH + timedelta(seconds=seconds)).astimezone(place).isoformat(timespec="seconds")


def span_text(start: float, end: float, zone: float) -> str:
    """Time span, short: 2026-11-26 08:00:00-08:00:12 +01:00, or 61.5-70.2 s; "" where not known.

    Arguments as of `time_text`.
    """
    if math.isnan(start) or math.isnan(end):
        return ""
    if math.isnan(zone):
        return f"{start:.1f}-{end:.1f} s"
    first, last = (time_text(seconds, zone) for seconds in (start, end))
    day, clock, offset = first[:10], first[11:19], first[19:]
    until = last[11:19] if last[:10] == day else f"{last[:10]} {last[11:19]}"
    return f"{day} {clock}-{until} {offset}"


def write_times(path: Path, rows: Iterable[tuple]) -> None:
    """Write a table; rows in the order of COLUMNS."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)


def read_times(root: Path) -> dict[str, Span]:
    """The spans of all tables in `root`, by tracklet. Raises KeyReIDError naming file and line."""
    spans: dict[str, Span] = {}
    for path in sorted(root.glob(f"*{TIMES}")):
        columns = ", ".join(COLUMNS)
        expected = f"expected the columns {columns}, start and end as 2026-11-26T08:00:00+01:00 or in seconds"
        spans |= load_table(path, _span, ("tracklet", "start", "end", "first", "last"), expected, "\t")
    return spans


def _span(row: dict[str, str]) -> tuple[str, Span]:
    span = Span(row["start"], row["end"], int(row["first"]), int(row["last"]))
    start, end = moment(span.start), moment(span.end)
    if start[0] != end[0] or start > end:
        raise ValueError(f"start {span.start} is not before end {span.end}")
    if not 0 <= span.first <= span.last < 2**63:
        raise ValueError(f"frames {span.first} to {span.last}; expected first, then last")
    return row["tracklet"], span
