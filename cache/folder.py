"""The folder of a cache: which files belong to it, and whether this program wrote it."""

import re
from pathlib import Path

from cache.border import reading
from cache.errors import KeyReIDError
from cache.files import TEMPORARY
from cache.lock import LOCK, is_ours
from cache.manifest import MANIFEST, PLAN
from cache.shard import attributes_of
from cache.text_files import load_record

SOURCES = "sources.npy"  # what every frame was when it was checked
UNREADABLE = "unreadable-frames.txt"
PROGRESS = "progress.tmp"  # int64 per shard: its frames done so far
SHARD = re.compile(r"shard-\d{5,}\.h5")
_STARTED = {LOCK, SOURCES, UNREADABLE, PROGRESS}  # left by a run that stopped before it wrote its plan
_ASIDE = re.compile(
    rf"({SHARD.pattern}|{re.escape(PLAN)}|{re.escape(MANIFEST)}|{re.escape(SOURCES)}|{re.escape(UNREADABLE)}|probe)"
    rf"\.[0-9a-f]+{re.escape(TEMPORARY)}"
)


def shard_files(folder: Path) -> list[Path]:
    """Files of a cache folder that have the name of a shard, sorted."""
    return sorted(path for path in folder.iterdir() if SHARD.fullmatch(path.name))


def refuse_foreign(folder: Path) -> None:
    """Raise KeyReIDError where a folder has contents and nothing proves that this program wrote them."""
    if not folder.is_dir():
        return
    with reading(folder, remedy="choose another folder"):
        names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if name not in _STARTED and not _ASIDE.fullmatch(name)]
    if foreign and not _proven(folder):
        few = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise KeyReIDError(
            f"{folder} is not empty ({few}) and not a pose cache of this program; nothing was changed: "
            "choose a new or empty folder with --cache"
        )


def _proven(folder: Path) -> bool:
    records = (load_record(folder / name) for name in (PLAN, MANIFEST))  # of any version
    return (
        is_ours(folder)
        or any({"schema", "fingerprint", "shards"} <= record.keys() for record in records)
        or any("fingerprint" in attributes_of(path) for path in shard_files(folder))
    )


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted writer left behind. Call only while holding the folder's lock."""
    for path in folder.iterdir():
        if path.name == PROGRESS or _ASIDE.fullmatch(path.name):
            path.unlink(missing_ok=True)
