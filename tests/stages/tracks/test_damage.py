"""Damaged videos are named; whole ones give exact frames whatever their container."""

import json
import random
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cache.errors import KeyReIDError
from pipeline.cli import keyreid
from stages.tracks import CutConfig, run
from stages.tracks.cut import ABOUT
from stages.tracks.video import VideoFrames

WIDTH, HEIGHT, FRAMES, GROUP = 160, 120, 60, 10
GRAIN = np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 3), np.uint8)


def picture(number: int) -> np.ndarray:
    """A frame that tells its number by its grey level, and up from down by its bright upper half."""
    image = GRAIN + np.uint8(2 * number)
    image[: HEIGHT // 2] += 60
    return image


def write(path, codec="libx264", first=0, rotation=0, gap=FRAMES, **options):
    """gap: number of the last frame before one is left out."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options={"g": str(GROUP), **options})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.thread_count = 8_000_000, 1  # with more, a frame is several pieces
        stream.set_display_rotation(rotation)
        for number in range(1, FRAMES + 1):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = first + number - 1 + (number > gap), Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def wipe(path, number):
    """Overwrite the middle of the data of one frame, the `number`-th to be decoded."""
    with av.open(str(path)) as file:
        places = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    place, size = places[number - 1]
    data = bytearray(path.read_bytes())
    data[place + size // 3 : place + size // 3 + 20] = random.Random(0).randbytes(20)
    path.write_bytes(data)


def tracks(folder, numbers):
    path = folder / "tracks.txt"
    path.write_text("".join(f"{n},1,10,20,60,80,1,-1,-1,-1\n" for n in numbers))
    return path


def read(path, wanted=range(1, FRAMES + 1), **options):
    frames = VideoFrames(path, **options)
    try:
        frames.check_last(FRAMES, "tracks.txt")
        return dict(frames.read(np.array(wanted), "tracks.txt")), frames
    finally:
        frames.close()


def test_a_damaged_frame_is_recorded_and_warned_of(tmp_path):
    path = write(tmp_path / "video.mp4", bf="0")
    file = tracks(tmp_path, range(1, FRAMES + 1))
    whole = run(CutConfig(camera="door"), file, path, tmp_path / "whole")
    about = json.loads((whole / ABOUT).read_text())
    assert about["damaged_frames"] == [] and about["damage"] is None
    wipe(path, 31)
    words = ["import-mot", "-o", tmp_path / "out", "--video", path, "--tracks", file, "--camera", "door"]
    result = CliRunner().invoke(keyreid, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    warning = f"keyreid: warning: {path}: the decoder reports damage at 1 of its frames, by number 31 ("
    assert warning in result.stderr and "--force" in result.stderr
    about = json.loads((tmp_path / "out" / ABOUT).read_text())
    assert about["damaged_frames"] == [31] and "MB" in about["damage"]
    crops = [p.relative_to(whole) for p in sorted(whole.rglob("*.jpg"))]
    same = [(whole / c).read_bytes() == (tmp_path / "out" / c).read_bytes() for c in crops]
    assert len(same) == FRAMES and same == [not 31 <= n <= 40 for n in range(1, FRAMES + 1)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bframes.mp4", {"bf": "3"}),
        ("bframes.avi", {"bf": "3"}),
        ("late.mkv", {"bf": "3", "first": 37}),
        ("late.ts", {"bf": "3", "first": 100}),
        ("bare.h264", {"bf": "3"}),  # neither times nor a count
        ("old.avi", {"codec": "mpeg4", "bf": "2"}),
        ("web.webm", {"codec": "libvpx-vp9"}),
    ],
)
def test_frames_are_exact_in_every_container(tmp_path, name, options):
    images, frames = read(write(tmp_path / name, **options))
    grey = [image.mean() - images[1].mean() for image in images.values()]
    assert list(images) == list(range(1, FRAMES + 1)) and not frames.damaged
    assert np.abs(np.array(grey) - 2 * np.arange(FRAMES)).max() < 1


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_frames_are_upright(tmp_path, rotation, turns):
    images, frames = read(write(tmp_path / "video.mp4", rotation=rotation))
    expected = np.rot90(picture(9), turns).astype(int)
    assert frames.size == expected.shape[1::-1]
    assert np.abs(images[9] - expected).mean() < 20 < np.abs(images[9] - expected[::-1, ::-1]).mean()


def test_a_lost_frame_of_a_bare_stream_is_named(tmp_path):
    path = write(tmp_path / "video.h264", bf="0")
    data = path.read_bytes()
    at = [i for i in range(len(data)) if data.startswith((b"\0\0\1\x41", b"\0\0\1\x65"), i)]
    broken = bytearray(data)
    broken[at[30] + 4 : at[31]] = b"\1" * (at[31] - at[30] - 4)  # the header of frame 31 is wrong
    path.write_bytes(broken)
    with pytest.raises(KeyReIDError, match=r"video\.h264: frame 31 cannot be decoded"):
        read(path)
    images, frames = read(path, range(1, 41), count_frames=True)
    assert len(images) == 40 and 31 in frames.damaged


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi", "video.ts"])
def test_a_frame_held_back_for_reordering_is_not_called_lost(tmp_path, name):
    path = write(tmp_path / name, bf="3")
    wipe(path, 1)
    with pytest.raises(KeyReIDError, match="ends after frame 60, but"):
        read(path, range(1, 71))


def test_damage_that_lost_no_frame_does_not_hide_uneven_times(tmp_path):
    path = write(tmp_path / "video.mkv", bf="3", gap=40)
    wipe(path, 1)
    with pytest.raises(KeyReIDError, match=r"frame 41 has the time of frame 42\.0 .*--count-frames"):
        read(path)


def test_damage_before_the_first_frame_is_out_has_its_own_number(tmp_path):
    path = write(tmp_path / "video.mkv", bf="3")
    whole, _ = read(path)
    wipe(path, 2)
    images, frames = read(path)
    assert [n for n in images if (images[n] != whole[n]).any()] == list(range(2, 11))
    assert frames.damaged == {2}


def test_reading_on_after_close_is_refused(tmp_path):
    frames = VideoFrames(write(tmp_path / "video.mp4"))
    images = frames.read(np.array([1, 2]), "tracks.txt")
    next(images)
    frames.close()
    with pytest.raises(ValueError, match=r"video\.mp4: is closed"):
        next(images)


@pytest.mark.parametrize("silence", [lambda: av.logging.set_level(None), av.logging.restore_default_callback])
def test_damage_is_told_in_words_whatever_the_log_was(tmp_path, capfd, silence):
    path = write(tmp_path / "video.mp4", bf="0")
    wipe(path, 31)
    silence()
    _, frames = read(path)
    assert frames.damaged == {31} and "MB" in frames.said and not capfd.readouterr().err


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi", "video.ts", "video.h264"])
def test_any_bytes_give_frames_a_report_or_one_line(tmp_path, name):
    data, results = write(tmp_path / name, bf="2").read_bytes(), []
    assert not read(tmp_path / name)[1].damaged
    for seed in range(20):
        rng, damaged = random.Random(seed), bytearray(data)
        for _ in range(rng.choice((1, 8, 64))):
            damaged[rng.randrange(len(data))] = rng.randrange(256)
        del damaged[rng.choice((len(data), rng.randrange(len(data)))) :]
        (tmp_path / name).write_bytes(damaged)
        try:
            images, frames = read(tmp_path / name)
            assert len(images) == FRAMES
            results.append("reported" if frames.damaged else "frames")
        except KeyReIDError as error:
            assert name in str(error) and "\n" not in str(error)
            results.append("refused")
    assert {"reported", "refused"} <= set(results)


@pytest.mark.parametrize(("seed", "expected"), [(0, [551]), (1, [245, 461, 1171])])
def test_damage_of_the_real_video_is_found(tmp_path, real_data, seed, expected):
    data = bytearray((real_data / "videos/one-by-one.mp4").read_bytes())
    rng, size = random.Random(seed), len(data)
    for _ in range(3):
        place = rng.randrange(30000, size)
        data[place : place + 20] = rng.randbytes(20)
    (tmp_path / "video.mp4").write_bytes(data)
    frames = VideoFrames(tmp_path / "video.mp4")
    images = frames.read(np.array([1, 1394]), "tracks.txt")
    assert all(cv2.meanStdDev(image)[1].min() > 1 for _, image in images)
    frames.close()
    assert sorted(frames.damaged) == expected and frames.said


def test_a_picture_of_a_folder_that_decodes_with_a_warning_is_recorded(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 5):
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), picture(number))
    whole = (folder / "000003.jpg").read_bytes()
    (folder / "000003.jpg").write_bytes(whole[: len(whole) // 2] + whole[-2:])
    about = json.loads(
        (
            run(CutConfig(camera="a"), tracks(tmp_path, range(1, 5)), folder, tmp_path / "out") / ABOUT
        ).read_text()
    )
    assert about["damaged_frames"] == [3] and "premature end" in about["damage"]
