"""gallery.json: the index of a gallery folder, and what it says of each part."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import AwareDatetime, Field

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import read_regular
from stages.config import StrictModel
from stages.reid.scoring.embeddings import Embeddings

INDEX = "gallery.json"
SCHEMA = 1
MOST = 2**26  # bytes of gallery.json
OWNER = "gallery"
PART = re.compile(r"part-[0-9a-f]{16}\.h5")


class Part(StrictModel):
    """What the index says of a part. times: of tracklets with a clock time, [first start, last end]."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    tracklets: int = Field(ge=1)
    cameras: tuple[str, ...]
    times: tuple[AwareDatetime, AwareDatetime] | None
    untimed: int = Field(ge=0, description="tracklets without a clock time")
    dataset: str
    root: str
    poses: str | None = Field(description="pose cache")
    pose_network: str = Field(description="SHA-256 of its weights")
    created: AwareDatetime = Field(description="when it was embedded")
    device: dict[str, str] = Field({}, description="kind of device and precision that embedded it")

    @property
    def name(self) -> str:
        """What rows of this part say in `Embeddings.part`."""
        return f"part-{self.sha256[:16]}"

    @property
    def file(self) -> str:
        """Name of its file in the gallery folder."""
        return part_file(self.sha256)


class ShareOf(StrictModel):
    """Which job's gallery this is, of several over one data set: whole when that is there."""

    number: int = Field(ge=1)
    of: int = Field(ge=1)
    whole: str = Field(description="what the jobs have in common")


class Index(StrictModel):
    """gallery.json: the network that made all parts, and the parts in the order in which they came."""

    keyreid: Literal["gallery"] = OWNER
    schema_version: Literal[1] = Field(SCHEMA, alias="schema")
    checkpoint: str = Field(pattern="^[0-9a-f]{64}$")
    checkpoint_path: str
    width: int = Field(ge=1, description="numbers of an embedding")
    distance: str
    camera: str = Field(description="given, or unknown to the network")
    share: ShareOf | None = None
    parts: tuple[Part, ...] = ()

    @property
    def tracklets(self) -> int:
        """How many all parts have."""
        return sum(part.tracklets for part in self.parts)

    def names(self) -> set[str]:
        """Names of all parts."""
        return {part.name for part in self.parts}


def part_file(sha256: str) -> str:
    """Name of the file of a part."""
    return f"part-{sha256[:16]}.h5"


def is_part_file(path: Path) -> bool:
    """Whether a file is named like a part."""
    return PART.fullmatch(path.name) is not None


def is_gallery(path: Path) -> bool:
    """Whether a path is a gallery folder."""
    return (path / INDEX).is_file()


def read_index(folder: Path) -> Index:
    """The index of a gallery folder, without its features. Raises KeyReIDError."""
    path = folder / INDEX
    remedy = "damaged, or of another version: embed into a new folder"
    with reading(
        path,
        "the index of a gallery",
        remedy,
        missing="it is not a gallery; keyreid embed --append makes one",
    ):
        return Index.model_validate_json(read_regular(path, MOST))


def run_of(gallery: Path | None) -> Path:
    """The weights file that made a gallery. Raises KeyReIDError where there is none."""
    if gallery is None or not is_gallery(gallery):
        raise KeyReIDError("give --run, a run folder or its .safetensors file; an existing gallery has one")
    path = Path(read_index(gallery).checkpoint_path)
    if not path.is_file():
        raise KeyReIDError(f"{path}: the checkpoint of {gallery} is not there any more; give --run")
    return path


def described(made: Embeddings, sha256: str, size: int, created: datetime) -> Part:
    """What the index says of a part with these embeddings."""
    clock = ~np.isnan(made.zone) if made.zone is not None else np.zeros(len(made), bool)
    times = None
    if clock.any():
        rows = np.flatnonzero(clock)
        first, last = rows[np.argmin(made.start[rows])], rows[np.argmax(made.end[rows])]
        times = (made.when(first)[0], made.when(last)[1])
    poses = made.about["poses"]
    return Part(
        sha256=sha256,
        bytes=size,
        tracklets=len(made),
        cameras=tuple(sorted(set(made.camera_names.tolist()))),
        times=times,
        untimed=int((~clock).sum()),
        dataset=made.about["dataset"],
        root=str(made.root),
        poses=poses.get("path"),
        pose_network=poses["weights_sha256"],
        created=created,
        device=device_of(made.about),
    )


def device_of(about: Mapping[str, Any]) -> dict[str, str]:
    """What kind of device embedded, and with which precision, as a header says; empty: it does not."""
    made_with, precision = about.get("made_with"), about.get("precision")
    if not isinstance(made_with, Mapping) or not isinstance(precision, str):
        return {}
    kept = {name: str(made_with[name]) for name in ("cpu", "gpu", "cudnn", "torch") if name in made_with}
    if "gpu" in kept:
        kept.pop("cpu")
    return kept | {"precision": precision}


def device_note(devices: Iterable[Mapping[str, str]]) -> list[str]:
    """A note where parts were embedded on several kinds of devices, as of `device_of`; else nothing."""
    kinds = {json.dumps(dict(device), sort_keys=True): device for device in devices if device}
    if len(kinds) < 2:
        return []
    said = "; ".join(
        " ".join(f"{name} {value}" for name, value in sorted(kind.items())) for kind in kinds.values()
    )
    return [
        f"parts of the gallery were embedded on {len(kinds)} kinds of devices: {said}; last digits differ"
    ]
