"""CCVID, LS-VID and MEVID: small files in their layouts, and mistakes named by line."""

import h5py
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def short(tracklets):
    return [(t.person, t.camera, len(t.frames)) for t in tracklets]


@pytest.fixture
def ccvid(tmp_path):
    places = ["session1/001_01", "session1/002_02", "session3/002_01", "session2/002_12"]
    frames = {f"{place}/{number:05d}.jpg": "" for place in places for number in (2, 1)}
    lists = {
        "train.txt": "session1/001_01\t001\tu0_l0\n",
        "query.txt": "session1/002_02\t002\tu0_l0\n",
        "gallery.txt": "session3/002_01\t002\tu1_l0\n\nsession2/002_12\t002\tu0_l0\n",
    }
    return write(tmp_path, frames | lists)


def test_ccvid_counts_the_cameras_of_its_third_session_on(ccvid):
    data = load_dataset("ccvid", ccvid)
    assert short(data.train) == [(1, 1, 2)] and short(data.query) == [(2, 2, 2)]
    assert short(data.gallery) == [(2, 13, 2), (2, 12, 2)]
    assert data.gallery[0].frames == ("session3/002_01/00001.jpg", "session3/002_01/00002.jpg")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("session1/001_01 001", "line 2: has 2 words, expected 3"),
        ("session1/001_01 x u0", "line 2: the person is 'x'"),
        ("session1/003_01 003 u0", "003_01: this folder is missing"),
        ("../other/001_01 001 u0", "line 2: '../other/001_01' is not a path inside"),
        ("/etc 001 u0", "line 2: '/etc' is not a path inside"),
        ("session1 001 u0", "line 2: the camera at the end"),
    ],
)
def test_ccvid_names_a_wrong_line(ccvid, line, words):
    (ccvid / "session1/1.jpg").touch()
    with (ccvid / "train.txt").open("a") as file:
        file.write(line)
    with pytest.raises(KeyReIDError, match=words):
        load_dataset("ccvid", ccvid)


@pytest.fixture
def ls_vid(tmp_path):
    starts = {
        "train": ["0001/0001_0001_02", "0001/0001_0002_03"],
        "test": ["0002/0002_0001_01", "0002/0002_0002_15"],
    }
    files = {}
    for part, places in starts.items():
        lines = (f"tracklet_{part}/{place} {int(place[:4])}\n" for place in places)
        files[f"list_sequence/list_seq_{part}.txt"] = "".join(lines)
        files |= {f"tracklet_{part}/{place}_{n}.jpg": "" for place in places for n in (10, 9)}
    write(tmp_path, files)
    (tmp_path / "test/data").mkdir(parents=True)
    with h5py.File(tmp_path / "test/data/info_test.mat", "w") as file:
        file["query"] = np.array([[2.0]])
    return tmp_path


def test_ls_vid_finds_frames_by_their_beginning_and_queries_in_the_gallery(ls_vid):
    data = load_dataset("ls-vid", ls_vid)
    assert short(data.train) == [(1, 2, 2), (1, 3, 2)] and short(data.gallery) == [(2, 1, 2), (2, 15, 2)]
    assert data.query == data.gallery[1:]
    start = "tracklet_test/0002/0002_0001_01"
    assert data.gallery[0].frames == (f"{start}_9.jpg", f"{start}_10.jpg")


@pytest.mark.parametrize("rows", [[[3.0]], [[0.0]], [[1.5]], [[1.0, 1.0]], [[np.nan]], [[]]])
def test_ls_vid_names_wrong_queries(ls_vid, rows):
    with h5py.File(ls_vid / "test/data/info_test.mat", "w") as file:
        file["query"] = np.array(rows)
    with pytest.raises(KeyReIDError, match=r"info_test\.mat: query"):
        load_dataset("ls-vid", ls_vid)


def test_ls_vid_names_a_file_of_queries_that_is_none(ls_vid):
    with h5py.File(ls_vid / "test/data/info_test.mat", "w") as file:
        file.create_dataset("query", (1,), maxshape=(None,), chunks=(10**8,), compression="gzip", data=[1.0])
    with pytest.raises(KeyReIDError, match="no matrix of numbers named query"):
        load_dataset("ls-vid", ls_vid)
    (ls_vid / "test/data/info_test.mat").write_text("no HDF5")
    with pytest.raises(KeyReIDError, match=r"info_test\.mat: not a MATLAB 7\.3 file"):
        load_dataset("ls-vid", ls_vid)


@pytest.fixture
def mevid(tmp_path):
    names = {
        "train": ["0201O001C330T001F00001.jpg", "0201O001C330T001F00002.jpg", "0201O002C508T002F00001.jpg"],
        "test": ["0205O001C330T001F00001.jpg", "0205O001C330T001F00002.jpg", "0205O001C401T002F00001.jpg"],
    }
    files = {f"{part}_name.txt": "\n".join(some) for part, some in names.items()}
    files |= {f"bbox_{part}/{n[:4]}/{n}": "" for part, some in names.items() for n in some}
    files["track_train_info.txt"] = "0 1 201 1 330\n2 2 201 2 508\n"
    files["track_test_info.txt"] = "".join(
        " ".join(f"{value:.18e}" for value in row) + "\n"
        for row in ((0, 1, 205, 1, 330), (2, 2, 205, 1, 401))
    )
    files["query_IDX.txt"] = f"{1:.18e}\n"
    return write(tmp_path, files)


def test_mevid_counts_from_zero_in_whatever_way_numbers_are_written(mevid):
    data = load_dataset("mevid", mevid)
    assert short(data.train) == [(201, 330, 2), (201, 508, 1)]
    assert short(data.gallery) == [(205, 330, 2), (205, 401, 1)] and data.query == data.gallery[1:]
    assert data.train[0].frames[1] == "bbox_train/0201/0201O001C330T001F00002.jpg"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("track_train_info.txt", "0 3 201 1 330\n", r"line 1: frames 0 to 3 of 3 names"),
        ("track_train_info.txt", "0 1 201 330\n", r"line 1: has 4 words, expected 5"),
        ("track_train_info.txt", "0 0.5 201 1 330\n", r"line 1: a value is '0\.5'"),
        ("track_train_info.txt", "0 1 -2 1 330\n", r"line 1: person -2"),
        ("query_IDX.txt", "2\n", r"line 1: row 2 is none of the 2"),
        ("query_IDX.txt", "1\n1\n", r"twice"),
        ("train_name.txt", "../a.jpg\nb.jpg\nc.jpg\n", r"line 1: .*'\.\.'|may leave"),
        ("test_name.txt", "0205O009.jpg\nb.jpg\nc.jpg\n", r"listed but absent"),
    ],
)
def test_mevid_names_a_wrong_line(mevid, file, content, words):
    (mevid / file).write_text(content)
    with pytest.raises(KeyReIDError, match=words):
        load_dataset("mevid", mevid)
