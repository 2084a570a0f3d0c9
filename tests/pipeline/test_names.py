"""`pipeline`, `stages`, `cache` and `configs` are plain names: ours must be the ones imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = "cache, configs, pipeline, stages"
PRINT = f"import {PACKAGES}; print(*[m.__file__ for m in ({PACKAGES})])"


def imported_from(python_path: Path, cwd: Path) -> list[Path]:
    """Where the four packages come from, with python_path in front and no editable install in the way."""
    code = f"import sys; sys.path.insert(0, {str(python_path)!r}); {PRINT}"
    output = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return [Path(p).parent.parent for p in output.stdout.split()]


def test_from_a_checkout_they_are_the_checkout(tmp_path: Path):
    output = subprocess.run(
        [sys.executable, "-c", PRINT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {Path(p).parent.parent for p in output.stdout.split()} == {ROOT}


def test_from_an_install_they_are_the_installed_ones(tmp_path: Path):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", ROOT, source], check=True)
    subprocess.run([*command, "--target", tmp_path / "site", source], check=True, capture_output=True)
    assert set(imported_from(tmp_path / "site", tmp_path)) == {tmp_path / "site"}
    assert (tmp_path / "site/configs/walkers.yaml").is_file()
    assert (tmp_path / "site/configs/pose/walkers.safetensors").is_file()
