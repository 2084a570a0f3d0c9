"""Frames that stay in their file are those that were written."""

import numpy as np
import pytest

from stages.reid.scoring import stored_frames
from stages.reid.scoring.stored_frames import FileFrames, StoredFrames, first_frames
from stages.reid.scoring.stored_rows import FileRows

FRAMES = (("a/1.jpg", "a/2.jpg"), ("b c/ü.jpg",), tuple(f"long/{number:060}.jpg" for number in range(8)))


def written(path, data: bytes, offsets, inside: bool = True) -> FileFrames:
    path.write_bytes(b"before" + data + b"behind")
    return FileFrames(FileRows.of(path, np.dtype("u1"), 6, (len(data), 1)), np.array(offsets), inside)


def texts(frames) -> bytes:
    return "".join(f"{frame}\0" for shown in frames for frame in shown).encode()


@pytest.mark.parametrize("step", [80, 2**22])
def test_frames_are_read_as_written(tmp_path, monkeypatch, step):
    monkeypatch.setattr(stored_frames, "_STEP", step)
    frames = written(tmp_path / "file", texts(FRAMES), [0, 2, 3, 11])
    assert len(frames) == 3 and tuple(frames) == FRAMES
    assert list(first_frames(frames)) == [shown[0] for shown in FRAMES] == list(first_frames(FRAMES))


def test_sets_follow_each_other_below_their_roots(tmp_path):
    frames = written(tmp_path / "file", texts(FRAMES), [0, 2, 3, 11])
    joined = StoredFrames(
        [("/data", frames), ("/", (("/abs/x.jpg",), ("rel.jpg",))), ("/o/./p//q", (("./y.jpg",),))]
    )
    assert [joined[row][0] for row in range(6)] == list(joined.first())
    assert [joined[row] for row in range(-6, 0)] == list(joined) and frames[-1] == FRAMES[-1]
    for some in (frames, joined):
        with pytest.raises(IndexError):
            some[len(some)]
    assert list(joined.first())[:2] == ["/data/a/1.jpg", "/data/b c/ü.jpg"]
    assert list(joined.first())[3:] == ["/abs/x.jpg", "/rel.jpg", "/o/p/q/y.jpg"]


@pytest.mark.parametrize(
    ("data", "offsets", "wrong"),
    [
        (b"a\0b", [0, 1], "1 frames|zero byte"),
        (b"ab", [0, 1], "zero byte"),
        (b"a\0b\0", [0, 1], "2 frames"),
        (b"a\0b\0", [0, 2, 2], "2 frames"),
        (b"a\0b\0", [1, 2], "2 frames"),
        (b"../a\0", [0, 1], "outside"),
        (b"a/b\0/etc\0", [0, 2], "outside"),
        (b"a/..\0", [0, 1], "outside"),
    ],
)
def test_frames_that_do_not_fit_or_lead_elsewhere_are_refused(tmp_path, data, offsets, wrong):
    with pytest.raises(ValueError, match=wrong):
        written(tmp_path / "file", data, offsets)


def test_names_with_two_dots_are_no_way_out(tmp_path):
    assert written(tmp_path / "file", b"a../..b/c..d\0", [0, 1])[0] == ("a../..b/c..d",)
