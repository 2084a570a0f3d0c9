"""MkDocs hook: pages and figures that are made from the code at every build, so they cannot go stale."""

import tempfile
from pathlib import Path

from api_page import api_page
from benchmarks_page import benchmarks_page
from commands_page import commands_page
from config_page import config_page
from errors_page import errors_page
from figures import draw_all
from mkdocs.structure.files import File

PAGES = {
    "configuration.md": config_page,
    "commands.md": commands_page,
    "python.md": api_page,
    "errors.md": errors_page,
    "benchmarks.md": benchmarks_page,
}


def on_files(files, config):
    """Add the generated pages and pictures to those that are written by hand."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    with tempfile.TemporaryDirectory() as folder:
        for picture in draw_all(Path(folder)):
            files.append(File.generated(config, f"figures/{picture.name}", content=picture.read_bytes()))
    return files
