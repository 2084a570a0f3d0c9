"""A video file decoded from its beginning: each frame with its time, and what FFmpeg complained of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.logging
import numpy as np
from av.video.reformatter import VideoReformatter

# How containers of video begin. FFmpeg would also open playlists and scripts, which can name other files and
# hosts, and draw any text as a film.
_BEGINNINGS = (
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),  # MP4, MOV
    *(
        (0, mark) for mark in (b"RIFF", b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"0&\xb2u")
    ),  # AVI, MKV, FLV, OGG, WMV
    *((0, mark) for mark in (b"\0\0\1", b"\0\0\0\1")),  # MPEG, bare H.264 and H.265
)
_PACKET = 188  # bytes of a transport stream's packet, each begins with "G"

ERRORS = (av.FFmpegError, ValueError, ArithmeticError)  # what PyAV raises for bytes that are no video


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
    """rate: frames/s, 0 unknown. count: frames as the file claims, 0 unknown. Raises ERRORS: no video.

    Decoding switches PyAV's log on for the whole process, at the caller's level or else at PANIC, which
    prints nothing: only then are FFmpeg's errors known.
    """

    def __init__(self, path: Path):
        if not _is_video(path):
            raise ValueError(f"{path}: does not begin like a video")
        self._path, self._closed = path, False
        options = {"protocol_whitelist": "file"}
        self._container = av.open(str(path.absolute()), options=options, metadata_errors="replace")
        self._stream = stream = self._container.streams.best("video")
        if stream is None or stream.codec_context is None:
            self.close()
            raise ValueError(f"{path}: holds no video of a known codec")
        # One thread: damage is told at its very frame, and the H.264 decoder neither overlooks nor hides it.
        stream.codec_context.thread_type = "NONE"
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

    def image(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 [H, W, 3] in BGR, upright as the file's display matrix says."""
        image = self._reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))

    def close(self) -> None:
        """Let go of the file."""
        self._closed = True
        self._container.close()

    def _seconds(self, packet: av.Packet, stamp: int | None) -> float | None:
        """Time of `stamp`; without one, that of the piece which brought the frame out."""
        if stamp is None or self._container.format.name == "avi":  # AVI knows times of decoding only
            stamp = packet.dts
        return None if stamp is None else float(stamp * packet.time_base)


def _is_video(path: Path) -> bool:
    with path.open("rb") as file:
        data = file.read(3 * _PACKET)
    stream = any(data[at::step][:2] == b"GG" for at, step in ((0, _PACKET), (4, _PACKET + 4)))
    return stream or any(data.startswith(mark, at) for at, mark in _BEGINNINGS)
