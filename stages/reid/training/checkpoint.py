"""Training states on disk: written whole or not at all, checked before they are trusted."""

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any, BinaryIO

import torch

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import writing
from cache.text_files import load_record

log = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"  # their folder in a run folder
_NAME = re.compile(r"state-(\d{8})\.pt")


def step_of(path: Path) -> int:
    """The step after which a state was saved, by its name."""
    return int(_NAME.fullmatch(path.name)[1])


class _HashingWriter:
    """A binary file that knows the SHA-256 and the length of what went through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self.bytes += len(memoryview(data).cast("B"))
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class CheckpointFolder:
    """`state-<step>.pt`, tensors and plain types only, each with a JSON beside it that is written last.

    A state counts only if its JSON is there and agrees in length and SHA-256.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, state: dict[str, Any], about: dict[str, Any]) -> Path | None:
        """Write a state. None, with a warning, where the disk refuses; earlier states are kept then."""
        path = self.folder / f"state-{step:08d}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Both are written before either gets its name; the JSON gets it last.
            with writing(path.with_suffix(".json")) as part_json, writing(path) as part:
                with part.open("wb") as file:
                    writer = _HashingWriter(file)
                    torch.save(state, writer)
                record = {"step": step, "bytes": writer.bytes, "sha256": writer.sha256, **about}
                part_json.write_text(json.dumps(record, indent=1))
        except (KeyReIDError, OSError, RuntimeError) as error:  # torch.save wraps some in RuntimeError
            log.warning("%s could not be written (%s); earlier checkpoints are kept", path, error)
            return None
        return path

    def states(self) -> list[Path]:
        """States, newest first, complete or not."""
        paths = [p for p in self.folder.glob("state-*.pt") if _NAME.fullmatch(p.name)]
        return sorted(paths, reverse=True)

    def newest(self) -> Path | None:
        """The newest complete state; broken ones are skipped with a warning that names them."""
        for path in self.states():
            problem = self.problem(path)
            if problem is None:
                return path
            log.warning("%s is skipped: %s", path, problem)
        return None

    def unfinished(self, path: Path) -> bool:
        """Whether a state was stopped between its two renames, so that it never counted."""
        return not path.with_suffix(".json").exists()

    def problem(self, path: Path, thorough: bool = True) -> str | None:
        """What is wrong with a state, or None. Not thorough: its contents are not read."""
        if self.unfinished(path):
            return "its .json is missing, so it was not finished"
        record = load_record(path.with_suffix(".json"))
        if not {"bytes", "sha256"} <= record.keys():
            return "its .json is damaged"
        size, digest = record["bytes"], record["sha256"]
        if path.stat().st_size != size:
            return f"{path.stat().st_size} bytes, expected {size}"
        if not thorough:
            return None
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return "its contents do not match their SHA-256"
        return None

    def load(self, path: Path) -> dict[str, Any]:
        """A state's contents, on the CPU. Reads tensors and plain types only, never code."""
        with reading(path, "a readable training state", "remove it and resume again"):
            return torch.load(path, map_location="cpu", weights_only=True)

    def prune(self, best_step: int | None = None) -> None:
        """Remove all but the newest `keep` states and the best. Broken ones count for nothing.

        What a kill left half-written goes, too: no other process writes here.
        """
        for part in self.folder.glob("state-*.tmp"):
            part.unlink(missing_ok=True)
        complete = [path for path in self.states() if self.problem(path, thorough=False) is None]
        kept = {*complete[: self.keep], self.folder / f"state-{best_step or 0:08d}.pt"}
        for path in self.states() if complete else ():
            if path not in kept:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
