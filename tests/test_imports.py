"""The import arrows: pipeline -> stages -> cache, and between the rooms of stages/reid."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {  # what a room of stages/reid may import besides itself
    "model": set(),
    "data": {"model"},
    "scoring": {"model", "data"},
    "training": {"model", "data", "scoring"},
    "search": {"model", "data", "scoring"},
    "probing": {"model", "data", "scoring"},
}
PACKAGES = {"cache": set(), "stages": {"cache", "configs"}, "pipeline": {"cache", "stages", "configs"}}
FOREIGN = {"cache": {"torch", "mmpose", "timm", "click"}, "stages": {"click"}, "pipeline": set()}


def imported(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_downward_only(package):
    own = PACKAGES[package] | {package}
    for path in files(package):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not (tops & (set(PACKAGES) | {"tests", "benchmarks"})) - own, path
        assert not tops & FOREIGN[package], path


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_reid_import_along_the_arrows(room):
    for path in files(f"stages/reid/{room}"):
        for name in imported(path):
            words = name.split(".")
            if words[:2] == ["stages", "reid"] and len(words) > 2:
                assert words[2] in ROOMS[room] | {room}, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("stage", ["datasets", "pose", "tracks"])
def test_stage_one_and_data_sets_do_not_import_stage_two(stage):
    for path in files(f"stages/{stage}"):
        upward = {name for name in imported(path) if name.startswith("stages.reid")}
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"
