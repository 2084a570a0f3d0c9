"""Which tracklets of a walkers data set are occluded, from the generator's record."""

from pathlib import Path

from cache.errors import KeyReIDError
from cache.text_files import load_json


class Occlusion:
    """`name in occlusion`, for names that the MARS reader gives tracklets, such as test/0002C1T0001F001."""

    def __init__(self, root: Path):
        """Raises KeyReIDError where root has no record of the generator."""
        path = root / "walkers.json"
        try:
            self._hidden = frozenset(load_json(path)["occluded_tracklets"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeyReIDError(
                f"{path}: cannot tell which tracklets are occluded ({error}); this needs walkers, made by "
                "keyreid synthesize"
            ) from None

    def __contains__(self, name: str) -> bool:
        return name.rpartition("/")[2].partition("F")[0] in self._hidden
