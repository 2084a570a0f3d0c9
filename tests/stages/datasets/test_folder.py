"""Data that users bring: trees and lists."""

from pathlib import Path

import pytest
from PIL import Image

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.files import IMAGE_SUFFIXES
from stages.datasets.times import write_times
from stages.frame_file import read_picture
from tests.stages.datasets.layouts import write_tree

HEADER = "frame,person,camera,tracklet,subset\n"


def write_list(root, rows, name="frames.csv", touch=True):
    root.mkdir(exist_ok=True)
    for row in rows if touch else ():
        (root / row.split(",")[0]).touch()
    (root / name).write_text(HEADER + "".join(r + "\n" for r in rows))
    return root


def test_tree_with_subsets_numbers_persons_and_divides_test_as_mars(tmp_path):
    places = ["train/alice/1/t1", "test/bob/1/t1", "test/bob/1/t2", "test/carol/2/t1", "test/distractor/2/x"]
    data = load_dataset("folder", write_tree(tmp_path / "d", places))
    assert [t.person for t in data.train] == [1]
    assert [t.name for t in data.query] == ["test/bob/1/t1", "test/carol/2/t1"]
    assert [t.person for t in data.gallery] == [2, 2, 3, 0]
    assert data.query[0].frames == ("test/bob/1/t1/f2.JPG", "test/bob/1/t1/f10.jpg")
    assert "1 = alice" in data.notes["persons"]


def test_tree_without_subsets_halves_the_persons(tmp_path):
    places = [f"{p}/{c}/t" for p in ("10", "2", "1", "9") for c in ("3", "4")] + ["0/3/t", "-1/3/t"]
    data = load_dataset("folder", write_tree(tmp_path / "d", places))
    assert {t.person for t in data.train} == {1, 2}
    assert {t.person for t in data.gallery} == {9, 10, 0, -1}
    assert len(data.query) == 4
    assert "first 2 persons train" in data.notes["split"]


def test_tree_of_unknown_cameras_keeps_queries_out_of_the_gallery(tmp_path):
    data = load_dataset("folder", write_tree(tmp_path / "d", [f"test/1/unknown/t{i}" for i in range(3)]))
    assert [t.name for t in data.query] == ["test/1/unknown/t0"]
    assert [t.name for t in data.gallery] == ["test/1/unknown/t1", "test/1/unknown/t2"]
    assert data.query[0].camera is None


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([], "neither"),
        (["train/1/1/t", "other/1/1/t"], r"other.*no subset"),
        (["test/1/1/t", "query/1/1/t"], "either test or both"),
        (["query/1/1/t"], "no tracklet for the gallery"),
        (["train/1", "train/2/1/t"], "no folder of a camera"),
        (["train/1/1/t", "train/01/2/t"], "one number"),
        (["train/0/1/t"], "junk or a distractor"),
        (["test/-2/1/t"], "below -1"),
        (["test/1/-3/t"], "below 0"),
    ],
)
def test_a_wrong_tree_is_named(tmp_path, places, words):
    (tmp_path / "d").mkdir()
    with pytest.raises(KeyReIDError, match=words):
        load_dataset("folder", write_tree(tmp_path / "d", places))


def test_trees_of_several_cameras_in_one_folder_are_read_together(tmp_path):
    root = write_tree(tmp_path / "d", ["mon/door/door-0001/door/1-9", "mon/yard/yard-0001/yard/1-9"])
    write_tree(root, ["tue/door/door-0001/door/1-9"])
    data = load_dataset("folder", root)
    assert [t.name for t in data.tracklets()] == [
        "mon/door/door-0001/door/1-9",
        "tue/door/door-0001/door/1-9",
        "mon/yard/yard-0001/yard/1-9",
    ]
    assert len({t.person for t in data.tracklets()}) == 2 and len(data.cameras()) == 2 and data.labelled
    for day in ("mon", "tue"):  # two trackers use the same numbers
        (root / day / "door/door.track.json").touch()
        write_times(root / day / "door/door.times.tsv", [("door-0001/door/1-9", "door", 1, 9, "1", "2")])
    data = load_dataset("folder", root)
    assert len({t.person for t in data.tracklets()}) == 3 and not data.labelled
    assert [t.span is None for t in sorted(data.tracklets(), key=lambda t: t.name)] == [False, True, False]
    write_tree(root, ["mon/door/other/deep/er/1-9"])
    with pytest.raises(KeyReIDError, match=r"other/deep/er: folders where frames should be"):
        load_dataset("folder", root)


def test_an_empty_tracklet_is_named_and_other_files_are_noted(tmp_path):
    root = write_tree(tmp_path / "d", ["train/1/1/t"])
    (root / "train/1/1/t/notes.txt").touch()
    assert "1 files" in load_dataset("folder", root).notes["train/1/1/t"]
    (root / "train/1/1/empty").mkdir()
    with pytest.raises(KeyReIDError, match=r"train/1/1/empty.*without a frame"):
        load_dataset("folder", root)


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, ".WebP"])
def test_every_picture_that_can_be_read_is_a_frame(tmp_path, suffix):
    root = write_tree(tmp_path / "d", ["train/1/1/t"])
    Image.new("RGB", (8, 16)).save(root / f"train/1/1/t/zz{suffix}")
    assert load_dataset("folder", root).train[0].frames[-1] == f"train/1/1/t/zz{suffix}"
    read_picture(root / f"train/1/1/t/zz{suffix}")


def test_list_of_frames(tmp_path):
    rows = ["b.jpg,7,2,t,train", "a.jpg,7,2,t,train", "q.png,8,1,t,query", "g.jpeg,8,,t,gallery"]
    data = load_dataset("folder", write_list(tmp_path / "d", rows))
    assert data.train[0].frames == ("b.jpg", "a.jpg")  # the list's order is the time order
    assert (data.query[0].camera, data.gallery[0].camera) == (1, None)
    assert data.query[0].name == "query/t"


def test_list_may_have_other_columns_a_byte_order_mark_and_another_name(tmp_path):
    root = tmp_path / "d"
    root.mkdir()
    (root / "mine.csv").write_text("\ufeffnote,subset,tracklet,camera,person,frame\nx,train,t,1,1,a.jpg\n")
    assert load_dataset("folder", root, check_files=False).train[0].frames == ("a.jpg",)
    (root / "other.csv").touch()
    with pytest.raises(KeyReIDError, match=r"2 CSV files.*--list, or rename it frames\.csv"):
        load_dataset("folder", root, check_files=False)
    for name in (Path("mine.csv"), root / "mine.csv"):
        assert load_dataset("folder", root, check_files=False, frame_list=name).train[0].frames == ("a.jpg",)
    with pytest.raises(KeyReIDError, match=r"none\.txt"):
        load_dataset("folder", root, frame_list=Path("none.txt"))
    with pytest.raises(KeyReIDError, match="dataset mars has one kind of list;"):
        load_dataset("mars", root, frame_list=Path("mine.csv"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("../a.jpg,1,1,u,train", r"line 3.*leave the data root"),
        ("x/../../a.jpg,1,1,u,train", r"line 3.*leave the data root"),
        ("/etc/a.jpg,1,1,u,train", r"line 3.*absolute"),
        ("C:\\a.jpg,1,1,u,train", r"line 3.*absolute"),
        ("\\\\host\\a.jpg,1,1,u,train", r"line 3.*absolute"),
        ("a.txt,1,1,u,train", r"line 3.*not an image"),
        (",1,1,u,train", r"line 3.*not a file name"),
        ("a.jpg,2,1,t,train", r"line 3.*person 2, camera 1.*person 1, camera 1 in line 2"),
        ("a.jpg,1,2,t,train", r"line 3.*camera 2"),
        ("0.jpg,1,1,t,train", r"line 3.*twice"),
        ("a.jpg,,1,u,train", r"line 3.*person is empty"),
        ("a.jpg,1,1,,train", r"line 3.*tracklet is empty"),
        ("a.jpg,1,1,u,val", r"line 3.*subset 'val'"),
        ("a.jpg,1,1,u", r"line 3.*4 values"),
        ('"a.jpg,1', r"line 3.*CSV"),
        ("a.jpg,0,1,u,train", r"line 3.*distractor"),
        ("a.jpg,1,1,u,train", r"a\.jpg.*absent"),
    ],
)
def test_a_wrong_row_of_a_list_is_named(tmp_path, row, words):
    root = write_list(tmp_path / "d", ["0.jpg,1,1,t,train", row], touch=False)
    (root / "0.jpg").touch()
    with pytest.raises(KeyReIDError, match=words):
        load_dataset("folder", root)


@pytest.mark.parametrize("text", ["", "frame,person\n", HEADER, "frame," + HEADER])
def test_a_list_without_columns_or_rows_is_an_error(tmp_path, text):
    (tmp_path / "frames.csv").write_text(text)
    with pytest.raises(KeyReIDError, match=r"frames\.csv"):
        load_dataset("folder", tmp_path)
