"""Every pinned package has a wheel for every Python that setup.cfg claims (Linux x86-64).

Asks the package index through `pip index versions`, which reads lists of files and downloads none.
"""

import configparser
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


def claimed_pythons() -> list[str]:
    """The minor versions of python_requires, as "3.11"."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", config["options"]["python_requires"]).groups()
    return [f"3.{minor}" for minor in range(int(low), int(high))]


def pins() -> list[tuple[str, str]]:
    """(package, version) of every requirement file."""
    files = sorted((ROOT / "requirements").glob("*.txt"))
    return [pin for file in files for pin in PIN.findall(file.read_text())]


def missing(task: tuple[str, tuple[str, str]]) -> str | None:
    """What is wrong with one pin on one Python, or None."""
    python, (package, version) = task
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "--disable-pip-version-check"]
    for platform in ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"):
        command += ["--platform", platform]
    result = subprocess.run(command, capture_output=True, text=True)
    versions = re.search(r"Available versions: (.*)", result.stdout)
    if versions is None:
        return f"{package}, Python {python}: pip gave no list of versions: {result.stderr[-300:].strip()}"
    if version not in (each.partition("+")[0] for each in versions[1].split(", ")):
        return f"{package}=={version} has no wheel for Python {python}"
    return None


def main() -> None:
    pythons, packages = claimed_pythons(), pins()
    with ThreadPoolExecutor(4) as pool:
        problems = [text for text in pool.map(missing, product(pythons, packages)) if text]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(packages)} pinned packages have wheels for Python {', '.join(pythons)}")


if __name__ == "__main__":
    main()
