"""Small files whose header declares more pixels than OpenCV takes are named, wherever frames are read."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.pose.frames import check_frame, digest_of
from stages.pose.frames import read_frame as read_for_poses
from stages.reid.data.frames import read_frame
from stages.reid.embedder import MemoryPoses
from stages.reid.scoring.baselines import stripe_histograms
from stages.reid.scoring.pictures import read_rgb

EXAMPLE = Path(__file__).parents[4] / "examples" / "onnx_inference.py"


def png(side: int) -> bytes:
    """A PNG of 3 bytes of pixels that says it is side x side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pieces = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + pieces


def jpeg(side: int) -> bytes:
    """A JPEG of 16x16 pixels that says it is side x side."""
    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def stripes(path: Path) -> None:
    stripe_histograms(path.parent, [Tracklet((path.name,), 1, 1, "t")])


def poses(path: Path) -> None:
    MemoryPoses(None, path.parent, [path.name])


def stage_one(path: Path) -> None:
    assert check_frame(path)[-1] != ""
    read_for_poses(path, digest_of(path.read_bytes()))


@pytest.mark.parametrize("name", ["huge.png", "huge.jpg"])
@pytest.mark.parametrize(
    "read", [lambda path: read_frame(path, (64, 32)), read_rgb, stripes, poses, stage_one]
)
def test_a_frame_that_declares_a_huge_size_is_named(tmp_path, read, name):
    path = tmp_path / name
    path.write_bytes(png(60_000) if name.endswith("png") else jpeg(65_001))
    with pytest.raises(KeyReIDError, match=name):
        read(path)


def test_the_onnx_example_names_it_too(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime: pip install -r requirements/export.txt")
    path = tmp_path / "huge.png"
    path.write_bytes(png(60_000))
    code = f"import runpy; runpy.run_path({str(EXAMPLE)!r})['read_pictures']({str(path)!r}, (64, 32))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip().endswith("huge.png: missing or no picture")
