"""Which tracklets of a walkers data set are occluded, from the generator's record."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cache.border import reading
from cache.text_files import load_json


class Occlusion:
    """`name in occlusion`, for names that the MARS reader gives tracklets, such as test/0002C1T0001F001."""

    def __init__(self, root: Path):
        """Raises KeyReIDError where root has no record of the generator."""
        path = root / "walkers.json"
        with reading(path, "a list of occluded tracklets", "this needs walkers, made by keyreid synthesize"):
            self._hidden = frozenset(load_json(path)["occluded_tracklets"])

    def __contains__(self, name: str) -> bool:
        return name.rpartition("/")[2].partition("F")[0] in self._hidden

    def halves(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Masks bool [Q] over queries of these names: all, clean, occluded. Without empty ones."""
        occluded = np.array([name in self for name in names], bool)
        masks = {"all": np.ones_like(occluded), "clean": ~occluded, "occluded": occluded}
        return {half: mask for half, mask in masks.items() if mask.any()}
