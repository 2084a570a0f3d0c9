"""Versions of what a result was made with."""

import importlib.metadata
import platform
from collections.abc import Iterable


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Python's version and each package's; "not installed" where there is none."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
