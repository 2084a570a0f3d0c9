"""Frames of a tracklet are those of its data set, read as it was when it was embedded."""

from dataclasses import replace

import pytest

from benchmarks.made.people import made_gallery
from cache.errors import KeyReIDError
from stages.browse.tracklets import Footage
from stages.datasets import load_dataset
from stages.reid.search.gallery_file import check_header


@pytest.fixture
def listed(tmp_path):
    """A folder with two lists of frames, one of which has a query of three frames."""
    for name in "abcd":
        (tmp_path / f"{name}.jpg").touch()
    head = "frame,person,camera,tracklet,subset"
    rows = [
        f"{name}.jpg,1,{1 + (name == 'd')},seen,{'query' if name < 'd' else 'gallery'}" for name in "abcd"
    ]
    (tmp_path / "mine.csv").write_text("\n".join([head, *rows]))
    (tmp_path / "other.csv").write_text(f"{head}\na.jpg,1,1,else,query\nb.jpg,1,2,else,gallery")
    return load_dataset("folder", tmp_path, frame_list="mine.csv")


def test_all_frames_are_found_by_the_list_that_was_embedded(listed, tmp_path):
    assert listed.reading == {"frame_list": "mine.csv"}
    (tracklet,) = listed.query
    few = [replace(tracklet, frames=tracklet.frames[:1])]
    gallery = made_gallery(tmp_path / "g.h5", tmp_path, few, "folder")
    footage = Footage()
    assert footage.shown(gallery, [0])[0].frames == tracklet.frames[:1]
    assert "2 CSV files" in footage.notes[0]
    ((_, source),) = gallery.sources.items()
    source |= {"split": listed.split, "reading": listed.reading}
    footage = Footage()
    assert footage.shown(gallery, [0])[0].frames == tracklet.frames and not footage.notes
    check_header("g.h5", source)


@pytest.mark.parametrize(
    "wrong", [{"reading": {"root": "/"}}, {"reading": {"boxes": 3}}, {"reading": [1]}, {"split": [1]}]
)
def test_a_gallery_cannot_say_more_of_how_to_read_a_data_set(listed, tmp_path, wrong):
    gallery = made_gallery(tmp_path / "g.h5", tmp_path, listed.query, "folder")
    with pytest.raises(KeyReIDError, match=r"g\.h5: .*its header lacks what a search needs"):
        check_header("g.h5", gallery.source(0) | wrong)
