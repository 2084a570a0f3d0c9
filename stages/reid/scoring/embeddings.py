"""The embeddings of a test set, and the file that holds them (.npz, no pickled objects)."""

import json
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from cache.files import writing

SCHEMA = 1


@dataclass(frozen=True)
class Embeddings:
    """One row per tracklet.

    features:   float32 [N, F]; the first `global_width` columns are the global feature, the rest `parts`
                blocks of equal width.
    names:      [N] names of tracklets, unique. persons: int64 [N]. cameras: int64 [N], -1 unknown.
    visibility: float32 [N, parts] in [0, 1], mean over frames of a part's highest heat, or None.
    query, gallery: int64, rows that are queries, rows that may be ranked.
    about:      dataset, split, checkpoint and whatever else made them; plain JSON values.
    """

    features: np.ndarray
    names: np.ndarray
    persons: np.ndarray
    cameras: np.ndarray
    query: np.ndarray
    gallery: np.ndarray
    visibility: np.ndarray | None = None
    parts: int = 0
    global_width: int = 0
    about: dict = field(default_factory=dict)

    @property
    def part_width(self) -> int:
        """Columns of one part's block."""
        return (self.features.shape[1] - self.global_width) // self.parts if self.parts else 0

    def check(self, where: str = "embeddings") -> None:
        """Raises KeyReIDError where shapes disagree, values are not finite or rows do not exist."""
        count = len(self.features)
        for name in ("names", "persons", "cameras"):
            values = getattr(self, name)
            if values.shape != (count,):
                raise KeyReIDError(f"{where}: {name} has shape {values.shape}; expected ({count},)")
        if self.features.ndim != 2 or not self.features.size:
            raise KeyReIDError(f"{where}: features have shape {self.features.shape}; expected [N, width]")
        bad = ~np.isfinite(self.features).all(1)
        if bad.any():
            name = self.names[int(np.argmax(bad))]
            raise KeyReIDError(
                f"{where}: {int(bad.sum())} embeddings are not finite, first {name}; check the checkpoint"
            )
        if self.visibility is not None and self.visibility.shape != (count, self.parts):
            shape = self.visibility.shape
            raise KeyReIDError(f"{where}: visibility has shape {shape}; expected {count, self.parts}")
        if self.parts and self.global_width + self.parts * self.part_width != self.features.shape[1]:
            raise KeyReIDError(
                f"{where}: {self.features.shape[1]} columns; expected {self.global_width} and "
                f"{self.parts} parts of equal width"
            )
        for name in ("query", "gallery"):
            rows = getattr(self, name)
            if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= count:
                raise KeyReIDError(f"{where}: {name} does not name rows of the {count} embeddings")

    def save(self, path: Path) -> Path:
        """Write the file whole or not at all. Raises KeyReIDError where it cannot be written."""
        header = {"schema": SCHEMA} | {k: getattr(self, k) for k in ("parts", "global_width", "about")}
        arrays = {
            name.name: getattr(self, name.name)
            for name in fields(self)
            if isinstance(getattr(self, name.name), np.ndarray)
        }
        arrays["header"] = np.array(json.dumps(header))
        # numpy.savez does not close its archive where the disk is full, and complains of it later
        with writing(path, self.features.nbytes) as aside, zipfile.ZipFile(aside, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        return path

    @classmethod
    def load(cls, path: Path | str) -> "Embeddings":
        """Read and check a file written by `save`. Raises KeyReIDError for anything else."""
        path = Path(path)
        if not path.is_file():
            raise KeyReIDError(f"{path}: no such file of embeddings; `keyreid eval` writes embeddings.npz")
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
            header = json.loads(str(arrays.pop("header")))
            if header["schema"] != SCHEMA:
                raise KeyReIDError(f"{path}: schema {header['schema']}; expected {SCHEMA}; make it again")
            loaded = cls(**arrays, **{k: header[k] for k in ("parts", "global_width", "about")})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            kind = type(error).__name__
            raise KeyReIDError(f"{path}: not a file of embeddings ({kind}); make it again") from error
        loaded.check(str(path))
        return loaded
