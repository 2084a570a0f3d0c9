"""What a folder of tracklets says is to be replaced, and what may be."""

import json

import pytest

from cache.errors import KeyReIDError
from stages.tracks.install import begin, install, resume
from stages.tracks.record import is_folder_name, read_record

RECORD = {
    "tag": "door", "source": "door.mp4", "camera": "door", "fingerprint": "f", "seconds": 1.0, "frames": 25,
    "tracks": 1, "crops": 5, "damaged_frames": 0, "damage": None, "tracklets": {"door-0001/door/a": 5},
}  # fmt: skip
OUTSIDE = ["..", ".", "../precious", "/tmp", "a/b", ".hidden", "", "a\\b", 3, None, "a\0"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_the_folder_is_replaced(tmp_path, name):
    out, precious = tmp_path / "out", tmp_path / "precious"
    for folder in (out, precious, out / "old", out / ".x.ready"):
        folder.mkdir()
    (precious / "kept.txt").write_text("kept")
    (out / ".x.ready" / "replaced.json").write_text(json.dumps(["old", name]))
    with pytest.raises(KeyReIDError, match="nothing was touched"):
        resume(out)
    assert (precious / "kept.txt").exists() and (out / "old").is_dir() and not is_folder_name(name)
    place = name if isinstance(name, str) else ""
    (tmp_path / "a.track.json").write_text(json.dumps(RECORD | {"tracklets": {f"{place}/door/a": 5}}))
    with pytest.raises(KeyReIDError, match=r"a\.track\.json: tracklets"):
        read_record(tmp_path / "a.track.json")


def test_a_ready_folder_that_is_a_link_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "kept.txt").write_text("kept")
    (tmp_path / "out" / ".x.ready").symlink_to(tmp_path / "precious")
    resume(tmp_path / "out")
    assert (tmp_path / "precious" / "kept.txt").exists()


def test_folders_of_an_earlier_run_make_room(tmp_path):
    (tmp_path / "door-0001").mkdir()
    (tmp_path / "door-0001" / "old.jpg").touch()
    made = begin(tmp_path, "door")
    (made / "door-0001").mkdir()
    (made / "door.track.json").write_text(json.dumps(RECORD))
    install(tmp_path, "door", ["door-0001"])
    assert not list((tmp_path / "door-0001").iterdir())
    assert read_record(tmp_path / "door.track.json") == RECORD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["door-0001", "door.track.json"]
