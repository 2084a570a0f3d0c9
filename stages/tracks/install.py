"""The results of one video put into a folder of many, whole, however often the process is killed.

They are made in `.TAG.tmp`, renamed to `.TAG.ready` when all is on disk, and moved out of there, the record
last. What a killed process left as `.tmp` is thrown away; what it left as `.ready` is moved.
"""

import json
import os
import shutil
from pathlib import Path

from cache.border import reading
from cache.files import sync_folder
from cache.text_files import load_json
from stages.tracks.record import RECORD, is_folder_name

_REPLACED = "replaced.json"  # names of the folders to be replaced, in a .ready folder not yet moved


def begin(out: Path, tag: str) -> Path:
    """An empty folder for the results of a video."""
    folder = out / f".{tag}.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def install(out: Path, tag: str, replaced: list[str]) -> None:
    """Move the results out of the folder of `begin`. replaced: folders of `out` that they replace."""
    made, ready = out / f".{tag}.tmp", out / f".{tag}.ready"
    (made / _REPLACED).write_text(json.dumps(replaced))
    os.sync()
    made.rename(ready)
    sync_folder(out)
    _move(out, ready)


def resume(out: Path) -> None:
    """Finish what a killed process had made whole."""
    for ready in sorted(out.glob(".*.ready")):
        if ready.is_dir() and not ready.is_symlink():
            _move(out, ready)


def _move(out: Path, ready: Path) -> None:
    listed = ready / _REPLACED
    if listed.is_file():  # nothing is moved yet, so that nothing new can be hit
        with reading(listed, "a list of folders", f"nothing was touched: remove {ready}"):
            names = load_json(listed)
            if not isinstance(names, list) or not all(map(is_folder_name, names)):  # beside the .ready folder
                raise ValueError("other values in it")
        for name in names:
            shutil.rmtree(out / name, ignore_errors=True)
        listed.unlink()
    for entry in sorted(ready.iterdir(), key=lambda path: path.name.endswith(RECORD)):
        entry.replace(out / entry.name)
    sync_folder(out)
    ready.rmdir()
