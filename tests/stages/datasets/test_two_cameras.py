"""iLIDS-VID and PRID2011: their splits, sorted sequences, named mistakes."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from tests.stages.datasets.layouts import write_two_cameras

NAMES = ["person001", "person002", "person010", "person011"]
SPLITS = [
    {"train": ["person001", "person010"], "test": ["person002", "person011"]},
    {"train": ["person002", "person011"], "test": ["person010", "person001"]},
]


@pytest.fixture
def ilids(tmp_path):
    write_two_cameras(tmp_path / "i-LIDS-VID" / "sequences", NAMES)
    (tmp_path / "splits.json").write_text(json.dumps(SPLITS))
    return tmp_path


def test_ilids_first_camera_queries_and_everything_is_sorted(ilids):
    data = load_dataset("ilids-vid", ilids, split=1)
    assert (data.split, data.splits) == (1, 2)
    assert [t.name for t in data.query] == ["cam1/person001", "cam1/person010"]
    assert [t.name for t in data.gallery] == ["cam2/person001", "cam2/person010"]
    assert [(t.person, t.camera) for t in data.train] == [(2, 1), (11, 1), (2, 2), (11, 2)]
    folder = "i-LIDS-VID/sequences/cam1/person001/cam1_person001_"
    assert data.query[0].frames == (f"{folder}00001.png", f"{folder}00002.png")


def test_ilids_mat_counts_from_one_into_sorted_folders_and_lists_test_first(ilids):
    (ilids / "splits.json").unlink()
    folder = ilids / "train-test people splits"
    folder.mkdir()
    table = np.array([[2, 4, 1, 3], [3, 1, 2, 4]], np.uint16)
    savemat(folder / "train_test_splits_ilidsvid.mat", {"ls_set": table})
    data = load_dataset("ilids-vid", ilids)
    assert data.split == 0
    assert {t.person for t in data.query} == {2, 11}
    assert {t.person for t in load_dataset("ilids-vid", ilids, split=1).query} == {10, 1}


@pytest.mark.parametrize("table", [[[1, 2, 3]], [[1, 2, 3, 5]], [[1, 1, 2, 3]], [[0, 1, 2, 3]]])
def test_ilids_mat_of_other_folders_is_an_error(ilids, table):
    (ilids / "splits.json").unlink()
    savemat(ilids / "train_test_splits_ilidsvid.mat", {"ls_set": np.array(table)})
    with pytest.raises(KeyReIDError, match="train_test_splits_ilidsvid"):
        load_dataset("ilids-vid", ilids)


def test_mistakes_are_named(ilids):
    with pytest.raises(KeyReIDError, match=r"split 2 .*0\.\.1"):
        load_dataset("ilids-vid", ilids, split=2)
    frame = ilids / "i-LIDS-VID/sequences/cam2/person011"
    shutil.rmtree(frame)
    with pytest.raises(KeyReIDError, match=r"cam2/person011.*absent"):
        load_dataset("ilids-vid", ilids)
    frame.mkdir()
    with pytest.raises(KeyReIDError, match=r"cam2/person011.*no frame"):
        load_dataset("ilids-vid", ilids)
    (ilids / "splits.json").unlink()
    with pytest.raises(KeyReIDError, match=r"splits\.json"):
        load_dataset("ilids-vid", ilids)
    shutil.rmtree(ilids / "i-LIDS-VID")
    (ilids / "splits.json").write_text(json.dumps(SPLITS))
    with pytest.raises(KeyReIDError, match="i-LIDS-VID/sequences"):
        load_dataset("ilids-vid", ilids)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        "[1]",
        '[{"train": ["person001"]}]',
        '[{"train": [1], "test": [2]}]',
        '[{"train": ["person001"], "test": ["person001"]}]',
        '[{"train": ["../../etc"], "test": ["person001"]}]',
        '[{"train": ["/etc"], "test": ["person001"]}]',
        "[" * 100000,
    ],
)
def test_a_damaged_list_of_splits_is_an_error(ilids, content):
    (ilids / "splits.json").write_text(content)
    with pytest.raises(KeyReIDError, match=r"splits\.json"):
        load_dataset("ilids-vid", ilids)


def test_prid_uses_the_persons_of_its_splits_and_notes_the_others(tmp_path):
    names = ["person_0001", "person_0002", "person_0003"]
    write_two_cameras(tmp_path / "prid_2011" / "multi_shot", names, ("cam_a", "cam_b"))
    split = {"train": ["person_0003"], "test": ["person_0001"]}
    (tmp_path / "splits_prid2011.json").write_text(json.dumps([split]))
    data = load_dataset("prid2011", tmp_path)
    assert [t.person for t in data.train] == [3, 3]
    assert [t.name for t in (*data.query, *data.gallery)] == ["cam_a/person_0001", "cam_b/person_0001"]
    assert "1 persons" in data.notes["persons"]


# ---- the official splits (real data folder) ----


def test_ilids_official_splits_match_their_files_and_one_another(real_data, tmp_path):
    """The .mat and the .json must lead to the same tracklets in all ten splits."""
    source = real_data / "ilids-vid"
    splits = json.loads((source / "splits.json").read_text())
    names = sorted(splits[0]["train"] + splits[0]["test"])
    assert len(names) == 300
    write_two_cameras(tmp_path / "i-LIDS-VID" / "sequences", names)
    shutil.copyfile(source / "splits.json", tmp_path / "splits.json")
    by_json = [load_dataset("ilids-vid", tmp_path, split=i) for i in range(10)]
    (tmp_path / "splits.json").unlink()
    mat = "train_test_splits_ilidsvid.mat"
    shutil.copyfile(source / mat, tmp_path / mat)
    for number, (data, split) in enumerate(zip(by_json, splits, strict=True)):
        assert data == load_dataset("ilids-vid", tmp_path, split=number)
        assert (len(data.train), len(data.query), len(data.gallery)) == (300, 150, 150)
        assert [t.name.split("/")[1] for t in data.query] == sorted(split["test"])
        assert {t.name.split("/")[1] for t in data.train} == set(split["train"])


def test_prid_official_splits_match_their_file(real_data, tmp_path):
    path = real_data / "prid2011" / "splits_prid2011.json"
    splits = json.loads(path.read_text())
    names = sorted(splits[0]["train"] + splits[0]["test"])
    write_two_cameras(tmp_path / "multi_shot", names, ("cam_a", "cam_b"))
    shutil.copyfile(path, tmp_path / path.name)
    assert len(splits) == 10
    for number, split in enumerate(splits):
        data = load_dataset("prid2011", tmp_path, split=number)
        assert (len(data.train), len(data.query), len(data.gallery)) == (178, 89, 89)
        assert [t.name.split("/")[1] for t in data.gallery] == sorted(split["test"])
