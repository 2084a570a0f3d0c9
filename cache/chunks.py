"""One frame's heat as the bytes of one HDF5 chunk, and back, without going through the HDF5 library.

The bytes are exactly what HDF5's own filters make (deflate, then fletcher32), so any HDF5 reader reads
them. Doing it here lets threads compress side by side (the HDF5 library holds one lock for all) and lets
a reader fetch a random frame with one `pread`. zlib-ng packs and unpacks, several times as fast as zlib. With
Z_RLE its bytes are those of zlib; a test compares them.
"""

import numpy as np
from zlib_ng import zlib_ng

JOINTS, GRID_HEIGHT, GRID_WIDTH = 17, 64, 32
CHUNK_SHAPE = (JOINTS, GRID_HEIGHT, GRID_WIDTH)
CHUNK_BYTES = JOINTS * GRID_HEIGHT * GRID_WIDTH
CHECKSUM_BYTES = 4
FLOOR = 1 / 255  # heat below this is written as zero: no part weight moves by more than 1/255

# Chosen by benchmarks/cache.py; docs/pose-cache.md has the table.
LEVEL, STRATEGY = 6, zlib_ng.Z_RLE


def quantise(heatmaps: np.ndarray) -> np.ndarray:
    """Heat in [0, 1] (clipped) as uint8: round(255 h), zero below FLOOR; same shape.

    Reading it back as q / 255 is off by at most 1/510 above the floor and by less than 1/255 below it.
    """
    scaled = heatmaps * np.float32(255.0)
    np.clip(scaled, 0.0, 255.0, out=scaled)
    kept = scaled >= 1.0
    scaled += np.float32(0.5)
    return np.multiply(scaled.astype(np.uint8), kept, dtype=np.uint8)


def encode(heat: np.ndarray) -> bytes:
    """uint8 [17, 64, 32] as the stored bytes of its chunk."""
    packer = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, 15, 9, STRATEGY)
    packed = packer.compress(np.ascontiguousarray(heat).data) + packer.flush()
    return packed + fletcher32(packed).to_bytes(CHECKSUM_BYTES, "little")


def decode(stored: bytes) -> bytes:
    """The 34,816 bytes of a frame's heat; raises ValueError when either checksum does not match."""
    packed = stored[:-CHECKSUM_BYTES]
    if fletcher32(packed).to_bytes(CHECKSUM_BYTES, "little") != stored[-CHECKSUM_BYTES:]:
        raise ValueError("fletcher32 checksum does not match")
    return unpack(packed)


def unpack(packed: bytes) -> bytes:
    """`decode` without fletcher32, for speed: deflate carries an Adler-32 of the heat itself.

    Bytes after the end of the deflate stream are ignored. Raises ValueError.
    """
    try:
        heat = zlib_ng.decompress(packed, 15, CHUNK_BYTES)
    except zlib_ng.error as error:
        raise ValueError(str(error)) from error
    if len(heat) != CHUNK_BYTES:
        raise ValueError(f"{len(heat)} bytes of heat, not {CHUNK_BYTES}")
    return heat


def fletcher32(data: bytes) -> int:
    """HDF5's Fletcher-32 over big-endian 16-bit words (an odd last byte is a word's high byte).

    The two running sums modulo 65535 in closed form: sum(w_i) and sum((n - i) w_i). The library's
    one's-complement folding yields 65535 where the modulus gives 0 for a sum that is not zero.
    """
    if len(data) % 2:
        data = data + b"\0"
    words = np.frombuffer(data, ">u2").astype(np.int64)
    low = int(words.sum())
    high = int(words @ np.arange(len(words), 0, -1))
    return _fold(high) << 16 | _fold(low)


def _fold(total: int) -> int:
    return (total % 65535 or 65535) if total else 0
