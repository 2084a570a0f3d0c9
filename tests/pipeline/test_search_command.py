"""keyreid search: what cannot work ends in one line, and nothing else is printed beside it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.stages.reid.own import made_gallery

NAME = "p002/c2/0005"
WHY = "FAISS is not installed: pip install -r requirements/search.txt"


@pytest.fixture
def gallery(tmp_path) -> Path:
    """A gallery file whose frames are there."""
    made = replace(made_gallery(), root=tmp_path / "frames")
    for frame in (frame for frames in made.frames for frame in frames):
        path = made.root / frame
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((64, 32, 3), 90, np.uint8))
    return made.save(tmp_path / "g.h5")


@pytest.fixture
def search(keyreid, gallery):
    """keyreid search for a tracklet of the gallery."""
    return lambda *words: keyreid("search", "--gallery", gallery, "--query", NAME, "--top", 3, *words)


def only_line(result) -> str:
    """The error, which has to be all there is on standard error."""
    (line,) = result.err.splitlines()
    assert result.code == 2 and line.startswith("keyreid: error: ")
    return line


def test_a_picture_goes_into_a_new_folder(search, tmp_path):
    assert search("-o", tmp_path / "new" / "p.png").code == 0
    assert cv2.imread(str(tmp_path / "new" / "p.png")) is not None
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["p.png"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (".", "there is a folder of that name"),
        ("frames", "there is a folder of that name"),
        ("g.h5/p.png", "a file of that name"),
        ("/proc/p.png", "/proc"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_the_search(
    search, tmp_path, monkeypatch, target, says
):
    monkeypatch.chdir(tmp_path)
    result = search("-o", target)
    assert says in only_line(result) and result.out == ""
    assert search("-o", target, "--no-picture").code == 0


def test_a_folder_in_place_of_the_usual_picture_is_named_before_the_search(search, tmp_path):
    (tmp_path / "g-search.png").mkdir()
    result = search()
    assert "g-search.png: there is a folder of that name" in only_line(result) and result.out == ""
    assert not list(tmp_path.glob("*.tmp"))


def test_frames_that_have_moved_are_one_line_without_opencvs_own(search, tmp_path):
    (tmp_path / "frames").rename(tmp_path / "moved")
    assert "missing" in only_line(search())


def test_a_file_in_place_of_the_index_folder_is_named(search, gallery):
    pytest.importorskip("faiss", reason=WHY)
    result = search("--index", "ivf", "--index-folder", gallery)
    assert "g.h5: there is a file of that name" in only_line(result) and result.out == ""


def test_faiss_prints_no_warnings_of_few_rows(search):
    pytest.importorskip("faiss", reason=WHY)
    result = search("--index", "IVF4,PQ4x4", "--no-picture")
    assert result.code == 0 and result.err == "" and "p002/c1" in result.out


def test_of_two_galleries_with_the_same_names_the_query_is_given_with_its_file(search, keyreid, tmp_path):
    other = made_gallery(seed=1).save(tmp_path / "other.h5")
    line = only_line(search("--gallery", other))
    assert f"{tmp_path}/g.h5:{NAME}, {other}:{NAME})" in line
    words = ("search", "--gallery", tmp_path / "g.h5", "--gallery", other, "--no-picture", "--query")
    found = [keyreid(*words, f"{tmp_path}/{file}:0005") for file in ("g.h5", "other.h5")]
    assert [result.code for result in found] == [0, 0] and found[0].out != found[1].out
    assert "no tracklet" in only_line(keyreid(*words, f"{other}:p999"))


def test_the_same_tracklet_in_two_galleries_is_one_query(search, gallery, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(gallery.read_bytes())
    assert search("--gallery", copy, "--no-picture").code == 0


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "fpr=inf"])
def test_a_threshold_is_a_finite_distance(search, value):
    assert "expected a distance" in only_line(search("--threshold", value))
