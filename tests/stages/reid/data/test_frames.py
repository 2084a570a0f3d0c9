"""Decoding of frames."""

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.data.frames import jpeg_size, read_frame, reduction


@pytest.fixture
def picture():
    """A smooth uint8 picture [256, 128, 3] in RGB, whose pixels name their place."""
    y, x = np.mgrid[0:256, 0:128]
    return np.stack([y, 2 * x, 128 + 100 * np.sin(y / 9) * np.cos(x / 7)], axis=2).astype(np.uint8)


def write(path, picture, quality=95):
    assert cv2.imwrite(
        str(path), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality] * path.match("*.jpg")
    )
    return path


def test_a_frame_is_rgb_in_the_size_asked_for(tmp_path, picture):
    for name in ("a.jpg", "a.png", "a.bmp"):
        frame = read_frame(write(tmp_path / name, picture), (256, 128))
        assert frame.shape == (256, 128, 3) and frame.dtype == np.uint8
        assert np.abs(frame.astype(int) - picture).mean() < 2
    assert read_frame(tmp_path / "a.jpg", (64, 48)).shape == (64, 48, 3)
    assert read_frame(tmp_path / "a.jpg", (300, 200)).shape == (300, 200, 3)


@pytest.mark.parametrize("size", [(128, 64), (64, 32), (100, 60), (32, 16)])
def test_a_reduced_decode_shows_the_same_area_as_a_full_one(tmp_path, picture, size):
    path = write(tmp_path / "a.jpg", picture)
    assert reduction((256, 128), size) > 1
    reduced = read_frame(path, size).astype(float)
    full = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(reduced - full).mean() < 3
    # the ramps tell the place: half a pixel of shift would move them by half a step
    row_step, column_step = 256 / size[0], 2 * 128 / size[1]
    inner = (slice(2, -2), slice(2, -2))
    assert abs((reduced - full)[inner][..., 0].mean()) < 0.35 * row_step
    assert abs((reduced - full)[inner][..., 1].mean()) < 0.35 * column_step


def test_only_exact_divisors_reduce():
    assert reduction((256, 128), (256, 128)) == 1
    assert reduction((256, 128), (128, 64)) == 2
    assert reduction((256, 128), (129, 64)) == 1
    assert reduction((255, 128), (64, 32)) == 1
    assert reduction((252, 128), (32, 16)) == 4


def test_the_size_is_read_from_the_header(tmp_path, picture):
    assert jpeg_size(write(tmp_path / "a.jpg", picture).read_bytes()) == (256, 128)
    assert jpeg_size(write(tmp_path / "b.jpg", picture[:200, :100]).read_bytes()) == (200, 100)
    assert jpeg_size(write(tmp_path / "a.png", picture).read_bytes()) is None
    assert jpeg_size(b"") is None and jpeg_size(b"\xff\xd8\xff") is None


def test_a_broken_frame_is_an_error_that_names_it(tmp_path, picture):
    path = write(tmp_path / "a.jpg", picture)
    data = path.read_bytes()
    cases = {
        "empty.jpg": (b"", "is empty"),
        "short.jpg": (data[: len(data) // 2], "cut short"),
        "text.jpg": (b"no picture at all", "not an image"),
        "header.jpg": (data[:4], "not an image"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(KeyReIDError, match=f"{name}.*{message}"):
            read_frame(tmp_path / name, (256, 128))
    with pytest.raises(KeyReIDError, match=r"gone.jpg.*No such file"):
        read_frame(tmp_path / "gone.jpg", (256, 128))
