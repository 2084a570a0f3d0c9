"""plan.json: what a cache is to hold, written first. manifest.json: what it holds, written last."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cache.chunks import FLOOR
from cache.differences import differences
from cache.errors import AGAIN, KeyReIDError
from cache.files import write_whole
from cache.shard import SCHEMA

PLAN, MANIFEST = "plan.json", "manifest.json"
IMPORTED = "imported"  # the estimator of poses that were made elsewhere
COCO_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


@dataclass(frozen=True)
class ShardEntry:
    """One shard of a plan (bytes and sha256 unknown: 0 and "") or of a manifest."""

    file: str
    rows: int
    frames_sha256: str
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a cache is. `parts` are what the fingerprint is made of, so that a difference has a name."""

    estimator: str
    weights_sha256: str
    parts: Mapping[str, object]
    shards: tuple[ShardEntry, ...]
    packages: Mapping[str, str] = field(default_factory=dict)
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
    def frames(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(shard.bytes for shard in self.shards)

    def finished(self, shards: list[ShardEntry], created: str) -> "Manifest":
        """The manifest of this plan, once every shard is written."""
        return replace(self, shards=tuple(shards), created=created)

    def plan(self) -> "Manifest":
        """The plan that this was, before any shard was written."""
        shards = tuple(replace(shard, bytes=0, sha256="") for shard in self.shards)
        return replace(self, shards=shards, created="")

    @property
    def command(self) -> str:
        """The command that makes such a cache."""
        return "import-poses" if self.estimator == IMPORTED else "extract-poses"

    def save(self, path: Path) -> None:
        record = {**asdict(self), "fingerprint": self.fingerprint}
        record["digest"] = fingerprint(record)  # of all of it, so that no edit goes unseen
        write_whole(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())

    def differences(self, other: "Manifest") -> list[str]:
        """What differs between two fingerprints, or else anywhere, one phrase each: name, here, there."""
        return differences(self.parts, other.parts) or differences(asdict(self), asdict(other))


def fingerprint(parts: Mapping[str, object]) -> str:
    """SHA-256 (hex) of named JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def load_manifest(path: Path) -> Manifest:
    """Read plan.json or manifest.json. Raises KeyReIDError where missing, damaged or of another version."""
    try:
        record = json.loads(path.read_bytes())
        digest, computed = record.pop("digest", None), fingerprint(record)
        stated = record.pop("fingerprint")
        shards = tuple(ShardEntry(**entry) for entry in record.pop("shards"))
        if record["schema"] != SCHEMA:
            raise KeyReIDError(f"{path} has schema {record['schema']}, not {SCHEMA}; extract the poses again")
        for key in ("joint_names", "zeroed", "input_size"):
            record[key] = None if record[key] is None else tuple(record[key])
        manifest = Manifest(shards=shards, **record)
    except FileNotFoundError as error:
        raise KeyReIDError(f"{path} does not exist; run keyreid extract-poses") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyReIDError(f"{path} is damaged ({error}); {AGAIN}") from error
    if stated != manifest.fingerprint or digest != computed:
        raise KeyReIDError(f"{path} is damaged (it is not what its digest says); {AGAIN}")
    return manifest
