"""keyreid search: what cannot work ends in one line, and nothing else is printed beside it."""

import json
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


def test_the_next_search_does_not_overwrite_the_picture(search, tmp_path):
    (tmp_path / "g-search.png").mkdir()
    assert f"picture: {tmp_path / 'g-search-2.png'}" in search().out
    before = (tmp_path / "g-search-2.png").read_bytes()
    assert f"picture: {tmp_path / 'g-search-3.png'}" in search("--threshold", 0.1).out
    assert (tmp_path / "g-search-2.png").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_rows_of_the_picture_are_queries(keyreid, gallery, tmp_path):
    heights = []
    for rows in (1, 3):
        words = ("--gallery", gallery, "--query", gallery, "--top", 2, "--rows", rows)
        assert keyreid("search", *words, "-o", tmp_path / f"{rows}.png").code == 0
        heights.append(cv2.imread(str(tmp_path / f"{rows}.png")).shape[0])
    assert heights[1] > 2 * heights[0]


def test_answers_are_written_as_a_page(search, tmp_path):
    found = search("--html", tmp_path / "page", "--no-picture", "--threshold", 0.5)
    assert found.code == 0 and f"page: {tmp_path / 'page/index.html'}" in found.out
    html = (tmp_path / "page/index.html").read_text()
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    (row,) = data["rows"]
    assert row["name"] == NAME and row["entries"][0].get("query")
    assert [entry["rank"] for entry in row["entries"][1:]] == [1, 2, 3]
    assert all(entry["match"] == (entry["d"] < 0.5) for entry in row["entries"][1:])
    assert len(list((tmp_path / "page/media").iterdir())) == 8
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    assert "not a page of this program" in only_line(search("--html", tmp_path / "mine"))


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
