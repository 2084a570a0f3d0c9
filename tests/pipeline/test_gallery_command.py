"""A gallery that grows, on the command line: filled day by day, searched, listed, checked, thinned out."""

import importlib.util
import json
import shutil

import cv2
import pytest

from tests.stages.pose import tiny
from tests.stages.reid.own import write_run
from tests.stages.reid.test_append import film


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with run/ and the tracklets of two cameras on two days."""
    folder = tmp_path_factory.mktemp("grown")
    write_run(folder / "run", tiny.write_estimator(folder / "pose"))
    for number, day in ((23, "mon"), (24, "tue")):
        for camera in ("door", "yard"):
            film(folder / day / camera, camera, number)
    return folder


@pytest.fixture
def work(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def good(result) -> str:
    assert result.code == 0, result.err
    return result.out


def test_days_of_several_cameras_are_added_searched_and_removed(work, keyreid):
    assert "6 tracklets added" in good(keyreid("embed", "mon", "--run", "run", "--append", "people"))
    assert "6 tracklets added" in good(keyreid("embed", "tue", "--append", "people"))
    assert "0 tracklets added, 6 were there" in good(keyreid("embed", "tue", "--append", "people"))
    assert "sound, 12 tracklets" in good(keyreid("gallery", "verify", "people"))

    listed = good(keyreid("gallery", "list", "people"))
    assert "12 tracklets" in listed and "2026-11-23" in listed
    mon, tue = json.loads(good(keyreid("gallery", "list", "people", "--json")))
    assert mon["cameras"] == ["door", "yard"] and mon["root"] == str(work / "mon")
    assert mon["times"] == ["2026-11-23T08:00:00+01:00", "2026-11-23T08:00:02+01:00"]

    words = ("search", "--gallery", "people", "--no-picture", "--json", "--query")
    name = "yard/yard-0001/yard/000001-000002"
    line = keyreid(*words, name).err  # on both days
    assert f"{mon['part']}:{name}" in line and f"{tue['part']}:{name}" in line
    name = f"{tue['part']}:{name}"
    (record,) = json.loads(good(keyreid(*words, name, "--top", 20)))
    assert record["part"] == tue["part"] and record["start"] == "2026-11-24T08:00:00+01:00"
    assert len({(a["tracklet"], a["part"]) for a in record["answers"]}) == 11
    choice = ("--from", "2026-11-23T07:00:01Z", "--to", "2026-11-23T12:00:00Z", "--camera", "door")
    (record,) = json.loads(good(keyreid(*words, name, *choice)))
    assert {a["start"][:19] for a in record["answers"]} == {f"2026-11-23T08:00:0{s}" for s in (1, 2)}
    table = good(keyreid("search", "--gallery", "people", "--query", name, "--top", 20))
    assert all(text in table for text in ("filmed", "part", "2026-11-24", "picture: people-search.png"))
    assert cv2.imread("people-search.png") is not None

    if importlib.util.find_spec("faiss"):
        good(keyreid(*words, name, "--index", "flat"))
        assert len(list((work / "people/indexes").glob("*.faiss"))) == 1
    gone = good(keyreid("gallery", "remove", "people", "--camera", "yard"))
    assert not list((work / "people").glob("indexes/*"))
    left = json.loads(good(keyreid("gallery", "list", "people", "--json")))
    assert "6 tracklets removed" in gone and str(work / "mon") in gone
    assert [part["tracklets"] for part in left] == [3, 3]
    assert keyreid("gallery", "remove", "people", "--older-than", "x").code == 2


def test_jobs_fill_galleries_of_their_own_which_are_merged(work, keyreid):
    words = ("embed", "mon", "--run", "run", "--append", "jobs", "--part-size", 2)
    assert "4 tracklets added" in good(keyreid(*words, "--part", "2/2"))
    assert "part 1 of 2 is missing; run the job with --part 1/2" in keyreid("gallery", "merge", "jobs").err
    good(keyreid(*words, "--part", "1/2"))
    assert "jobs: 6 tracklets added, 0 were there already" in good(keyreid("gallery", "merge", "jobs"))
    assert "sound, 6 tracklets" in good(keyreid("gallery", "verify", "jobs"))
    assert (
        "--part goes with --append"
        in keyreid("embed", "mon", "--run", "run", "-o", "x.h5", "--part", "1/2").err
    )


def test_a_list_of_frames_is_embedded(work, keyreid, tmp_path):
    folder = "door/door-0001/door/000001-000002"
    rows = [f"{folder}/{name}.jpg,7,door,first,test" for name in ("000001", "000002")]
    (tmp_path / "some.csv").write_text("\n".join(["frame,person,camera,tracklet,subset", *rows]))
    words = ("embed", "mon", "--list", tmp_path / "some.csv", "--run", "run", "--cache", "poses/some")
    assert "1 tracklets" in good(keyreid(*words, "-o", tmp_path / "some.h5"))


def test_a_picture_is_a_query_and_damage_ends_with_an_error(work, keyreid):
    good(keyreid("embed", "mon/door", "--run", "run", "--append", "few"))
    picture = shutil.copy("mon/door/door-0002/door/000001-000002/000001.jpg", "a.jpg")
    out = good(keyreid("search", picture, "--gallery", "few", "--top", 1, "--json", "--no-picture"))
    assert json.loads(out)[0]["answers"][0]["tracklet"].startswith("door-0002")
    shutil.copy(picture, "a.txt")
    assert "not a whole file of embeddings" in keyreid("search", "a.txt", "--gallery", "few").err
    assert "give one QUERY" in keyreid("search", "a.txt", "--gallery", "few", "--query", "b").err
    (part,) = (work / "few").glob("part-*.h5")
    part.write_bytes(part.read_bytes()[:-9])
    result = keyreid("gallery", "verify", "few")
    assert result.code == 2 and "damaged" in result.out
    for words, says in (
        (("embed", "mon", "--append", "none"), "give --run"),
        (("embed", "mon", "--run", "run"), "either -o FILE, or --append FOLDER"),
        (("gallery", "list", "mon"), "not a gallery"),
        (("search", "x", "--gallery", "few", "--index", "flat", "--index-folder", "i"), "keeps its indexes"),
    ):
        assert says in keyreid(*words).err
