"""Galleries: files of embeddings, folders of parts and patterns of either, read as one set."""

import glob
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cache.errors import KeyReIDError
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.embeddings_file import count
from stages.reid.scoring.joining import join
from stages.reid.search.gallery_file import load_gallery
from stages.reid.search.gallery_folder import INDEXES
from stages.reid.search.gallery_index import INDEX, device_note, device_of, is_gallery, read_index

NOTE_POSES = "parts of the gallery were made with different pose networks; distances suffer from it"


def read_gallery(
    paths: Path | str | Sequence[Path | str],
    more: Sequence[tuple[str, Embeddings]] = (),
    stored: bool = False,
) -> Embeddings:
    """Every row of galleries as one set, in order; `part` says where a row is from.

    paths: files of embeddings, gallery folders, and patterns of either (`day*.h5`). A row's part is the name
    of the file as given, or that of the part of a folder (`part-3f2a91b0c4d5e6f7`). more: sets that
    follow, by the name of their part, such as queries. stored: features stay in their files (`StoredRows`).
    Raises KeyReIDError for a path that names none, for other files, and where networks differ.
    """
    files = gallery_files(paths)
    rows = sum(count(path) for path, _ in files) + sum(len(one) for _, one in more)
    return join(itertools.chain(_loaded(files, stored), more), rows, stored)


def gallery_files(paths: Path | str | Sequence[Path | str]) -> list[tuple[Path, str | None]]:
    """The files of galleries, each once and with the name of its part, None for a file by itself.

    paths: as of `read_gallery`. Raises KeyReIDError for a path that names none.
    """
    files: dict[Path, str | None] = {}
    paths = [paths] if isinstance(paths, Path | str) else paths
    for given in paths:
        path = Path(given)
        matching = [path] if path.exists() else [Path(p) for p in sorted(glob.glob(str(given)))]  # noqa: PTH207 absolute
        if not matching:
            raise KeyReIDError(f"{given}: no such gallery; keyreid embed makes a file or a folder of them")
        for one in matching:
            if not one.is_dir():
                files.setdefault(one, None)
            elif not is_gallery(one):
                raise KeyReIDError(
                    f"{one}: a folder without {INDEX}, so no gallery; keyreid embed --append makes one"
                )
            else:
                files |= {one / part.file: part.name for part in read_index(one).parts}
    if not files:
        raise KeyReIDError(f"{paths[0]}: a gallery without a part; fill it with keyreid embed --append")
    return list(files.items())


def _loaded(files: Sequence[tuple[Path, str | None]], stored: bool) -> Iterator[tuple[str, Embeddings]]:
    for path, part in files:
        made = load_gallery(path, stored)
        if part is not None:
            source = made.about | {"root": str(made.root), "content": part}
            made = replace(made, part=np.full(len(made), part), sources={part: source})
        yield str(path), made


def part_notes(gallery: Embeddings) -> list[str]:
    """Notes for the user where parts were made with different pose networks, or on different devices."""
    weights = {source["poses"]["weights_sha256"] for source in gallery.sources.values()}
    notes = [NOTE_POSES] if len(weights) > 1 else []
    return notes + device_note(map(device_of, gallery.sources.values()))


def index_folder(paths: Sequence[Path | str], given: Path | None) -> Path | None:
    """Where the FAISS index of galleries is kept: in a gallery folder by itself, else where the user says.

    Raises KeyReIDError where a user names another place for a gallery folder: what is removed from a gallery
    has to leave its indexes, too.
    """
    folders = [Path(path) for path in paths if is_gallery(Path(path))]
    if folders and given is not None:
        raise KeyReIDError(f"--index-folder {given}: {folders[0]} keeps its indexes itself; leave it out")
    return folders[0] / INDEXES if len(paths) == len(folders) == 1 else given
