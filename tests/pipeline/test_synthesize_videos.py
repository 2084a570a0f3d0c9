"""`keyreid synthesize-videos`, from the command line."""

import pytest
from click.testing import CliRunner

from pipeline.commands.synthesize_videos import command
from stages.tracks.cameras import load_cameras


def make(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_a_video_and_its_boxes_for_every_camera(tmp_path):
    out = tmp_path / "street"
    result = make("-o", out, "--persons", 2, "--num-cameras", 1, "--rate", 3)
    assert result.exit_code == 0, result.output
    (camera,) = load_cameras(out / "cameras.yaml")
    assert camera.files[0].file.is_file() and (out / "door.truth.txt").stat().st_size
    assert camera.start.isoformat() == "2026-11-26T08:00:00+01:00"


@pytest.mark.parametrize("start", ["noon", "2026-11-26T08:00:00"])
def test_a_wrong_start_is_named(tmp_path, start):
    result = make("-o", tmp_path / "street", "--start", start)
    assert result.exit_code != 0 and f"--start = {start!r}" in str(result.exception)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("precious")
    assert "is not empty" in str(make("-o", tmp_path).exception)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
