"""One rule for what a frame is, one reader for all who read them."""

import io
import os
import pickle
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.datasets.checkup import check_frame as doctor
from stages.frame_file import (
    MAX_PIXELS,
    FrameError,
    _plain_jpeg,
    check_header,
    decode,
    decoder_warning,
    read_picture,
    read_planes,
    read_size,
    reduction,
)
from stages.pose.sources import check_frame as stage_one
from stages.tracks.frames import FolderFrames


@pytest.fixture
def picture():
    """A smooth uint8 picture [256, 128, 3] in RGB, whose pixels name their place."""
    y, x = np.mgrid[0:256, 0:128]
    return np.stack([y, 2 * x, 128 + 100 * np.sin(y / 9) * np.cos(x / 7)], axis=2).astype(np.uint8)


def test_an_error_of_a_frame_says_what_to_do_and_arrives_from_a_worker_as_it_was(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    (tmp_path / "b.jpg").write_bytes(b"text")
    ways = {"a.jpg": "name a file, not a folder", "b.jpg": "copy it again", "c.jpg": "keyreid doctor"}
    for name, way in ways.items():
        with pytest.raises(FrameError, match=way) as error:
            read_picture(tmp_path / name)
        sent = pickle.loads(pickle.dumps(error.value))
        assert (str(sent), sent.missing) == (str(error.value), name == "c.jpg")


def read_frame(path, size):
    return read_picture(path, size)[:, :, ::-1]


def write(path, picture, quality=95):
    assert cv2.imwrite(
        str(path), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality] * path.match("*.jpg")
    )
    return path


def test_a_frame_has_the_size_asked_for(tmp_path, picture):
    for name in ("a.jpg", "a.png", "a.bmp", "a.webp"):
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


def test_a_jpeg_that_decodes_with_a_warning_is_told_from_a_sound_one(picture):
    sound = encoded(picture, "JPEG")
    assert decoder_warning(sound) == "" == decoder_warning(sound + b"\0\0\0\x18ftypmp42" + bytes(3000))
    cut = sound[: len(sound) // 2] + sound[-2:]
    assert decode(cut).shape == picture.shape and "premature end" in decoder_warning(cut)
    assert all(decoder_warning(encoded(picture, kind)) == "" for kind in ("PNG", "BMP", "WEBP"))
    cmyk = io.BytesIO()
    Image.fromarray(picture).convert("CMYK").save(cmyk, "JPEG")
    assert decode(cmyk.getvalue()).shape == picture.shape and decoder_warning(cmyk.getvalue()) == ""


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_jpeg_decodes_to_the_bits_of_opencv_damaged_or_not(picture, subsampling, progressive):
    rng = np.random.default_rng(0)
    sizes = ((64, 48, "RGB"), (61, 47, "RGB"), (33, 17, "L"), (16, 16, "CMYK"), (1, 1, "RGB"))
    for height, width, mode in sizes:
        small = Image.fromarray(picture[:height, :width]).convert(mode)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80, subsampling=subsampling, progressive=progressive)
        damaged = bytearray(buffer.getvalue())
        for at in rng.integers(len(damaged) // 2, len(damaged) - 2, 3):
            damaged[at] = rng.integers(255)
        for data in (buffer.getvalue(), bytes(damaged)):
            opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if opencv is None:
                with pytest.raises(ValueError, match="cannot decode"):
                    decode(data)
            else:
                assert np.array_equal(decode(data), opencv)
        if (height, width) == (64, 48):
            assert _plain_jpeg(buffer.getvalue(), (64, 48), 1) is not None  # the fast way is taken
            half = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
            assert np.array_equal(decode(buffer.getvalue(), (32, 24)), half)


def encoded(picture, kind, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_size_and_completeness_are_in_the_header(picture, kind):
    data = encoded(picture[:200, :100], kind)
    assert check_header(data) == (200, 100)
    assert check_header(data + b"trailer of a motion photo" * 200) == (200, 100)
    for length in (len(data) // 2, 30, 12, 4):
        with pytest.raises(ValueError, match=r"cut short|not a picture"):
            check_header(data[:length])


def test_a_lossless_webp_has_its_size_in_other_bits(picture):
    assert check_header(encoded(picture, "WEBP", lossless=True)) == (256, 128)
    assert check_header(encoded(picture, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")) == (256, 128)


def verdicts(folder, name) -> list[str]:
    """What doctor, stage one and stage two say of a frame, "" where they accept it."""
    problem = doctor(folder, name, None)
    said = [problem.detail if problem else "", stage_one(folder / name)[3]]
    for size in (None, (32, 16)):
        try:
            read_picture(folder / name, size)
            said.append("")
        except FrameError as error:
            assert str(folder / name) in str(error)
            said.append(error.reason)
    return said


def jpeg_that_claims(height, width) -> bytes:
    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


ACCEPTED = (
    "plain.jpg",
    "trailer.jpg",
    "thumbnail.jpg",
    "png-named.jpg",
    "rgba.png",
    "deep.png",
    "progressive.jpg",
)
REFUSED = {
    "short.jpg": "cut short",
    "short-with-thumbnail.jpg": "cut short",
    "short.png": "cut short",
    "header.jpg": "cut short",
    "empty.jpg": "empty",
    "text.jpg": "not a picture",
    "gif.jpg": "not a picture",
    "tga.jpg": "not a picture",
    "tiff.jpg": "not a picture",
    "dds.jpg": "not a picture",
    "postscript.jpg": "not a picture",
    "gone.jpg": "missing",
    "folder.jpg": "Is a directory",
    "pipe.jpg": "not a regular file",
    "device.jpg": "not a regular file",
    "bomb.jpg": "65001 x 65001 pixels",
    "long.jpg": "40000 x 100 pixels",
    "large.jpg": "8000 x 8000 pixels",
}


@pytest.fixture
def zoo(tmp_path, picture):
    plain = encoded(picture, "JPEG")
    thumbnail = plain[:2] + b"\xff\xe1" + struct.pack(">H", 14) + b"Exif\0\0\xff\xd8\xff\xd9II" + plain[2:]
    files = {
        "plain.jpg": plain,
        "trailer.jpg": plain + b"\0\0\0\x18ftypmp42" + bytes(3000),
        "thumbnail.jpg": thumbnail,
        "png-named.jpg": encoded(picture, "PNG"),
        "rgba.png": encoded(np.dstack([picture, picture[:, :, :1]]), "PNG"),
        "deep.png": cv2.imencode(".png", picture.astype(np.uint16) << 8)[1].tobytes(),
        "progressive.jpg": encoded(picture, "JPEG", progressive=True),
        "short.jpg": plain[: len(plain) // 2],
        "short-with-thumbnail.jpg": thumbnail[: len(thumbnail) // 2],
        "short.png": encoded(picture, "PNG")[:-400],
        "header.jpg": plain[:4],
        "empty.jpg": b"",
        "text.jpg": b"no picture at all",
        "gif.jpg": encoded(picture, "GIF"),
        "tga.jpg": encoded(picture, "TGA"),
        "tiff.jpg": encoded(picture, "TIFF"),
        "dds.jpg": encoded(picture, "DDS"),
        "postscript.jpg": encoded(picture, "EPS"),
        "bomb.jpg": jpeg_that_claims(65_001, 65_001),
        "long.jpg": jpeg_that_claims(100, 40_000),
        "large.jpg": jpeg_that_claims(8000, 8000),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    return tmp_path


def test_doctor_and_both_stages_agree_on_every_file(zoo):
    for name in ACCEPTED:
        assert verdicts(zoo, name) == [""] * 4, name
    for name, reason in REFUSED.items():
        said = verdicts(zoo, name)
        assert all(reason in one for one in said), (name, said)


def test_files_are_refused_by_their_size_before_they_are_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(FrameError, match=r"huge.jpg: cannot be read .1,099,512 MB"):
        read_picture(tmp_path / "huge.jpg")
    assert 7680 * 4320 < MAX_PIXELS < 8000 * 8000


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_are_upright_for_everybody(tmp_path, picture, turn, kind):
    exif = Image.Exif()
    exif[0x112] = turn
    name = f"00000{turn}.{'jpg' if kind == 'JPEG' else 'png'}"
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[turn]  # Pillow's transpositions
    stored = Image.fromarray(picture) if back is None else Image.fromarray(picture).transpose(back)
    stored.save(tmp_path / name, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    assert read_size(tmp_path / name) == (256, 128)
    whole = read_picture(tmp_path / name)[:, :, ::-1]
    assert np.abs(whole - picture.astype(int)).mean() < 2
    assert (FolderFrames(tmp_path)._decode(0)[:, :, ::-1] == whole).all()
    small = cv2.resize(picture, (32, 64), interpolation=cv2.INTER_AREA)
    planes = np.empty((3, 64, 32), np.uint8)
    read_planes(tmp_path / name, planes)
    assert np.abs(planes.transpose(1, 2, 0) - small.astype(int)).mean() < 4
