"""plan.json: what a cache will hold, written first. manifest.json: what it holds, written last."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cache.border import reading
from cache.chunks import FLOOR
from cache.differences import differences
from cache.errors import AGAIN, KeyReIDError
from cache.files import read_regular, write_whole
from cache.shard import SCHEMA, shard_name

PLAN, MANIFEST = "plan.json", "manifest.json"
MOST = 2**28  # bytes of either; MARS needs 200 kB
IMPORTED = "imported"  # estimator name of imported poses
COCO_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


@dataclass(frozen=True)
class ShardEntry:
    """One shard of a plan (bytes and sha256 unknown: 0 and "") or of a manifest."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    file: str
    rows: Annotated[int, Field(ge=0)]
    frames_sha256: str
    bytes: Annotated[int, Field(ge=0)] = 0
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


class _FramesPart(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    names: str = ""
    content: str = ""
    unreadable: list[Annotated[int, Field(ge=0)]] = []


class _Parts(BaseModel):
    """Inputs of the fingerprint that are read back; there may be others, and a writer may leave some out."""

    model_config = ConfigDict(extra="ignore", strict=True)

    frames: _FramesPart | str = ""  # earlier writers kept a digest alone
    network: str = ""
    settings: dict[str, Any] = {}
    part: dict[str, Any] = {}


@dataclass(frozen=True)
class Manifest:
    """Description of a cache. `parts`: inputs of the fingerprint, so that a difference can be named."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    estimator: str
    weights_sha256: str
    parts: dict[str, Any]
    shards: tuple[ShardEntry, ...]
    packages: dict[str, str] = field(default_factory=dict)
    input_size: tuple[int, int] | None = None  # of the network, width and height
    joint_names: tuple[str, ...] = COCO_JOINTS
    floor: float = FLOOR
    zeroed: tuple[str, ...] = ()  # unreadable frames that were given zero heat on request
    created: str = ""
    schema: int = SCHEMA

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.parts)

    @property
    def about_frames(self) -> dict[str, Any]:
        """What the cache says of its frames; nothing where an earlier writer kept a digest alone."""
        about = self.parts.get("frames", {})
        return {} if isinstance(about, str) else about

    @property
    def frames(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(shard.bytes for shard in self.shards)

    def finished(self, shards: list[ShardEntry], created: str) -> "Manifest":
        """The manifest of this plan, once every shard is written."""
        return replace(self, shards=tuple(shards), created=created)

    def plan(self) -> "Manifest":
        """The plan of this manifest, as it was before any shard was written."""
        shards = tuple(replace(shard, bytes=0, sha256="") for shard in self.shards)
        return replace(self, shards=shards, created="")

    def without_shards(self) -> "Manifest":
        """All but the list of shards, as a worker needs it."""
        return replace(self, shards=())

    @property
    def command(self) -> str:
        """The command that makes this kind of cache."""
        return "import-poses" if self.estimator == IMPORTED else "extract-poses"

    def encoded(self) -> bytes:
        """The content of its file."""
        record = {**asdict(self), "fingerprint": self.fingerprint}
        record["digest"] = fingerprint(record)  # over everything, so that no edit goes unnoticed
        return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()

    def save(self, path: Path) -> None:
        write_whole(path, self.encoded())

    def differences(self, other: "Manifest") -> list[str]:
        """Differences of what the fingerprint is made of, or else of anything: "name: here -> there"."""
        return differences(self.parts, other.parts) or differences(asdict(self), asdict(other))


def fingerprint(parts: Mapping[str, object]) -> str:
    """SHA-256 (hex) of named JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


_MANIFEST = TypeAdapter(Manifest)


class SchemaError(KeyReIDError):
    """A record of a cache that another version of this program wrote."""


def load_manifest(path: Path) -> Manifest:
    """Read plan.json or manifest.json. Raises KeyReIDError where missing or damaged, SchemaError where it is
    of another version."""
    with reading(path, "a whole record of a pose cache", AGAIN, missing="run keyreid extract-poses"):
        record = json.loads(read_regular(path, MOST))
        if record["schema"] != SCHEMA:
            raise SchemaError(
                f"{path} has schema {record['schema']!r}, this program reads {SCHEMA}; use the version of "
                "keyreid that wrote it, or choose another --cache folder"
            )
        digest, computed = record.pop("digest", None), fingerprint(record)
        stated = record.pop("fingerprint")
        manifest = _MANIFEST.validate_json(json.dumps(record))
        _Parts.model_validate(manifest.parts)
        if stated != manifest.fingerprint or digest != computed:
            raise ValueError("its digest does not match")
        if [entry.file for entry in manifest.shards] != [shard_name(n) for n in range(len(manifest.shards))]:
            raise ValueError(f"shards are not named {shard_name(0)} and so on")
        return manifest
