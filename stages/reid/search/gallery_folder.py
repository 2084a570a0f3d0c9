"""A gallery that grows: a folder of parts, each a file of embeddings, and an index of them.

gallery.json      which network, and of each part: file, tracklets, cameras, from when to when; written last
part-SHA.h5       at most some thousand tracklets, named by the SHA-256 of its content, written whole
indexes/          FAISS indexes, rebuilt where parts are gone

A file that gallery.json does not name counts for nothing; the next writer removes it. One writer at a time.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cache.differences import differences
from cache.errors import KeyReIDError
from cache.files import TEMPORARY, make_folder, sha256_of, write_whole
from cache.lock import LOCK, lock_folder
from cache.text_files import load_record
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.embeddings_file import packed
from stages.reid.search.gallery_file import load_gallery
from stages.reid.search.gallery_index import (
    INDEX,
    OWNER,
    PART,
    Index,
    Part,
    ShareOf,
    described,
    is_gallery,
    read_index,
)

INDEXES = "indexes"
_ASIDE = re.compile(rf"({PART.pattern}|{re.escape(INDEX)}|probe)\.[0-9a-f]+{re.escape(TEMPORARY)}")


@dataclass
class Writer:
    """Changes a gallery folder whose lock it holds. index: None while there is no part yet."""

    folder: Path
    index: Index | None
    token: str

    def add(self, made: Embeddings, half: bool = False, **columns: np.ndarray) -> Part:
        """Write a part, then the index. columns: others to keep. Raises KeyReIDError for another network."""
        self.check(made)
        return self._name(made, self.write(made, half, columns, created=datetime.now(UTC)))

    def take(self, path: Path) -> Part:
        """Name a part that is in the folder in the index. Raises KeyReIDError for one of another network."""
        made = load_gallery(path, stored=True)
        self.check(made)
        sha256 = sha256_of(path)
        return self._name(made, described(made, sha256, path.stat().st_size, datetime.now(UTC)))

    def mark(self, share: ShareOf) -> None:
        """Say that the parts of a job are all there."""
        self.index = self.index.model_copy(update={"share": share})
        self.save(self.index.parts)

    def _name(self, made: Embeddings, part: Part) -> Part:
        if self.index is None:
            self.index = Index(
                checkpoint=made.checkpoint,
                checkpoint_path=made.about["checkpoint"]["path"],
                width=made.features.shape[1],
                distance=made.about["distance"],
                camera=made.about["camera"],
            )
        if part.name not in self.index.names():
            self.index = self.index.model_copy(update={"share": None})  # of a job that had ended before
            self.save([*self.index.parts, part])
        return part

    def check(self, made: Embeddings) -> None:
        """Raises KeyReIDError where embeddings are not of the gallery's network."""
        if self.index is not None:
            refuse_other(self.folder, self.index, made.checkpoint, made.about["camera"])

    def save(self, parts: Sequence[Part]) -> None:
        """Write the index with these parts."""
        self.index = self.index.model_copy(update={"parts": tuple(parts)})
        write_whole(self.folder / INDEX, self.index.model_dump_json(indent=1, by_alias=True).encode())

    def remove_leftovers(self) -> None:
        """Remove parts that the index does not name, indexes that hold such, and half-written files."""
        for path in leftovers(self.folder, self.index):
            path.unlink(missing_ok=True)

    def write(
        self, made: Embeddings, half: bool, columns: Mapping[str, np.ndarray], created: datetime
    ) -> Part:
        """Write the file of a part; the index does not name it yet."""
        made.check(str(self.folder))
        about = {name: value for name, value in made.about.items() if name != "key"}  # rows may have gone
        made = replace(made, about=about)
        data = packed(made, half, **columns)
        part = described(made, hashlib.sha256(data).hexdigest(), len(data), created)
        write_whole(self.folder / part.file, data)
        return part


def refuse_other(folder: Path, index: Index, checkpoint: str, camera: str | None) -> None:
    """Raise KeyReIDError where a gallery is of another network, or of other use of cameras (None: any)."""
    if checkpoint != index.checkpoint:
        raise KeyReIDError(
            f"{folder}: its parts were made by checkpoint {index.checkpoint[:12]} ({index.checkpoint_path}), "
            f"these tracklets by {checkpoint[:12]}: their distances are not comparable; use that run, or a "
            "new gallery"
        )
    if camera is not None and camera != index.camera:
        raise KeyReIDError(
            f"{folder}: its parts were embedded with cameras {index.camera}, these tracklets with {camera}: "
            f"give --camera-mode {index.camera}, or use a new gallery"
        )


@contextlib.contextmanager
def writing(folder: Path, keep_parts: bool = False) -> Iterator[Writer]:
    """Hold a gallery folder, made where it is not there, for changes. What a dead writer left is removed.

    keep_parts: its whole parts only at the end, so that they can be taken.
    Raises KeyReIDError where another process writes to it, or for a folder with other contents.
    """
    make_folder(folder)
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if INDEX not in names and not all(_ASIDE.fullmatch(n) or PART.fullmatch(n) for n in names):
        raise KeyReIDError(
            f"{folder} is not empty ({', '.join(sorted(names)[:3])}) and no gallery; choose a new folder"
        )
    with lock_folder(folder, OWNER) as token:
        writer = Writer(folder, read_index(folder) if is_gallery(folder) else None, token)
        if not keep_parts:
            writer.remove_leftovers()
        yield writer
        writer.remove_leftovers()


def leftovers(folder: Path, index: Index | None) -> list[Path]:
    """Files that a dead writer left, or that hold features of parts which the index does not name."""
    parts = set() if index is None else {part.file for part in index.parts}
    own = [p for p in folder.iterdir() if _ASIDE.fullmatch(p.name) or PART.fullmatch(p.name)]
    return [path for path in own if path.name not in parts] + _stale(folder, index)


def drop_stale_indexes(indexes: Path) -> None:
    """Remove FAISS indexes of parts that were removed while they were made.

    indexes: where a search keeps them. Does nothing where that is not in a gallery.
    """
    if indexes.name == INDEXES and is_gallery(indexes.parent):
        for path in _stale(indexes.parent, read_index(indexes.parent)):
            if path.suffix != TEMPORARY:  # another search may be writing
                path.unlink(missing_ok=True)


def _stale(folder: Path, index: Index | None) -> list[Path]:
    kept = folder / INDEXES
    stale = []
    for path in sorted(kept.iterdir()) if kept.is_dir() else ():
        if path.suffix == ".json" and (not index or not held(path) <= index.names()):
            stale += [path.with_suffix(".faiss"), path]
        elif path.suffix == TEMPORARY or (
            path.suffix == ".faiss" and not path.with_suffix(".json").is_file()
        ):
            stale.append(path)
    return stale


def held(note: Path) -> set[str]:
    """Names of the parts that a kept FAISS index holds; what no gallery has where its note is damaged."""
    parts = load_record(note).get("parts")
    return set(map(str, parts)) if isinstance(parts, list) else {"damaged"}


def _misdescribed(path: Path, part: Part) -> str:
    """What the index says of a part that is not so; "" nothing."""
    made = described(load_gallery(path, stored=True), part.sha256, path.stat().st_size, part.created)
    return "; ".join(differences(part.model_dump(mode="json"), made.model_dump(mode="json")))


def verify(folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Check every byte of a gallery; what is wrong, in words. Raises KeyReIDError where it has no index."""
    index = read_index(folder)
    wrong = []
    for number, part in enumerate(index.parts, start=1):
        path = folder / part.file
        if not path.is_file():
            wrong.append(f"{part.file}: missing; remove it with keyreid gallery remove --part {part.name}")
        elif sha256_of(path) != part.sha256:
            wrong.append(f"{part.file}: damaged; remove it with keyreid gallery remove --part {part.name}")
        elif differ := _misdescribed(path, part):
            wrong.append(f"{part.file}: {INDEX} says otherwise of it ({differ}); remove it and embed again")
        progress(number, len(index.parts))
    more = [path.relative_to(folder) for path in leftovers(folder, index)]
    return wrong + [f"{path}: left by a writer that was stopped; any change removes it" for path in more]
