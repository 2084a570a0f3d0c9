"""Finds the frame of a data set that a name in another tool's file refers to."""

from collections.abc import Sequence

from stages.datasets.files import IMAGE_SUFFIXES


class FrameNames:
    """Looks names up among frames.

    A name means the frame of that path, or the one whose path ends with it, or the one that it ends with,
    folder by folder: `cam1/a/1.jpg` for `data/cam1/a/1.jpg` and the other way round, never `cam2/a/1.jpg`.
    The suffix may be missing. An ambiguous name matches no frame.
    """

    def __init__(self, frames: Sequence[str]):
        self.example = frames[0] if frames else "none"
        self._frames = frames
        self._by_stem: dict[str, list[int]] = {}
        for row, frame in enumerate(frames):
            self._by_stem.setdefault(_split(frame)[1], []).append(row)
        self._by_number: dict[int, list[int]] | None = None

    def find(self, name: str) -> str | None:
        """The frame that a name means, or None."""
        matching = self.matching(name)
        return matching[0] if len(matching) == 1 else None

    def matching(self, name: str) -> list[str]:
        """All frames that a name could mean."""
        name = name.replace("\\", "/").removeprefix("./")
        folders, stem, suffix = _split(name)
        same = [self._frames[row] for row in self._by_stem.get(stem, ())]
        same = [frame for frame in same if not suffix or frame.endswith(suffix)]
        if name in same:
            return [name]
        return [frame for frame in same if _agree(folders, _split(frame)[0])]

    def numbered(self, number: object) -> str | None:
        """The frame whose name is that number: Ultralytics writes 7 for `000007.jpg`. None for several."""
        if self._by_number is None:
            self._by_number = {}
            for stem, rows in self._by_stem.items():
                if stem.isascii() and stem.isdigit() and len(stem) <= 18:
                    self._by_number.setdefault(int(stem), []).extend(rows)
        rows = self._by_number.get(number, []) if isinstance(number, int) else []
        return self._frames[rows[0]] if len(rows) == 1 else None


def _split(path: str) -> tuple[list[str], str, str]:
    """Folders, name without suffix, and suffix; a suffix that is not an image's is part of the name."""
    *folders, base = path.split("/")
    suffix = next((s for s in IMAGE_SUFFIXES if base.lower().endswith(s)), "")
    return folders, base[: len(base) - len(suffix)], base[len(base) - len(suffix) :]


def _agree(one: list[str], other: list[str]) -> bool:
    """Whether the shorter of two lists of folders is the end of the longer."""
    common = min(len(one), len(other))
    return not common or one[-common:] == other[-common:]
