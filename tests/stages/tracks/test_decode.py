"""Which files are videos: every container that cameras and tools write, no playlist, script or text."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.tracks.decode import Decoder, count_packets
from stages.tracks.stream import VideoStream
from stages.tracks.video import VideoFrames

CONTAINERS = [
    ("mp4", "mp4", "libx264"),
    ("mkv", "matroska", "libx264"),
    ("avi", "avi", "mpeg4"),
    ("wmv", "asf", "wmv2"),
    ("h264", "h264", "libx264"),
    ("ts", "mpegts", "mpeg2video"),
    ("mpg", "mpeg", "mpeg1video"),
    ("mjpeg", "mjpeg", "mjpeg"),
    ("ivf", "ivf", "libvpx"),
    ("y4m", "yuv4mpegpipe", "wrapped_avframe"),
]
FRAMES = 12


def write(path: Path, container: str, codec: str) -> Path:
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(FRAMES):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("locked.mp4", "cannot be read: Permission denied; get the right to read it"),
        ("folder", "cannot be read: Is a directory; name a file, not a folder"),
        ("none.mp4", "missing; name a video that is there"),
        ("text.mp4", "cannot be read: Invalid data found when processing input; the file is damaged, or not"),
    ],
)
def test_what_keeps_a_video_closed_is_not_called_damage(tmp_path, path, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.mp4").write_text("text")
    write(tmp_path / "locked.mp4", "mp4", "libx264").chmod(0)
    user = os.geteuid()
    if user == 0 and path == "locked.mp4":
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(KeyReIDError) as error:
            Decoder(tmp_path / path)
    finally:
        os.seteuid(user)
    assert str(error.value).startswith(f"{tmp_path / path}: {says}")


def levels(path: Path) -> list[float]:
    """Mean grey level of every frame."""
    decoder = Decoder(path)
    found = [decoder.image(d.frame, 1, "").mean() for d in decoder if d.frame is not None]
    decoder.close()
    return found


def numbered(path: Path) -> list[list[int]]:
    """Numbers of the frames as `keyreid track` and `keyreid import-mot` count them."""
    stream, frames = VideoStream(path), VideoFrames(path)
    try:
        frames.check_last(FRAMES, "tracks.txt, line 3,")
        read = frames.read(np.arange(1, FRAMES + 1), "tracks.txt, line 3,")
        return [[number for number, *_ in stream], [number for number, _ in read]]
    finally:
        stream.close()
        frames.close()


@pytest.mark.parametrize("suffix, container, codec", CONTAINERS)
def test_every_frame_of_every_container_is_read(tmp_path, suffix, container, codec):
    path = write(tmp_path / f"v.{suffix}", container, codec)
    found = levels(path)
    assert len(found) == FRAMES and np.allclose(found, 20 * np.arange(FRAMES), atol=8)
    assert numbered(path) == [list(range(1, FRAMES + 1))] * 2


@pytest.mark.parametrize(
    "container, codec, before",
    [("mpegts", "mpeg2video", b"\1\2\3" * 31), ("mpeg", "mpeg1video", b"IMKH" + bytes(36))],
    ids=["stream off its packets", "recorder's private header"],
)
def test_bytes_of_a_recorder_before_the_first_packet_are_skipped(tmp_path, container, codec, before):
    path = write(tmp_path / "v", container, codec)
    path.write_bytes(before + path.read_bytes())
    assert len(levels(path)) == FRAMES and numbered(path) == [list(range(1, FRAMES + 1))] * 2


def test_packets_are_counted_without_decoding(tmp_path):
    assert count_packets(write(tmp_path / "v.mp4", "mp4", "libx264")) == FRAMES


def test_a_header_that_claims_too_few_frames_does_not_refuse_a_sound_file(tmp_path, monkeypatch):
    frames = VideoFrames(write(tmp_path / "v.avi", "avi", "mpeg4"))
    frames.count = 1
    frames.check_last(12, "tracks.txt, line 3,")
    assert frames.count == FRAMES
    with pytest.raises(KeyReIDError, match=r"has about 12 frames, but tracks\.txt, line 3, names frame 23"):
        frames.check_last(23, "tracks.txt, line 3,")
    frames.close()


def test_frames_beyond_the_largest_are_not_decoded_whatever_the_header_says(tmp_path):
    path, side = tmp_path / "v.mov", 6000
    with av.open(str(path), "w") as file:
        stream = file.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = side, side, "gray"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((side, side), np.uint8), format="gray")))
        file.mux(stream.encode())
    assert path.stat().st_size < 100_000
    with pytest.raises(KeyReIDError, match=r"v\.mov: no frame can be read.*more than 34 million pixels"):
        list(VideoStream(path))
    path = tmp_path / "v.y4m"
    path.write_bytes(b"YUV4MPEG2 W16000 H16000 F25:1 C420jpeg\nFRAME\n" + bytes(1000))
    with pytest.raises(KeyReIDError, match=r"v\.y4m: has 16000 x 16000 pixels; at most 34 million"):
        VideoStream(path)


def test_a_header_that_claims_a_billion_frames_costs_nothing(tmp_path):
    path = write(tmp_path / "v.avi", "avi", "mpeg4")
    data = bytearray(path.read_bytes())
    for place in (data.find(b"avih") + 24, data.find(b"strh") + 40):
        data[place : place + 4] = (10**9).to_bytes(4, "little")
    path.write_bytes(data)
    stream = VideoStream(path)
    assert stream.count == 10**9 and len(list(stream)) == FRAMES


@pytest.mark.parametrize(
    "content",
    [b"", b"text\n" * 2000, b"#EXTM3U\n#EXTINF:9,\nv.avi\n", b"ffconcat version 1.0\nfile v.avi\n"],
    ids=["nothing", "text", "playlist", "script"],
)
def test_what_is_no_video_is_refused(tmp_path, content):
    write(tmp_path / "v.avi", "avi", "mpeg4")
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(KeyReIDError, match="not a video that FFmpeg knows"):
        VideoFrames(tmp_path / "list")
