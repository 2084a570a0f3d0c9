"""Track files in MOTChallenge format: parsed line by line into flat arrays, every fault named by its line.

    frame, id, left, top, width, height [, confidence [, class [, visibility]]]      ground truth ("gt")
    frame, id, left, top, width, height, confidence, -1, -1, -1                      trackers and "det"

Commas or blanks in between. Numbers of frames begin at 1 (or what the user says). In a row of nine columns,
the seventh is the ground truth's flag: 0 means "ignore". An id of -1 is a detection that no tracker linked.
"""

import math
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError
from stages.tracks.config import CutConfig

_MAX_LINE = 4096  # bytes; a line of a track file has under 200
_LARGEST = 2**53  # whole numbers beyond are not exact in the floating point some trackers write
_FAR = 1e6  # pixels; no frame is as large
_COLUMNS = ("frame", "id", "left", "top", "width", "height", "confidence", "class")
_GROUND_TRUTH = 9


@dataclass
class Boxes:
    """One row per used box, in the order of the file; 36 bytes each.

    frame: int32. track: int64. box: int32 [N, 4], left, top, right, bottom in px, the last two not
    included, neither padded nor clipped. line: int64, 1-based. left_out: why rows were not used, how many.
    """

    frame: np.ndarray
    track: np.ndarray
    box: np.ndarray
    line: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)


def read_boxes(path: Path, config: CutConfig) -> Boxes:
    """Read a track file; filters of `config` applied. Raises KeyReIDError naming the first bad line."""
    frames, tracks, corners, lines = array("i"), array("q"), array("i"), array("q")
    left_out: dict[str, int] = {}
    number = 0
    with reading(path, remedy="expected a track file"), path.open("rb") as file:
        while raw := file.readline(_MAX_LINE):
            number += 1
            if len(raw) == _MAX_LINE and not raw.endswith(b"\n"):
                raise _bad(path, number, f"is longer than {_MAX_LINE} bytes")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if not (raw := raw.strip()):
                continue
            values = _parse(path, number, raw)
            reason = _no_box(values)
            if reason and config.strict:
                raise _bad(path, number, f"is a row {reason}, and --strict stops there", raw)
            reason = reason or _unused(path, number, values, config)
            if reason:
                left_out[reason] = left_out.get(reason, 0) + 1
                continue
            frames.append(int(values[0]))
            tracks.append(int(values[1]))
            left, top, width, height = values[2:6]
            corners.extend((round(left), round(top), round(left + width), round(top + height)))
            lines.append(number)
    if not frames:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise KeyReIDError(
            f"{path}: no box can be used ({why or 'it is empty'}); expected rows of "
            f"{','.join(_COLUMNS[:7])} from a tracker"
        )
    boxes = Boxes(
        np.frombuffer(frames, np.int32),
        np.frombuffer(tracks, np.int64),
        np.frombuffer(corners, np.int32).reshape(-1, 4),
        np.frombuffer(lines, np.int64),
        left_out,
    )
    # a track has one box in a frame
    order = np.lexsort((boxes.frame, boxes.track))
    frame, track = boxes.frame[order], boxes.track[order]
    same = (frame[1:] == frame[:-1]) & (track[1:] == track[:-1])
    if same.any():
        at = int(np.argmax(same))
        first, second = sorted(boxes.line[order[[at, at + 1]]].tolist())
        raise KeyReIDError(
            f"{path}, line {second}: track {track[at]} has a second box in frame {frame[at]}, the first is "
            f"in line {first}; expected one"
        )
    return boxes


def _parse(path: Path, number: int, raw: bytes) -> list[float]:
    """The numbers of a line, checked column by column."""
    texts = raw.split(b",") if b"," in raw else raw.split()
    if not 6 <= len(texts) <= 10:
        raise _bad(path, number, f"has {len(texts)} columns", raw)
    values = []
    for column, text in enumerate(texts[:8]):
        name = _COLUMNS[column]
        try:
            value = float(text)
        except ValueError:
            value = None
        if value is None or b"_" in text or (column in (0, 1) and not math.isfinite(value)):
            raise _bad(path, number, f"has the {name} {_shown(text.strip())}, no finite number")
        if column in (0, 1) and (value != int(value) or abs(value) > _LARGEST):
            raise _bad(path, number, f"has the {name} {_shown(text)}, no whole number up to 2^53")
        values.append(value)
    if len(texts) == _GROUND_TRUTH:
        values.append(float(_GROUND_TRUTH))  # only its presence counts
    return values


def _no_box(values: list[float]) -> str | None:
    """Why a row's box, confidence or class cannot be used; None: it can."""
    left, top, width, height = values[2:6]
    if not all(map(math.isfinite, values)):
        return "without a finite box, confidence or class"
    if width <= 0 or height <= 0:
        return "with a box of no width or height"
    if max(abs(left), abs(top), width, height) > _FAR:
        return "with a box beyond any picture"
    return None


def _unused(path: Path, number: int, values: list[float], config: CutConfig) -> str | None:
    """Why a row is left out, or None. Raises KeyReIDError where a filter needs a column that is not there."""
    frame = values[0]
    if config.last_frame is not None and frame > config.last_frame:
        return "after the last frame asked for"
    if not config.first_frame <= frame < 2**31:
        raise _bad(
            path,
            number,
            f"has the frame {frame:.0f}, but frames are counted from {config.first_frame} (--first-frame)",
        )
    if values[1] < 0:
        return "without a track id (-1: detections that no tracker linked)"
    if config.classes:
        if len(values) < 8:
            raise _bad(path, number, "has no class (column 8), which --class needs")
        if values[7] not in config.classes:
            return "of another class"
    if config.min_confidence is not None:
        if len(values) < 7:
            raise _bad(path, number, "has no confidence (column 7), which --min-confidence needs")
        if values[6] < config.min_confidence:
            return "below the confidence asked for"
    elif len(values) == _GROUND_TRUTH and values[6] == 0:
        return "flagged 0 (ignore) in the ground truth"
    return None


def _shown(text: bytes) -> str:
    return ascii(text[:40].decode("ascii", "replace"))


def _bad(path: Path, number: int, problem: str, raw: bytes | None = None) -> KeyReIDError:
    shown = "" if raw is None else f" ({_shown(raw)})"
    return KeyReIDError(
        f"{path}, line {number}{shown}: {problem}; expected {','.join(_COLUMNS[:6])}[,confidence[,class]]"
    )
