"""Numeric matrices from MATLAB files (level 5, the format of every official .mat here).

scipy.io.loadmat reads these too, but a damaged type tag makes its compiled reader read outside its memory, in
a file of any size: scipy 1.17.1 ends in a segmentation fault when bit 2 of byte 192 is flipped in what
`savemat(path, {"track_test_info": np.arange(40).reshape(10, 4).astype(np.uint16)})` writes. This reader
checks every tag and length, and knows only what labels and indices need.

Format: "MAT-File Format", The MathWorks. A header of 128 bytes, then elements: an 8-byte tag (type, bytes)
and data, padded to 8 bytes; data of up to 4 bytes lie in the tag. A matrix is an element that holds elements:
flags with the class, dimensions, name, values in column order. An element may be deflated as a whole.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cache.border import reading
from cache.errors import KeyReIDError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 .. uint64
_COMPLEX = 0x08
_LARGEST = 1 << 28  # bytes of an inflated matrix; those of MARS have 0.2 MB


def read_numbers(path: Path, key: str) -> np.ndarray:
    """The numeric matrix `key`, of its stored type. Raises KeyReIDError naming the file and what it holds."""
    names_seen = []
    with reading(path, "a readable MATLAB 5 file", "fetch it again"):
        data = path.read_bytes()
        for name, values in _matrices(data, _byte_order(data)):
            if name == key and values is not None:
                return values
            names_seen.append(name)
    names = ", ".join(repr(n) for n in names_seen) or "nothing"
    raise KeyReIDError(f"{path}: no matrix of numbers {key!r} but {names}; expected the data set's own file")


def _byte_order(data: bytes) -> str:
    if len(data) < _HEADER:
        raise ValueError(f"it has {len(data)} bytes, the header alone {_HEADER}")
    mark = data[126:128]
    if mark not in (b"IM", b"MI"):
        raise ValueError("no byte order mark at byte 126")
    return "<" if mark == b"IM" else ">"


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each element."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends within a tag")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # small: bytes in the upper half, content in the tag
            kind, size = kind & 0xFFFF, kind >> 16
            start, following = at + 4, at + 8
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        else:
            start = at + 8
            following = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError("it ends within an element")
        yield kind, data[start : start + size]
        at = following


def _matrices(data: bytes, order: str) -> Iterator[tuple[str, np.ndarray | None]]:
    """Name and values of every matrix; None for one that does not hold real numbers."""
    for kind, content in _elements(data[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, content = next(_elements(_inflate(content), order), (0, b""))
        if kind == _MATRIX:
            yield _matrix(content, order)


def _inflate(content: bytes) -> bytes:
    inflater = zlib.decompressobj()
    data = inflater.decompress(content, _LARGEST)
    if not inflater.eof:
        raise ValueError("a compressed matrix is cut short or far too large")
    return data


def _matrix(content: bytes, order: str) -> tuple[str, np.ndarray | None]:
    parts = _elements(content, order)
    flags = _numbers(next(parts, (0, b"")), order)
    dimensions = _numbers(next(parts, (0, b"")), order)
    name = next(parts, (0, b""))[1].decode("latin-1")
    if len(flags) != 2 or dimensions.dtype.kind != "i":
        raise ValueError(f"matrix {name!r} has no flags or no dimensions")
    if int(flags[0]) & 0xFF not in _NUMERIC_CLASSES or int(flags[0]) >> 8 & _COMPLEX:
        return name, None
    values = _numbers(next(parts, (0, b"")), order)
    shape = dimensions[:9].tolist()  # a damaged file may name millions of dimensions
    if not 2 <= len(shape) <= 8 or min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"matrix {name!r} of shape {shape} holds {len(values)} numbers")
    return name, values.reshape(shape, order="F")


def _numbers(element: tuple[int, bytes], order: str) -> np.ndarray:
    kind, content = element
    if kind not in _NUMBERS:
        raise ValueError(f"type {kind} where numbers are expected")
    dtype = np.dtype(order + _NUMBERS[kind])
    if len(content) % dtype.itemsize:
        raise ValueError(f"{len(content)} bytes are not a whole number of {dtype.name} values")
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))
