"""Versions of what a result was made with."""

import functools
import importlib.metadata
import platform
from collections.abc import Iterable


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Python's version and each package's; "not installed" where there is none."""
    versions = {"python": platform.python_version()}
    return versions | {package: _version_of(package) for package in packages}


@functools.cache  # half a millisecond each, for every shard
def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def kind_of(device: str) -> dict[str, str]:
    """What kind of device computes in this process: cpu, and for a GPU its name (gpu) and cuDNN's version.

    The CPU is named by the instructions that torch uses here; ATEN_CPU_CAPABILITY limits them. No GPU is
    named where a cluster is planned from a machine without one.
    """
    import torch

    kind = {"cpu": torch.backends.cpu.get_cpu_capability()}
    if device.startswith("cuda") and torch.cuda.is_available():
        kind |= {"gpu": torch.cuda.get_device_name(), "cudnn": str(torch.backends.cudnn.version())}
    return kind
