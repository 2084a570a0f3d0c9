"""Tensors of a TorchScript archive, as OpenAI's CLIP is published, without loading the program in it.

torch.jit.load would compile and may run the archive's code. Its tensors are raw bytes in a zip file, beside a
pickle that says which module has which; that pickle is read with everything but tensors left inert.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cache.border import reading

DTYPES = {
    "HalfStorage": torch.half,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float,
    "DoubleStorage": torch.double,
    "LongStorage": torch.long,
    "IntStorage": torch.int,
    "ShortStorage": torch.short,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip file with constants; those of torch.save have none."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_archive(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by dotted name. Raises KeyReIDError for a damaged archive."""
    what = "a whole TorchScript archive of a network"
    with reading(f"weights {path}", what), zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(root) as file:
            module = _Reader(file, archive, root.removesuffix("data.pkl")).load()
        tensors: dict[str, Tensor] = {}
        _collect(module, "", tensors)
        return tensors


class _Module:
    """A module of the archive: its attributes, and nothing that they do."""


def _inert(*parts: Any) -> Any:
    """Stands for the functions that rebuild TorchScript's typed lists."""
    return parts


class _Reader(pickle.Unpickler):
    def __init__(self, file, archive: zipfile.ZipFile, prefix: str):
        super().__init__(file)
        self._archive, self._prefix = archive, prefix

    def find_class(self, module: str, name: str) -> Any:
        """Tensors are rebuilt here, modules are empty shells; nothing else can be named."""
        if module.split(".")[0] == "__torch__":
            return _Module
        if module == "torch.jit._pickle":
            return _inert
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not part of a network")

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage, as a flat tensor: ("storage", dtype, key, device, numbers)."""
        _, dtype, key, _, count = pid
        data = self._archive.read(f"{self._prefix}data/{key}")
        if len(data) != count * dtype.itemsize:
            raise ValueError(f"storage {key} has {len(data)} bytes, expected {count} numbers of {dtype}")
        return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


def _collect(module: Any, prefix: str, tensors: dict[str, Tensor]) -> None:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            tensors[prefix + name] = value
        elif isinstance(value, _Module):
            _collect(value, f"{prefix}{name}.", tensors)
