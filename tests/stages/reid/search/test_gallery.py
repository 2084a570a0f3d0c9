"""Galleries read from files, folders of parts and patterns: the same rows in whatever form they lie there."""

from dataclasses import replace

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.search.gallery import read_gallery
from stages.reid.search.gallery_folder import read_index, writing
from tests.stages.reid.own import made_gallery


def timed(seed: int, start: float, zone: float = 3600.0):
    """40 rows, a second each, one after the other."""
    made = made_gallery(seed=seed)
    begin = start + np.arange(40.0)
    return replace(
        made,
        person_names=made.persons.astype(str),
        start=begin,
        end=begin + 1,
        zone=np.full(40, zone),
        first=np.arange(40),
        last=np.arange(40) + 9,
    )


@pytest.fixture
def days(tmp_path):
    """Two sets of embeddings, in one folder as parts and beside it as files: (folder, files, sets)."""
    sets = [timed(0, 1e9), timed(1, 2e9)]
    with writing(tmp_path / "people") as writer:
        for one in sets:
            writer.add(one)
    files = [one.save(tmp_path / f"day{n}.h5") for n, one in enumerate(sets)]
    return tmp_path / "people", files, sets


def test_files_a_folder_and_a_pattern_give_the_same_rows(days):
    folder, files, sets = days
    read = [read_gallery(folder), read_gallery(files), read_gallery(str(files[0].parent / "day*.h5"))]
    for whole in read:
        assert np.array_equal(whole.features, np.concatenate([one.features for one in sets]))
        for name in ("names", "start", "end", "zone", "first", "last", "persons", "person_names"):
            assert np.array_equal(getattr(whole, name), getattr(read[0], name)), name
        assert whole.frames == read[0].frames
    assert read[1].part.tolist() == [str(files[0])] * 40 + [str(files[1])] * 40
    names = [part.name for part in read_index(folder).parts]
    assert read[0].part.tolist() == [names[0]] * 40 + [names[1]] * 40


def test_a_row_says_when_and_from_what_it_is(days):
    folder, _, sets = days
    whole = read_gallery(folder)
    assert whole.when(1) == ("2001-09-09T02:46:41+01:00", "2001-09-09T02:46:42+01:00")
    assert whole.source(50)["poses"] == sets[1].about["poses"] and whole.source(50)["root"] == "/data/1"
    root, frames = whole.frames_of(50)
    assert (str(root), frames) == ("/data/1", sets[1].frames[10])


def test_the_same_file_twice_is_there_once_and_nothing_is_named(days, tmp_path):
    _, files, _ = days
    assert len(read_gallery([files[0], files[0]])) == 40
    (tmp_path / "empty").mkdir()
    for path, why in (("none*.h5", "no such gallery"), ("empty", r"without gallery\.json"), ("x", "no such")):
        with pytest.raises(KeyReIDError, match=why):
            read_gallery(tmp_path / path)


def test_parts_of_two_networks_do_not_go_into_one_gallery(days):
    folder, files, _ = days
    with writing(folder) as writer, pytest.raises(KeyReIDError, match="made by checkpoint aaaaaaaaaaaa"):
        writer.add(made_gallery(checkpoint="b" * 64))
    other = made_gallery(checkpoint="b" * 64).save(files[0].parent / "other.h5")
    with pytest.raises(KeyReIDError, match="distances between them mean nothing"):
        read_gallery([folder, other])


def test_persons_of_a_tree_that_has_grown_keep_their_own_number(tmp_path):
    one = replace(made_gallery(8), person_names=np.repeat(["bob", "eve"], 4))
    grown = replace(made_gallery(8), person_names=np.repeat(["ann", "bob"], 4))
    with writing(tmp_path / "people") as writer:
        writer.add(one)
        writer.add(grown)
    whole = read_gallery(tmp_path / "people")
    assert whole.about["labelled"] and len(set(whole.persons)) == 3
    assert whole.persons[0] == whole.persons[15] != whole.persons[8]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keyreid": "gallery", "schema": 2}', "[" * 100_000])
def test_a_damaged_index_is_named(days, content):
    folder, _, _ = days
    (folder / "gallery.json").write_text(content)
    with pytest.raises(KeyReIDError, match=r"gallery\.json: .* damaged"):
        read_gallery(folder)


def test_a_folder_of_other_things_is_not_made_a_gallery(tmp_path):
    (tmp_path / "letter.txt").touch()
    with pytest.raises(KeyReIDError, match="no gallery"), writing(tmp_path):
        pass
