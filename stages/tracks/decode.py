"""A video file decoded from its beginning: each frame with its time, and errors that FFmpeg reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.logging
import numpy as np
from av.video.reformatter import VideoReformatter

from cache.border import reading
from cache.errors import KeyReIDError
from stages.frame_file import MAX_PIXELS, check_size

# Containers of video. FFmpeg would also open playlists and scripts, which can name other files and hosts, and
# draw any text as a film.
_CONTAINERS = (
    "mov", "matroska", "avi", "flv", "ogg", "asf", "mpeg", "mpegts", "mpegvideo", "h264", "hevc", "av1",
    "obu", "m4v", "mjpeg", "ivf", "yuv4mpegpipe", "mxf", "nut", "dv", "vc1",
)  # fmt: skip
_LIMIT = {"max_pixels": str(MAX_PIXELS)}  # of a frame that FFmpeg decodes to look at a stream, or later
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)} | _LIMIT

ERRORS = (av.FFmpegError, ValueError, ArithmeticError)  # what PyAV raises for bytes that are not a video
_NO_VIDEO = "the file is damaged, or not a video that FFmpeg knows"


@dataclass
class Decoded:
    """A frame, a report of damage (frame is None), or both.

    time: seconds, None unknown. said: FFmpeg's words, "" no damage. lost: this piece of the file gave none.
    """

    time: float | None
    frame: av.VideoFrame | None = None
    said: str = ""
    lost: bool = False


class Decoder:
    """rate: frames/s, 0 unknown. count: frames as the file claims, 0 unknown. Raises KeyReIDError: no video.

    Decoding switches PyAV's log on for the whole process, at the caller's level or else at PANIC, which
    prints nothing: only then are FFmpeg's errors known.
    """

    def __init__(self, path: Path):
        self._path, self._closed = path, False
        with reading(path, "a video", _NO_VIDEO, "name a video that is there"):
            self._container = _open(path)
            self._stream = stream = self._container.streams.best("video")
            if stream is None or stream.codec_context is None:
                self.close()
                raise ValueError("no video of a known codec")
            context = stream.codec_context
            with reading(path, remedy="scale it down"):
                check_size(context.height, context.width)
            context.options = _LIMIT
            # One thread: damage is reported at its frame; the H.264 decoder neither overlooks nor hides it.
            context.thread_type = "NONE"
            self._reformatter = VideoReformatter()
            rate = float(stream.guessed_rate or 0)
            self.rate = rate if 0 < rate < 1e4 else 0.0
            seconds = float((stream.duration or 0) * stream.time_base)
            seconds = seconds or (self._container.duration or 0) / av.time_base
            count = stream.frames or int(seconds * self.rate + 0.5)
            self.count = count if 0 < count < 2**31 else 0

    def __iter__(self) -> Iterator[Decoded]:
        """Raises ValueError after close(): FFmpeg would crash."""
        av.logging.set_level(av.logging.get_level() or av.logging.PANIC)
        packets = self._container.demux(self._stream)
        packet, before = None, av.logging.get_last_error()[0]
        while True:
            if self._closed:
                raise ValueError(f"{self._path}: is closed, so no more frames can be read")
            frames, failed = [], ""
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except ERRORS as error:
                failed = str(getattr(error, "strerror", None) or error)
            errors, last = av.logging.get_last_error()
            said = " ".join(last[2].split()) if errors > before else failed
            before = errors
            if said:
                yield Decoded(packet and self._seconds(packet, packet.pts), None, said, not frames)
            for frame in frames:
                corrupt = "it concealed errors" if frame.is_corrupt else ""
                yield Decoded(self._seconds(packet, frame.pts), frame, corrupt and (said or corrupt))

    def image(self, frame: av.VideoFrame, number: int, remedy: str) -> np.ndarray:
        """uint8 [H, W, 3] in BGR, upright as the file's display matrix says.

        Raises KeyReIDError. number: of the frame, remedy: what to do, for the message.
        """
        with reading(f"{self._path}: frame {number}", "a picture", remedy):
            image = self._reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray()
            return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))

    def no_frame(self) -> KeyReIDError:
        """The error for a file without any frame."""
        large = f"its frames have more than {MAX_PIXELS / 1e6:.0f} million pixels"
        return KeyReIDError(f"{self._path}: no frame can be read; {_NO_VIDEO}, or {large}")

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._container.close()

    def _seconds(self, packet: av.Packet, stamp: int | None) -> float | None:
        """Time of `stamp`; without one, that of the piece which brought the frame out."""
        if stamp is None or self._container.format.name == "avi":  # AVI knows times of decoding only
            stamp = packet.dts
        return None if stamp is None else float(stamp * packet.time_base)


def count_packets(path: Path) -> int:
    """Pieces of the best video stream, at most one frame each, without decoding any. Raises ERRORS."""
    with _open(path) as container:
        stream = container.streams.best("video")
        return sum(1 for packet in container.demux(stream) if packet.size)


def _open(path: Path) -> "av.container.InputContainer":
    return av.open(str(path.absolute()), options=dict(_OPTIONS), metadata_errors="replace")
