"""Embeddings: whole round trips through the file, damage named, files of different networks kept apart."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.reid.scoring.embeddings import Embeddings
from stages.reid.scoring.embeddings_file import read_about
from stages.reid.scoring.joining import join
from stages.reid.scoring.named_rows import camera_names, shown_frames
from stages.reid.search.gallery_file import load_gallery
from tests.stages.reid.own import made_gallery


def test_a_gallery_is_read_as_it_was_written(tmp_path):
    gallery = made_gallery()
    loaded = Embeddings.load(gallery.save(tmp_path / "new" / "g.h5"))
    for name in ("features", "names", "persons", "cameras", "visibility"):
        assert np.array_equal(getattr(loaded, name), getattr(gallery, name)), name
    assert loaded.frames == gallery.frames and loaded.root == gallery.root
    assert loaded.about == gallery.about and loaded.parts == 2
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["g.h5"]


def test_names_may_hold_any_letters_or_none(tmp_path):
    names = np.array(["ü/東", "a\nb", "", b"\xff.jpg".decode("utf-8", "surrogateescape")] * 10)
    frames = tuple((f"x{name}.jpg", f"x{name}/1") for name in names.tolist())
    gallery = replace(made_gallery(), names=names, person_names=names, frames=frames)
    loaded = Embeddings.load(gallery.save(tmp_path / "g.h5"))
    assert loaded.names.tolist() == loaded.person_names.tolist() == names.tolist()
    assert loaded.frames == frames


def test_half_precision_halves_the_features(tmp_path):
    gallery = made_gallery(400, 64)
    whole, half = gallery.save(tmp_path / "w.h5"), gallery.save(tmp_path / "h.h5", half=True)
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(400 * 64 * 2, rel=0.05)
    features = Embeddings.load(half).features
    assert features.dtype == np.float32
    assert np.allclose(features, gallery.features, rtol=1e-3, atol=1e-6)


def test_features_beyond_half_precision_are_refused(tmp_path):
    gallery = made_gallery()
    gallery.features[3, 4] = 1e5
    with pytest.raises(KeyReIDError, match="half precision"):
        gallery.save(tmp_path / "g.h5", half=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no gallery"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-500]),
        lambda path: change(path, lambda f: f.__delitem__("names")),
        lambda path: change(path, lambda f: f.attrs.__setitem__("header", np.bytes_("{}"))),
        lambda path: change(path, lambda f: f.attrs.__setitem__("header", np.bytes_("["))),
        lambda path: change(path, lambda f: f.attrs.__setitem__("header", "{}")),  # of variable length
        lambda path: change(path, lambda f: (f.__delitem__("names"), f.__setitem__("names", ["a"] * 40))),
        lambda path: change(path, lambda f: f["names"].__setitem__(-1, 65)),
        lambda path: change(path, lambda f: f["names"].__setitem__(0, 0)),
        lambda path: change(path, lambda f: rewrite(f, "poses", {})),
        lambda path: change(path, lambda f: rewrite(f, "checkpoint", {"sha256": 3, "path": "x"})),
        lambda path: change(path, lambda f: rewrite(f, "labelled", "yes")),
        lambda path: change(path, lambda f: f["offsets"].__setitem__(3, f["offsets"][4])),
        lambda path: change(path, lambda f: f["features"].__setitem__((0, 0), np.nan)),
        lambda path: change(path, lambda f: (f.__delitem__("offsets"), f.__setitem__("offsets", [0, 1]))),
        lambda path: change(path, lambda f: (f.__delitem__("persons"), f.__setitem__("persons", [1]))),
    ],
)
def test_a_damaged_gallery_is_named(tmp_path, damage):
    path = made_gallery().save(tmp_path / "g.h5")
    damage(path)
    with pytest.raises(KeyReIDError, match=r"g\.h5"):
        load_gallery(path)


def test_texts_of_variable_length_are_refused_unread(tmp_path, monkeypatch):
    """HDF5 2.0 never comes back from the damaged heap of such a text."""
    path = made_gallery().save(tmp_path / "g.h5")
    change(path, lambda f: f.attrs.__setitem__("header", f.attrs["header"].decode()))
    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", None)
    with pytest.raises(KeyReIDError, match=r"g\.h5: schema before 3.*make it again with keyreid embed"):
        load_gallery(path)


def test_another_schema_is_named_with_the_way_to_make_the_file_again(tmp_path):
    path = made_gallery().save(tmp_path / "g.h5")
    header = {"schema": 4, "features": "elsewhere"}
    change(path, lambda f: f.attrs.__setitem__("header", np.bytes_(json.dumps(header))))
    for read in (load_gallery, read_about):
        with pytest.raises(KeyReIDError, match=r"g\.h5: schema 4, expected 3.*again with keyreid embed"):
            read(path)


def rewrite(file, name, value):
    header = json.loads(file.attrs["header"])
    header["about"][name] = value
    file.attrs["header"] = np.bytes_(json.dumps(header))


def change(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)


@pytest.mark.parametrize(
    ("column", "value"),
    [("zone", 86_400.0), ("zone", np.inf), ("start", 1e300), ("end", np.nan), ("end", np.inf)],
)
def test_times_that_cannot_be_shown_are_refused(column, value):
    times = {name: np.full(40, 1e9) for name in ("start", "end")} | {"zone": np.full(40, 3600.0)}
    good = replace(made_gallery(), **times)
    good.check()
    assert good.filmed(0) == "2001-09-09 02:46:40-02:46:40 +01:00"
    times[column][3] = value
    with pytest.raises(KeyReIDError, match="make it again"):
        replace(good, **times).check()


def test_galleries_of_different_checkpoints_are_not_joined():
    with pytest.raises(KeyReIDError, match=r"two\.h5: made by checkpoint bbbbbbbbbbbb .* one\.h5"):
        join([("one.h5", made_gallery()), ("two.h5", made_gallery(checkpoint="b" * 64))])


def test_joined_galleries_keep_their_rows_and_lose_labels_that_mean_nothing_together():
    one, two = made_gallery(seed=0), made_gallery(seed=1)
    both = join([("one.h5", one), ("two.h5", two)])
    assert len(both) == 80 and not both.about["labelled"]
    assert np.array_equal(both.features[40:], two.features)
    assert both.frames[40][0].startswith("/data/1/p001")
    again = join([("one.h5", one), ("one.h5", replace(one))])
    assert again.about["labelled"]  # the same data set twice


def test_shown_frames_are_spread_over_the_tracklet():
    frames = tuple(f"{i:03d}.jpg" for i in range(100))
    shown = shown_frames(Tracklet(frames, 1, 1, "t"))
    assert len(shown) == 8 and shown[0] == "000.jpg" and shown[-1] == "099.jpg"
    assert shown_frames(Tracklet(frames[:3], 1, 1, "t")) == frames[:3]


def test_cameras_are_called_as_the_user_calls_them():
    tree = [
        Tracklet(("a-1/door/x/1.jpg",), 1, 1, "a-1/door/x"),
        Tracklet(("a/unknown/x/1.jpg",), 1, None, "y"),
    ]
    assert camera_names(tree, "folder").tolist() == ["door", "?"]
    assert camera_names([Tracklet(("bbox_test/0001/f.jpg",), 1, 3, "z")], "mars").tolist() == ["3"]
