"""The folder of a cache: which files belong to it, and whether it is one of this program at all."""

import json
import re
from pathlib import Path

from cache.errors import KeyReIDError
from cache.files import TEMPORARY, read_regular
from cache.lock import LOCK, is_ours
from cache.manifest import MANIFEST, MOST, PLAN
from cache.shard import read_rows

SOURCES = "sources.npy"  # what every frame was when it was checked
UNREADABLE = "unreadable-frames.txt"
PROGRESS = "progress.tmp"  # int64 per shard: its frames done so far
SHARD = re.compile(r"shard-\d{5,}\.h5")
_STARTED = {LOCK, SOURCES, UNREADABLE, PROGRESS}  # all that a run leaves that stopped before its plan
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
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise KeyReIDError(f"{folder} cannot be read: {error.strerror}; choose another folder") from error
    foreign = [name for name in names if name not in _STARTED and not _ASIDE.fullmatch(name)]
    if foreign and not _proven(folder):
        few = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise KeyReIDError(
            f"{folder} is not empty ({few}) and not a pose cache of this program; nothing was changed: "
            "choose a new or empty folder with --cache"
        )


def _proven(folder: Path) -> bool:
    return (
        is_ours(folder)
        or any(map(_is_record, (folder / PLAN, folder / MANIFEST)))
        or any(map(_is_shard, shard_files(folder)))
    )


def _is_record(path: Path) -> bool:
    """Whether a file is a plan or a manifest, of any version."""
    try:
        record = json.loads(read_regular(path, MOST))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"schema", "fingerprint", "shards"} <= record.keys()


def _is_shard(path: Path) -> bool:
    try:
        return "fingerprint" in read_rows(path).attributes
    except ValueError:
        return False


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted writer left behind. Call only while holding the folder's lock."""
    for path in folder.iterdir():
        if path.name == PROGRESS or _ASIDE.fullmatch(path.name):
            path.unlink(missing_ok=True)
