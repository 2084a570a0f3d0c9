"""`keyreid track`, from the command line."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.commands.track import command

WHY = "needs pip install --no-deps -r requirements/track.txt"
pytest.importorskip("trackers", reason=WHY)
pytest.importorskip("onnxruntime", reason=WHY)


def track(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


@pytest.fixture
def empty(tmp_path):
    """A video without anybody."""
    path = tmp_path / "door.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(6):
        writer.write(np.full((64, 96, 3), 90, np.uint8))
    writer.release()
    return path


def test_a_video_without_persons_is_done_and_leaves_its_record(tmp_path, empty):
    out = tmp_path / "out"
    start = "2026-11-26T08:00:00+01:00"
    result = track(empty, "--camera", "door", "--start", start, "-o", out, "--tracker", "sort")
    assert result.exit_code == 0, result.output
    record = json.loads((out / "door.track.json").read_text())
    assert (record["frames"], record["tracklets"], record["start"]) == (6, {}, start)
    assert record["config"]["tracker"] == "sort" and (out / "door.txt").read_text() == ""


@pytest.mark.parametrize(
    "more, said",
    [
        ((), "--camera NAME is missing"),
        (("--camera", "../x"), "--camera = '../x'"),
        (("--camera", "a", "--start", "2026-11-26T08:00:00"), "offset from UTC"),
        (("--camera", "a", "--start", "noon"), "--start = 'noon'"),
        (("--camera", "a", "--fps", "0"), "--fps = '0'"),
        (("--camera", "a", "--tracker", "mine"), "--tracker"),
        (("--camera", "a", "--detector", "mine"), "detector mine: no file"),
        (("--cameras", "c.yaml"), "either VIDEOS"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, empty, more, said):
    result = track(empty, *more, "-o", tmp_path / "out")
    assert result.exit_code != 0 and said in str(result.exception)
    assert not (tmp_path / "out").exists()
