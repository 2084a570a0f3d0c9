"""The MARS layout: the official metadata to the last count, and every mistake named."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy.io import savemat

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from tests.stages.datasets.layouts import change, write_mars


def test_reads_the_layout(tmp_path):
    data = load_dataset("mars", write_mars(tmp_path / "d"))
    assert [t.person for t in data.train] == [1, 1, 3, 3]
    assert [(t.person, t.camera) for t in data.gallery][:3] == [(-1, 1), (0, 2), (2, 1)]
    assert data.query == data.gallery[2:6]
    assert data.gallery[0].frames[0] == "bbox_test/00-1/00-1C1T0001F001.jpg"
    assert len(data.frames()) == 3 * 11
    assert data.cameras() == (1, 2, 3)
    assert not data.notes


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_do_not_matter(tmp_path, end):
    data = load_dataset("mars", write_mars(tmp_path / "d", end=end), check_files=False)
    assert all(f.endswith(".jpg") for f in data.frames())


def test_names_are_unique_and_stable(tmp_path):
    root = write_mars(tmp_path / "d")
    first, again = load_dataset("mars", root), load_dataset("mars", root)
    assert first == again
    assert len({t.name for t in first.tracklets()}) == len(first.tracklets()) == 11


def test_a_frame_that_is_listed_but_absent_is_named(tmp_path):
    root = write_mars(tmp_path / "d")
    (root / "bbox_train/0003/0003C1T0003F002.jpg").unlink()
    with pytest.raises(KeyReIDError, match=r"0003C1T0003F002\.jpg.*absent, 1 in all"):
        load_dataset("mars", root)
    assert load_dataset("mars", root, check_files=False).train


@pytest.mark.parametrize(
    "file",
    ["train_name.txt", "test_name.txt", "tracks_train_info.mat", "tracks_test_info.mat", "query_IDX.mat"],
)
def test_a_missing_info_file_is_named(tmp_path, file):
    root = write_mars(tmp_path / "d", frames=False)
    (root / "info" / file).unlink()
    with pytest.raises(KeyReIDError, match=file.replace(".", r"\.")):
        load_dataset("mars", root, check_files=False)


def test_a_missing_data_root_is_named(tmp_path):
    with pytest.raises(KeyReIDError, match=r"nowhere.*does not exist"):
        load_dataset("mars", tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(KeyReIDError, match="not a folder"):
        load_dataset("mars", tmp_path / "file")


def _set(row, column, value):
    def edit(values):
        values[row, column] = value
        return values

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_set(1, 2, 3), r"row 2.*person 3, camera 2.*line 4.*disagrees"),
        (_set(1, 3, 4), r"row 2.*camera 4.*disagrees"),
        (lambda v: v + np.eye(4, dtype=int)[[2, 1, 0, 2]] * [1, 1, 0, 0], r"row 2.*line 7.*disagrees"),
        (_set(3, 1, 13), r"row 4.*12 lines"),
        (_set(0, 0, 0), r"row 1.*12 lines"),
        (_set(2, 1, 6), r"row 3.*holds no frame"),
        (_set(1, 0, 3), r"row 2.*shares frames with row 1"),
        (_set(1, 2, -2), r"row 2.*person"),
        (_set(1, 3, 0), r"row 2.*camera"),
        (lambda v: v[:, :3], r"shape"),
        (lambda v: v + 0.5, r"whole"),
        (lambda v: np.array([["a"]], object), r"numbers"),
    ],
)
def test_a_wrong_row_is_named_with_its_file(tmp_path, edit, words):
    root = write_mars(tmp_path / "d", frames=False)
    change(root, "tracks_train_info.mat", "track_train_info", edit)
    with pytest.raises(KeyReIDError, match=r"tracks_train_info\.mat.*" + words):
        load_dataset("mars", root, check_files=False)


@pytest.mark.parametrize(
    ("query", "words"),
    [(8, "outside the 7"), (0, "outside"), (1, "junk"), (2, "distractor"), ([3, 3], "twice")],
)
def test_a_wrong_query_is_named(tmp_path, query, words):
    root = write_mars(tmp_path / "d", frames=False)
    savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([query])})
    with pytest.raises(KeyReIDError, match=r"query_IDX\.mat.*" + words):
        load_dataset("mars", root, check_files=False)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "0001C1T0001F001.txt", "0001/0001C1T0001F001.jpg", "C:\\a.jpg", ""],
)
def test_a_name_that_is_no_frame_is_named_with_its_line(tmp_path, name):
    root = write_mars(tmp_path / "d", frames=False)
    path = root / "info" / "train_name.txt"
    lines = path.read_text().split("\n")
    lines[4] = name
    path.write_text("\n".join(lines))
    with pytest.raises(KeyReIDError, match=r"train_name\.txt, line 5"):
        load_dataset("mars", root, check_files=False)


def test_a_name_listed_twice_is_an_error(tmp_path):
    root = write_mars(tmp_path / "d", frames=False)
    path = root / "info" / "train_name.txt"
    lines = path.read_text().split("\n")
    lines[1] = lines[0]
    path.write_text("\n".join(lines))
    with pytest.raises(KeyReIDError, match=r"train_name\.txt, line 2.*twice"):
        load_dataset("mars", root, check_files=False)


def test_frames_of_no_tracklet_are_noted(tmp_path):
    root = write_mars(tmp_path / "d", frames=False)
    change(root, "tracks_train_info.mat", "track_train_info", lambda v: v[:-1])
    assert "3 listed frames" in load_dataset("mars", root, check_files=False).notes["train_name.txt"]


def test_unknown_names_and_splits_are_errors(tmp_path):
    with pytest.raises(KeyReIDError, match="ilids-vid"):
        load_dataset("marz", tmp_path)
    with pytest.raises(KeyReIDError, match="one split"):
        load_dataset("mars", tmp_path, split=1)


# ---- the official metadata (real data folder) ----

MEASURE = """
import json, re, sys, time
from pathlib import Path
start = time.perf_counter()
from stages.datasets import load_dataset
data = load_dataset("mars", sys.argv[1], check_files=False)
print(json.dumps({
    "seconds": time.perf_counter() - start,
    # not getrusage, whose maximum includes that of the parent before exec
    "megabytes": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
    "torch": "torch" in sys.modules, "frames": len(data.frames())}))
"""


def test_mars_metadata_parses_in_bounded_memory_without_torch(real_data):
    output = subprocess.run(
        [sys.executable, "-c", MEASURE, real_data / "mars"], capture_output=True, text=True, check=True
    ).stdout
    measured = json.loads(output)
    print(measured)
    assert not measured["torch"]
    assert measured["megabytes"] < 400
    assert measured["frames"] == 509914 + 681089


def test_mars_metadata_gives_exactly_the_known_figures(real_data):
    facts = json.loads((real_data / "mars" / "facts.json").read_text())
    data = load_dataset("mars", real_data / "mars", check_files=False)
    train, test, query = data.train, data.gallery, data.query
    assert len(train) == facts["train shape"][0] == 8298
    assert len(test) == facts["test shape"][0] == 12180
    assert len(query) == facts["query shape"][1] == 1980
    assert sum(len(t.frames) for t in train) == facts["train sum len"]
    assert sum(len(t.frames) for t in test) == facts["test sum len"]
    assert len({t.person for t in train}) == facts["train ids"] == 625
    assert len({t.person for t in test}) == facts["test ids"]
    assert len({t.person for t in query}) == facts["query ids"]
    for group, key in ((train, "train cams"), (test, "test cams"), (query, "query cams")):
        assert {str(c): n for c, n in sorted(Counter(t.camera for t in group).items())} == facts[key]
    lengths = [len(t.frames) for t in train], [len(t.frames) for t in test]
    assert [sum(n < k for n in lengths[0]) for k in (4, 8, 10, 16)] == facts["train n len<4, <8, <10, <16"]
    assert [sum(n < k for n in lengths[1]) for k in (4, 8, 10, 16)] == facts["test n len<4, <8, <10, <16"]
    assert (min(lengths[1]), max(lengths[1])) == (2, 920)
    junk = [t for t in test if t.person == -1]
    assert len(junk) == facts["test junk pid -1 tracklets"]
    assert sum(len(t.frames) for t in junk) == facts["test junk pid -1 images"]
    assert junk[0].frames[0] == "bbox_test/00-1/00-1C1T0001F001.jpg"
    assert sum(t.person == 0 for t in test) == facts["test distractor pid 0 tracklets"]
    assert [t.name for t in query[:2]] == [test[4129].name, test[4137].name]
    kept = [t for t in test if t.person != -1]
    queries = {t.name for t in query}
    assert (len(kept), sum(t.name not in queries for t in kept)) == (11310, 9330)
    assert not data.notes


def test_mini_mars_is_read_with_its_files(real_data):
    data = load_dataset("mini-mars", real_data / "mini-mars")
    assert (len(data.tracklets()), len(data.frames()), len(data.query)) == (24, 501, 6)
