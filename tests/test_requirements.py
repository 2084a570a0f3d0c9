"""Every `pip install` of the documents is safe alone: it moves no pinned package."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(r"pip install ([^`#\n]+)")
INSTALLS = sorted({found.strip() for path in DOCUMENTS for found in LINE.findall(path.read_text("utf-8"))})


def pinned() -> set[str]:
    """The packages that `make setup` installs."""
    names = set()
    for name in ("torch", "base", "openmmlab"):
        text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
        names |= set(re.findall(r"^([\w-]+)[=<]", text, re.MULTILINE))
    return names


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The Python of an environment that, for pip, holds the pinned packages and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    variables = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", variables))
    for name in pinned():
        information = importlib.metadata.distribution(name)._path  # the folder *.dist-info
        shutil.copytree(information, site / information.name)
    return folder / "bin" / "python"


def test_documents_name_pip_installs():
    assert len(INSTALLS) >= 3


@pytest.mark.parametrize("arguments", INSTALLS)
def test_no_pip_install_of_the_documents_moves_a_pinned_package(arguments, bare, tmp_path):
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "--python", bare, "install", "--dry-run", "--quiet"]
    command += ["--retries", "0", "--disable-pip-version-check", "--report", report]
    done = subprocess.run([*command, *arguments.split()], cwd=ROOT, capture_output=True, text=True)
    if "NewConnectionError" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    new = {each["metadata"]["name"].lower() for each in json.loads(report.read_text())["install"]}
    assert new, "nothing would be installed"
    moved = {name for name in pinned() if re.sub("[-_.]+", "-", name).lower() in new}
    assert not moved, f"pip install {arguments} would replace {moved}"
