"""The folder of a page: index.html, its pictures, and a file that marks it as made by this program.

A page takes the place of the one before in one step: pictures first, then index.html, then those that no
page needs any more are removed. A process that is killed leaves a page that works.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from cache.border import saving
from cache.errors import KeyReIDError
from cache.files import make_folder, write_whole

SITE = "site"  # beside what the page is of, where no other folder is named
INDEX, MEDIA, MARK = "index.html", "media", "keyreid-page.json"


def check_site(folder: Path) -> None:
    """Raises KeyReIDError where a page may not be written: a folder with other contents."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise KeyReIDError(f"--output {folder}: is not a folder; name a new one for the page")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and MARK not in names:
        raise KeyReIDError(
            f"--output {folder}: has {sorted(names)[0]!r} but no {MARK}, so it is not a page of this "
            "program and not replaced; name a new folder"
        )
    media = folder / MEDIA
    if media.is_symlink():
        raise KeyReIDError(f"{media}: a link; expected a folder of pictures; remove it")


def open_site(folder: Path) -> Path:
    """Make the folder, or take one with a page; returns that of its pictures. Raises as `check_site`."""
    check_site(folder)
    media = folder / MEDIA
    make_folder(folder)
    write_whole(folder / MARK, json.dumps({"made_by": "keyreid", "pictures": MEDIA}).encode())
    make_folder(media)
    return media


def close_site(folder: Path, page: str, used: Iterable[str]) -> Path:
    """Write the page and remove pictures that it does not use; returns the path of the page."""
    write_whole(folder / INDEX, page.encode())
    kept = set(used)
    with saving(folder / MEDIA):
        for path in (folder / MEDIA).iterdir():
            if path.name not in kept:
                path.unlink()
    return folder / INDEX
