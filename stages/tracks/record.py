"""TAG.track.json: what was made of a video. It says what to replace, and may come with a folder of others."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cache.border import reading
from cache.text_files import load_json
from stages.config import Record

RECORD = ".track.json"  # after the tag
_PLACE = re.compile(r"[^/\\\0.][^/\\\0]*")  # one folder, and none that is hidden or leads elsewhere
Place = Annotated[str, Field(pattern=r"^[^/\\\x00.][^/\\\x00]*(/[^/\\\x00.][^/\\\x00]*){2}$")]
Count = Annotated[int, Field(ge=0)]


class TrackRecord(Record):
    """The fields of a record that are read back; the others are for the user."""

    tag: str
    source: str
    camera: str
    fingerprint: str
    seconds: float
    frames: Count
    tracks: Count
    crops: Count
    damaged_frames: Count
    damage: str | None
    tracklets: dict[Place, Count]


def read_record(path: Path) -> dict[str, Any]:
    """A record as it was written. Raises KeyReIDError where it is damaged."""
    with reading(path, "what keyreid track writes", "remove it to track the video again"):
        content = load_json(path)
        TrackRecord.model_validate(content)
        return content


def is_folder_name(name: object) -> bool:
    """Whether a name is that of a folder right here."""
    return isinstance(name, str) and _PLACE.fullmatch(name) is not None
