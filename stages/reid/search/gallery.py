"""Galleries: embeddings of tracklets in one HDF5 file, with what a search and its pictures need.

features   float32 or float16 [N, F]       persons, cameras  int64 [N], camera -1 unknown
visibility float32 [N, K], if any          names, camera_names  text [N]
frames     text [M], offsets int64 [N+1]: up to 8 frames of each tracklet, relative to the root
header     JSON attribute: schema, root, dataset, labelled, checkpoint, poses, parts, global_width, ...
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.errors import KeyReIDError
from cache.files import make_folder, writing
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.embeddings import Embeddings

SCHEMA = 1
SHOWN_FRAMES = 8
UNKNOWN = "?"  # name of a camera
_TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class Gallery:
    """Embeddings of N tracklets, and what a search and its pictures need beside them.

    embeddings: every row both query and gallery; features float32 [N, F]. frames: some of each tracklet, N
    tuples of paths under `root`.
    camera_names: what to call the camera of each row, "?" unknown.
    `embeddings.about` is the header: checkpoint {path, sha256}, poses, dataset, labelled, camera, distance.
    """

    embeddings: Embeddings
    camera_names: np.ndarray
    frames: tuple[tuple[str, ...], ...]
    root: Path

    def __len__(self) -> int:
        return len(self.embeddings.names)

    @property
    def about(self) -> dict:
        return self.embeddings.about

    @cached_property
    def places(self) -> np.ndarray:
        """A number for each first frame, which tells a tracklet from all others: int64 [N]."""
        return _numbered(frames[0] for frames in self.frames)

    @cached_property
    def camera_numbers(self) -> np.ndarray:
        """A number for each name of a camera, -1 unknown: int64 [N]."""
        return np.where(self.camera_names == UNKNOWN, -1, _numbered(self.camera_names.tolist()))

    @cached_property
    def indexed(self) -> dict[tuple, Any]:
        """FAISS indexes made of these rows in this process; see stages.reid.search.indexed."""
        return {}

    @property
    def checkpoint(self) -> str:
        """SHA-256 of the weights that made the features."""
        return self.about["checkpoint"]["sha256"]

    def check_header(self) -> None:
        """Raises KeyError, TypeError or ValueError where the header lacks what a search asks for."""
        about = self.about
        texts = [about[name] for name in ("camera", "distance", "dataset")]
        texts += [about["checkpoint"]["path"], self.checkpoint, about["poses"]["weights_sha256"]]
        if not all(isinstance(text, str) for text in texts) or not isinstance(about["labelled"], bool):
            raise ValueError("the header has values of another type")

    def save(self, path: Path, half: bool = False) -> Path:
        """Write the file whole or not at all; returns its path. half: features as float16, half the size.

        Raises KeyReIDError where it cannot be written, and for features beyond half precision.
        """
        values = self.embeddings
        header = values.about | {
            "schema": SCHEMA,
            "root": str(self.root),
            "parts": values.parts,
            "global_width": values.global_width,
        }
        features = _stored(values.features, half)
        make_folder(path.parent)
        with writing(path, values.features.nbytes) as aside, h5py.File(aside, "w") as file:
            file.attrs["header"] = json.dumps(header)
            file["features"] = features
            for name in ("persons", "cameras", "visibility"):
                if getattr(values, name) is not None:
                    file[name] = getattr(values, name)
            for name, texts in (
                ("names", values.names),
                ("camera_names", self.camera_names),
                ("frames", [frame for frames in self.frames for frame in frames]),
            ):
                file.create_dataset(name, data=np.array(texts, dtype=object), dtype=_TEXT)
            file["offsets"] = np.cumsum([0, *(len(frames) for frames in self.frames)])
        return path

    @classmethod
    def load(cls, path: Path | str) -> "Gallery":
        """Read and check a file that `save` wrote. Raises KeyReIDError for anything else."""
        path = Path(path)
        if not path.is_file():
            raise KeyReIDError(f"{path}: no such gallery; make it with keyreid embed")
        try:
            with h5py.File(path, "r") as file:
                header = json.loads(file.attrs["header"])
                if header["schema"] != SCHEMA:
                    raise KeyReIDError(f"{path}: schema {header['schema']}; expected {SCHEMA}; embed again")
                arrays = {
                    name: file[name][...] for name in ("persons", "cameras", "visibility") if name in file
                }
                features = file["features"].astype(np.float32)[...]
                texts = {
                    name: file[name].asstr()[...].astype(str) for name in ("names", "camera_names", "frames")
                }
                offsets = file["offsets"][...]
            frames = tuple(tuple(texts["frames"][start:stop].tolist()) for start, stop in pairwise(offsets))
            rows = np.arange(len(features))
            about = {key: header[key] for key in header.keys() - {"schema", "root", "parts", "global_width"}}
            embeddings = Embeddings(
                features=features,
                names=texts["names"],
                query=rows,
                gallery=rows,
                parts=header["parts"],
                global_width=header["global_width"],
                about=about,
                **arrays,
            )
            gallery = cls(embeddings, texts["camera_names"], frames, Path(header["root"]))
            gallery.check_header()
            if not (len(gallery.camera_names) == len(frames) == len(rows) and all(frames)):
                raise ValueError("rows disagree")
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
            kind = type(error).__name__
            raise KeyReIDError(
                f"{path}: not a gallery, or damaged ({kind}); make it with keyreid embed"
            ) from error
        embeddings.check(str(path))
        return gallery


def join(galleries: list[tuple[str, Gallery]]) -> Gallery:
    """One gallery of several, rows in order. galleries: (name of the file, gallery).

    Frames become absolute paths; persons count as labelled only where all are of one labelled data set.
    Raises KeyReIDError where they were made by different networks.
    """
    (first_name, first), *others = galleries
    for name, other in others:
        if other.checkpoint != first.checkpoint:
            raise KeyReIDError(
                f"{name}: made by checkpoint {other.checkpoint[:12]} ({other.about['checkpoint']['path']}), "
                f"{first_name} by {first.checkpoint[:12]} ({first.about['checkpoint']['path']}): distances "
                "between them mean nothing; embed one of them again with the other's checkpoint"
            )
    if not others:
        return first
    every = [gallery for _, gallery in galleries]
    values = [gallery.embeddings for gallery in every]
    rows = np.arange(sum(map(len, every)))
    seen = [v.visibility for v in values]
    labels = {(g.about.get("dataset"), str(g.root)) for g in every}
    # Persons and cameras of different data sets have nothing to do with each other.
    labelled = len(labels) == 1 and all(g.about.get("labelled") for g in every)
    modes = {g.about.get("camera") for g in every}
    about = first.about | {"labelled": labelled, "camera": modes.pop() if len(modes) == 1 else "mixed"}
    embeddings = Embeddings(
        features=np.concatenate([v.features for v in values]),
        names=np.concatenate([v.names for v in values]),
        persons=np.concatenate([v.persons for v in values]),
        cameras=np.concatenate([v.cameras for v in values]),
        query=rows,
        gallery=rows,
        visibility=None if any(v is None for v in seen) else np.concatenate(seen),
        parts=values[0].parts,
        global_width=values[0].global_width,
        about=about,
    )
    embeddings.check(" and ".join(name for name, _ in galleries))
    frames = tuple(tuple(str(g.root / f) for f in frames) for g in every for frames in g.frames)
    return Gallery(embeddings, np.concatenate([g.camera_names for g in every]), frames, Path("/"))


def camera_names(tracklets: list[Tracklet], dataset: str) -> np.ndarray:
    """What a user calls the camera of each tracklet: its folder in the `folder` layout, else its number."""
    names = []
    for tracklet in tracklets:
        folders = tracklet.frames[0].split("/")
        if tracklet.camera is None:
            names.append(UNKNOWN)
        elif dataset == "folder" and len(folders) >= 4:
            names.append(folders[-3])
        else:
            names.append(str(tracklet.camera))
    return np.array(names)


def shown_frames(tracklet: Tracklet) -> tuple[str, ...]:
    """Up to 8 frames, evenly spaced."""
    count = len(tracklet.frames)
    places = np.unique(np.linspace(0, count - 1, min(SHOWN_FRAMES, count)).round().astype(int))
    return tuple(tracklet.frames[i] for i in places)


def _numbered(texts: Iterable[str]) -> np.ndarray:
    """Equal texts get equal numbers, from 0 in the order in which they first come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int64)


def _stored(features: np.ndarray, half: bool) -> np.ndarray:
    if not half:
        return features
    with np.errstate(over="ignore"):
        stored = features.astype(np.float16)
    if not np.isfinite(stored).all():
        raise KeyReIDError("features are beyond half precision (65504); leave --half out")
    return stored
