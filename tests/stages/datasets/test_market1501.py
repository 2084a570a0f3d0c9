"""Market-1501 and CUHK03: single images or sequences, junk and distractors where they belong."""

import shutil

import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.checkup import STATISTICS, known_counts
from tests.stages.datasets.layouts import CUHK03, MARKET, write_images


@pytest.fixture
def market(tmp_path):
    write_images(tmp_path, MARKET)
    (tmp_path / "query/0001_c1s1_001051_00.jpg").rename(tmp_path / "query/0001_c1s1_001051_00.jpg.jpg")
    return tmp_path


def short(tracklets):
    return [(t.person, t.camera, len(t.frames)) for t in tracklets]


def test_by_default_every_image_is_a_tracklet_and_the_query_folder_asks(market):
    data = load_dataset("market1501", market)
    assert data.variant == "image" and data.frame_size == (64, 128)
    assert short(data.query) == [(1, 1, 1), (1, 2, 1)]
    assert data.query[0].frames == ("query/0001_c1s1_001051_00.jpg.jpg",)
    assert short(data.gallery) == [(-1, 1, 1)] * 2 + [(0, 2, 1)] * 2 + [(1, 1, 1)] * 3 + [(1, 2, 1)]
    assert len(data.train) == 4 and len(data.tracklets()) == len(data.frames()) == 14


def test_sequences_are_tracklets_in_time_order_but_strangers_stay_single(market):
    data = load_dataset("market1501", market, tracklets="sequence")
    assert data.variant == "sequence"
    assert short(data.train) == [(2, 1, 2), (2, 1, 1), (7, 3, 1)]
    folder = "bounding_box_train/0002_c1s1_"
    assert data.train[0].frames == (f"{folder}000351_01.jpg", f"{folder}000451_03.jpg")
    assert short(data.gallery) == [(-1, 1, 1)] * 2 + [(0, 2, 1)] * 2 + [(1, 1, 2), (1, 1, 1), (1, 2, 1)]
    assert data.query == (data.gallery[4], data.gallery[6])  # the first of each camera
    both = load_dataset("market1501", market, tracklets="image")
    assert set(data.frames()) < set(both.frames())  # one pose cache serves both


def test_both_readings_are_one_data_set_so_a_network_knows_its_cameras_in_both(market):
    """A network is trained on sequences and scored by the official protocol."""
    images, sequences = (load_dataset("market1501", market, tracklets=t) for t in ("image", "sequence"))
    assert images.identity == sequences.identity
    train = market / "bounding_box_train"
    (train / "0007_c3s3_000001_00.jpg").rename(train / "0007_c4s3_000001_00.jpg")
    assert load_dataset("market1501", market).identity != images.identity


def test_names_do_not_depend_on_where_the_data_set_lies(market, tmp_path_factory):
    above = tmp_path_factory.mktemp("above")
    shutil.copytree(market, above / "Market-1501-v15.09.15")
    for mode in ("image", "sequence"):
        names = [
            [t.name for t in load_dataset("market1501", root, tracklets=mode).tracklets()]
            for root in (market, above)
        ]
        assert names[0] == names[1] and len(set(names[0])) == len(names[0])


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_cuhk03_has_two_kinds_of_boxes_in_the_same_layout(tmp_path, boxes):
    write_images(tmp_path / "cuhk03-np" / boxes, CUHK03, ".png")
    data = load_dataset("cuhk03", tmp_path, boxes=boxes)
    assert data.variant == f"{boxes}/image" and f"cuhk03/{data.variant}" in STATISTICS
    assert short(data.query) == [(4, 1, 1), (4, 2, 1)]
    walks = load_dataset("cuhk03", tmp_path, boxes=boxes, tracklets="sequence")
    assert short(walks.train) == [(1, 1, 1), (1, 2, 2)]
    assert walks.train[1].frames[0].endswith("0001_c2_6.png")  # 6 before 10


def test_mistakes_are_named(market):
    with pytest.raises(KeyReIDError, match="tracklets 'walk' is not known; expected image or sequence"):
        load_dataset("market1501", market, tracklets="walk")
    with pytest.raises(KeyReIDError, match="mars has one kind of tracklets"):
        load_dataset("mars", market, tracklets="image")
    with pytest.raises(KeyReIDError, match="market1501 has one kind of boxes"):
        load_dataset("market1501", market, boxes="labeled")
    with pytest.raises(KeyReIDError, match="one split"):
        load_dataset("market1501", market, split=1)
    stranger = market / "bounding_box_train/0000_c1s1_000001_00.jpg"
    stranger.touch()
    with pytest.raises(KeyReIDError, match=r"0000_c1s1_000001_00\.jpg: junk or a distractor"):
        load_dataset("market1501", market)
    stranger.unlink()
    (market / "query/0001_c9s1_000001_00.jpg").touch()
    with pytest.raises(KeyReIDError, match=r"0001_c9s1_000001_00\.jpg: no name of market1501; .*0002_c1s1"):
        load_dataset("market1501", market)
    load_dataset("market1501", market, tracklets="sequence")  # which does not look into query/
    shutil.rmtree(market / "bounding_box_test")
    with pytest.raises(KeyReIDError, match=r"bounding_box_test: this folder is missing; expected layout"):
        load_dataset("market1501", market)


@pytest.mark.parametrize("mode", ["image", "sequence"])
def test_doctor_knows_the_counts_of_both_readings(market, mode):
    known = known_counts(load_dataset("market1501", market, tracklets=mode))
    assert known["train_persons"] == 751 and known["junk_tracklets"] == 3819
    assert known["queries"] == {"image": 3368, "sequence": 3354}[mode]
