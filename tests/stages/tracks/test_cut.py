"""Cutting: exact frames, the right pixels, nothing half-written."""

import csv
import json
import re
import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.times import Span, read_times
from stages.tracks import CutConfig, run
from stages.tracks.cut import ABOUT

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
SCRIPT = b"ffconcat version 1.0\nfile video.avi\n"
WIDTH, HEIGHT, FRAMES = 160, 120, 60


def picture(number: int) -> np.ndarray:
    """A frame that tells its number by its grey level, and left from right by colour."""
    image = np.full((HEIGHT, WIDTH, 3), 4 * number, np.uint8)
    image[:, WIDTH // 2 :, 0] = 0
    return image


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for number in range(1, FRAMES + 1):
        writer.write(picture(number))
    writer.release()
    return path


def tracks(tmp_path, rows):
    path = tmp_path / "tracks.txt"
    path.write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))
    return path


def config(**options):
    return CutConfig(**{"camera": "door", "min_width": 4, "min_height": 4, "size": None} | options)


def test_crops_have_the_pixels_of_exactly_their_frame(tmp_path, video):
    file = tracks(tmp_path, [(n, 3, 10, 20, 30, 40) for n in range(5, 25)])
    out = run(config(pad_width=0, pad_height=0), file, video, tmp_path / "out")
    crops = sorted(out.rglob("*.jpg"))
    assert [int(c.stem) for c in crops] == list(range(5, 25))
    assert crops[0].parent.relative_to(out).as_posix() == "door-0003/door/000005-000024"
    for crop in crops:
        image = cv2.imread(str(crop))
        assert image.shape == (40, 30, 3) and abs(image.mean() - 4 * int(crop.stem)) < 2


def test_the_result_is_a_data_set_in_the_folder_layout(tmp_path, video):
    rows = [(n, t, 10, 20, 30, 40) for t in (1, 2, 30) for n in range(1, 9)]
    out = run(config(), tracks(tmp_path, rows), video, tmp_path / "out")
    dataset = load_dataset("folder", out)
    assert [len(t.frames) for t in dataset.tracklets()] == [8, 8, 8]
    assert len({t.person for t in dataset.tracklets()}) == 3 and dataset.cameras() == (1,)
    listed = list(csv.DictReader((out / "boxes.tsv").open(), delimiter="\t"))
    assert sorted(r["frame"] for r in listed) == sorted(dataset.frames())


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_a_folder_of_images_gives_what_the_video_gives(tmp_path, video, suffix):
    frames = tmp_path / "img1"
    frames.mkdir()
    for number in range(1, FRAMES + 1):
        cv2.imwrite(str(frames / f"{number:06d}{suffix}"), picture(number))
    file = tracks(tmp_path, [(n, 3, 10, 20, 30, 40) for n in range(50, 61)])
    ours, theirs = (run(config(), file, s, tmp_path / f"out-{s.stem}") for s in (frames, video))
    names = [p.relative_to(ours) for p in sorted(ours.rglob("*.jpg"))]
    assert names == [p.relative_to(theirs) for p in sorted(theirs.rglob("*.jpg"))] and len(names) == 11
    for name in names:
        assert np.abs(cv2.imread(str(ours / name)) - cv2.imread(str(theirs / name)).astype(int)).mean() < 2


def test_boxes_are_padded_then_clipped_and_small_ones_left_out(tmp_path, video):
    rows = [(n, 1, -20, 50, 120, 100) for n in range(1, 5)]
    rows += [(n, 2, 500, 50, 20, 20) for n in range(1, 5)]  # outside
    rows += [(n, 3, -18, 50, 20, 20) for n in range(1, 5)]  # two pixels inside
    out = run(config(), tracks(tmp_path, rows), video, tmp_path / "out")
    shapes = {cv2.imread(str(c)).shape for c in out.rglob("*.jpg")}
    assert shapes == {(HEIGHT - 48, 104, 3)}
    left_out = json.loads((out / ABOUT).read_text())["left_out"]
    assert list(left_out.values()) == [4, 4]


def test_a_box_narrower_than_a_pixel_is_too_small_and_not_outside(tmp_path, video):
    rows = [(n, 1, 10, 20, 30, 40) for n in range(1, 5)]
    rows += [(1, t, left, 20, 0.2, 40) for t, left in ((2, 0), (3, 50), (4, WIDTH - 1))]
    rows += [(1, 5, WIDTH, 20, 0.2, 40), (1, 6, -9, 20, 9, 40)]
    out = run(config(), tracks(tmp_path, rows), video, tmp_path / "out")
    left_out = json.loads((out / ABOUT).read_text())["left_out"]
    assert left_out == {"outside the frame": 2, "smaller than 4x4 inside the frame": 3}


def test_gaps_split_a_track_and_short_pieces_are_left_out(tmp_path, video):
    numbers = [*range(1, 7), *range(9, 12), *range(20, 23), *range(40, 50)]
    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in numbers])
    out = run(config(max_gap=2, min_length=5), file, video, tmp_path / "out")
    assert sorted(p.name for p in (out / "door-0001/door").iterdir()) == ["000001-000011", "000040-000049"]
    assert json.loads((out / ABOUT).read_text())["crops"] == 19


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "", ".", "..", ".hidden", "a\\b", "a\0b", "a" * 65, "a\nb", "a\n"]
)
def test_a_camera_name_cannot_leave_the_folder(name):
    with pytest.raises(ValueError, match="camera"):
        CutConfig(camera=name)


def test_a_process_killed_between_the_renames_of_force_leaves_a_folder_that_the_next_run_restores(
    tmp_path, video
):
    file = tracks(tmp_path, [(n, 3, 10, 20, 30, 40) for n in range(5, 25)])
    out = run(config(), file, video, tmp_path / "out")
    out.rename(tmp_path / ".out.0a1b2c3d.old")
    with pytest.raises(KeyReIDError, match="not empty"):
        run(config(), file, video, out)
    assert len(list(out.rglob("*.jpg"))) == 20
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_is_back_where_its_replacement_does_not_take_its_place(tmp_path, video, monkeypatch):
    file = tracks(tmp_path, [(n, 3, 10, 20, 30, 40) for n in range(5, 25)])
    out = run(config(), file, video, tmp_path / "out")
    real, calls = Path.rename, []

    def killed(self, target):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config(quality=50), file, video, out, force=True)
    assert len(list(out.rglob("*.jpg"))) == 20
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_tracklets_have_the_times_of_their_frames(tmp_path, video):
    file = tracks(tmp_path, [(n, 3, 10, 20, 30, 40) for n in range(26, 51)])
    name = "door-0003/door/000026-000050"
    assert read_times(run(config(), file, video, tmp_path / "a"))[name] == Span("1.000", "1.960", 26, 50)
    start = "2026-11-26T08:00:00+01:00"
    clock = read_times(run(config(start=start), file, video, tmp_path / "b"))[name]
    assert clock == Span("2026-11-26T08:00:01.000+01:00", "2026-11-26T08:00:01.960+01:00", 26, 50)


def test_tracks_beyond_the_video_are_refused_before_any_work(tmp_path, video):
    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in (1, 2, 3, 4, 5000)])
    with pytest.raises(KeyReIDError, match=r"video\.avi.*tracks\.txt, line 5, names frame 5000"):
        run(config(), file, video, tmp_path / "out")
    run(config(last_frame=4), file, video, tmp_path / "out")


def test_a_video_cut_short_is_named_and_leaves_nothing(tmp_path, video):
    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in range(1, FRAMES + 1)])
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyReIDError, match=r"video\.avi.* frame"):
        run(config(), file, video, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


def test_a_frame_that_cannot_be_decoded_is_named(tmp_path, video):
    data = bytearray(video.read_bytes())
    at, place = data.find(b"movi") + 4, 0
    while place < 30:  # skip to the data of frame 31 and wipe it
        (size,) = struct.unpack_from("<I", data, at + 4)
        place += data[at : at + 4] == b"00dc"
        at += 8 + size + size % 2
    (size,) = struct.unpack_from("<I", data, at + 4)
    data[at + 8 : at + 8 + size] = bytes(size)
    video.write_bytes(data)
    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in range(1, FRAMES)])
    with pytest.raises(KeyReIDError, match=r"video\.avi: frame 31 cannot be decoded .*--last-frame 30$"):
        run(config(), file, video, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(config(last_frame=30), file, video, tmp_path / "out")


def test_a_lost_frame_is_noticed_before_it_shifts_the_numbers(tmp_path):
    video = tmp_path / "video.mkv"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for number in range(1, FRAMES + 1):
        writer.write(picture(number))
    writer.release()
    data = bytearray(video.read_bytes())
    blocks = [m.start() for m in re.finditer(rb"\x81..\x80\xff\xd8\xff", data, re.DOTALL)]
    assert len(blocks) == FRAMES
    for at in blocks[30:]:  # frame 31 and all after it: the time of one frame later
        struct.pack_into(">h", data, at + 1, struct.unpack_from(">h", data, at + 1)[0] + 40)
    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in range(1, FRAMES)])
    run(config(), file, video, tmp_path / "whole")
    video.write_bytes(data)
    with pytest.raises(KeyReIDError, match=r"video\.mkv: frame 31 has the time of frame 32"):
        run(config(), file, video, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run(config(count_frames=True), file, video, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no video", b"text\n" * 1000, bytes(9999), PLAYLIST, SCRIPT])
def test_a_file_that_is_no_video_is_named(tmp_path, video, content):
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(KeyReIDError, match=r"video\.mp4: .*not a video that FFmpeg knows"):
        run(config(), tracks(tmp_path, [(1, 1, 1, 1, 9, 9)]), path, tmp_path / "out")


def test_a_folder_with_a_missing_frame_is_refused(tmp_path):
    frames = tmp_path / "img1"
    frames.mkdir()
    for number in (1, 2, 4):
        cv2.imwrite(str(frames / f"{number:06d}.png"), picture(number))
    with pytest.raises(KeyReIDError, match=r"000004\.png comes after 000002\.png"):
        run(config(), tracks(tmp_path, [(1, 1, 1, 1, 9, 9)]), frames, tmp_path / "out")


def test_only_its_own_result_is_replaced_and_only_when_told(tmp_path, video):
    out = tmp_path / "out"
    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in range(1, 9)])
    out.mkdir()  # empty: fine
    run(config(), file, video, out)
    with pytest.raises(KeyReIDError, match="not empty"):
        run(config(), file, video, out)
    run(config(camera="yard"), file, video, out, force=True)
    assert {p.name for p in out.iterdir() if p.is_dir()} == {"yard-0001"}
    (out / ABOUT).unlink()
    with pytest.raises(KeyReIDError, match="not made by import-mot"):
        run(config(), file, video, out, force=True)
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_left_of_an_interrupted_run(tmp_path, video):
    def stop(done, total):
        raise KeyboardInterrupt

    file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in range(1, 9)])
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        run(config(), file, video, tmp_path / "out", progress=stop)
    assert set(tmp_path.iterdir()) == before


def test_memory_does_not_grow_with_the_video(tmp_path):
    def peak(frames: int) -> int:
        path = tmp_path / f"{frames}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (640, 480))
        for _ in range(frames):
            writer.write(np.zeros((480, 640, 3), np.uint8))
        writer.release()
        file = tracks(tmp_path, [(n, 1, 10, 20, 30, 40) for n in range(1, frames + 1)])
        tracemalloc.start()  # OpenCV allocates through numpy, which reports to it
        try:
            run(config(), file, path, tmp_path / f"out{frames}", force=True)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # what the first call imports and caches
    assert peak(300) - peak(10) < 5 * 640 * 480 * 3  # far less than 290 frames more


def test_the_real_video_gives_the_crops_of_mini_mars(tmp_path, real_data):
    boxes = list(csv.DictReader((real_data / "mini-mars/boxes.csv").open()))
    rows = [(int(r["video_frame"]) + 1, r["pid"], r["x"], r["y"], r["w"], r["h"]) for r in boxes]
    options = CutConfig(camera="door", max_gap=1000)
    out = run(options, tracks(tmp_path, rows), real_data / "videos/one-by-one.mp4", tmp_path / "out")
    ours = {(int(p.parts[-4][-4:]), int(p.stem)): p for p in out.rglob("*.jpg")}
    theirs = {p.name: p for p in (real_data / "mini-mars").glob("bbox_*/*/*.jpg")}
    assert len(ours) == len(boxes) == 501
    for row in boxes:
        crop = cv2.imread(str(ours[int(row["pid"]), int(row["video_frame"]) + 1])).astype(int)
        assert np.abs(crop - cv2.imread(str(theirs[row["name"]]))).mean() < 4, row["name"]


def test_the_folder_in_which_one_stands_is_not_replaced(tmp_path, video, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (Path(), tmp_path, tmp_path.parent):
        with pytest.raises(KeyReIDError, match="is the folder that you are in, or around it; name a new"):
            run(CutConfig(camera="c"), tmp_path / "tracks.txt", video, out)
