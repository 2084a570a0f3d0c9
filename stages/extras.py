"""Packages that one part of the program alone needs, and that are installed with it."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from cache.errors import KeyReIDError


@dataclass(frozen=True)
class Extra:
    """modules: what `part` of the program imports. requirements: of pip. make: targets that do it."""

    part: str
    modules: tuple[str, ...]
    requirements: str
    make: str = ""

    def check(self) -> None:
        """Raises KeyReIDError, with what to install, where a module is missing. Before any work."""
        if missing := [name for name in self.modules if importlib.util.find_spec(name) is None]:
            raise self._error(", ".join(missing))

    @contextlib.contextmanager
    def imported(self) -> Iterator[None]:
        """Imports inside raise KeyReIDError, with what to install, where they fail."""
        try:
            yield
        except ImportError as error:
            raise self._error(error.name or str(error)) from error

    def _error(self, what: str) -> KeyReIDError:
        way = f"{sys.executable} -m pip install {self.requirements}"
        return KeyReIDError(f"{self.part} needs {what}: {way}{self.make and f' (or {self.make})'}")


TRACKING = Extra(
    "tracking",
    ("onnxruntime", "trackers", "supervision"),
    "--no-deps -r requirements/track.txt",
    "make track, make demo-videos",
)
LARGE_SEARCH = Extra("an index other than exact", ("faiss",), "-r requirements/search.txt")
ONNX_EXPORT = Extra("ONNX export", ("onnx", "onnxruntime", "onnxscript"), "-r requirements/export.txt")
CLUSTER = Extra("--scheduler", ("distributed",), "-r requirements/cluster.txt")
