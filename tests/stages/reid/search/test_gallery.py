"""Galleries read from files, folders of parts and patterns: the same rows in whatever form they lie there."""

import itertools
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.reid.search import gallery_folder
from stages.reid.search.gallery import read_gallery
from stages.reid.search.gallery_folder import verify, writing
from stages.reid.search.gallery_index import is_gallery, read_index
from stages.reid.search.identity import Known
from stages.reid.search.removal import parse_age, remove
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
    with pytest.raises(KeyReIDError, match="their distances are not comparable"):
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


def test_a_writer_reads_the_index_once_the_gallery_is_its_own(monkeypatch, tmp_path):
    real = gallery_folder.lock_folder

    def after_another(folder, owner):
        monkeypatch.setattr(gallery_folder, "lock_folder", real)
        with writing(folder) as another:
            another.add(timed(0, 1e9))
        return real(folder, owner)

    monkeypatch.setattr(gallery_folder, "lock_folder", after_another)
    with writing(tmp_path / "people") as writer:
        writer.add(timed(1, 2e9))
    assert len(read_gallery(tmp_path / "people")) == 80 and verify(tmp_path / "people") == []


def add_two(folder):
    """Two parts, of which some may be there."""
    with writing(folder) as writer:
        for seed in range(len(writer.index.parts) if writer.index else 0, 2):
            digests = np.random.default_rng(seed).integers(0, 256, (40, 16), np.uint8)
            writer.add(timed(seed, 1e9), content=digests, stamp=digests)


def killed_at(number, work, folder) -> bool:
    """Run work(folder) in a process that dies by SIGKILL at its n-th file operation; whether it got there."""
    child = os.fork()
    if child == 0:
        left = iter(range(number - 1))

        def counted(real):
            def call(*arguments, **more):
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **more)

            return call

        os.fsync = counted(os.fsync)
        for name in ("replace", "unlink", "write_bytes"):
            setattr(Path, name, counted(getattr(Path, name)))
        work(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_killed_anywhere_a_writer_loses_at_most_one_part(tmp_path):
    counts = []
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        if not killed_at(number, add_two, folder):
            break
        counts.append(len(read_index(folder).parts) if is_gallery(folder) else 0)
        assert counts[-1] == 0 or len(read_gallery(folder)) == 40 * counts[-1]
        add_two(folder)
        assert len(read_gallery(folder)) == 80 and verify(folder) == []
    assert set(counts) == {0, 1, 2} and counts == sorted(counts)


def test_killed_anywhere_a_removal_has_removed_all_or_nothing(tmp_path):
    def thin_out(folder):
        remove(folder, cameras=["1"])

    counts = []
    add_two(tmp_path / "whole")
    for number in itertools.count(1):
        folder = shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        if not killed_at(number, thin_out, folder):
            break
        counts.append(len(read_gallery(folder)))
        thin_out(folder)
        assert set(read_gallery(folder).camera_names) == {"2"} and len(list(folder.glob("part-*"))) == 2
        assert verify(folder) == []
    assert counts == sorted(counts, reverse=True) and set(counts) == {80, 40}


@pytest.mark.parametrize(("name", "value"), [("tracklets", 10**12), ("bytes", 1), ("dataset", "\x1b[31m")])
def test_an_index_that_describes_a_part_wrongly_is_not_called_sound(days, name, value):
    folder, _, _ = days
    index = json.loads((folder / "gallery.json").read_text())
    index["parts"][1][name] = value
    (folder / "gallery.json").write_text(json.dumps(index))
    (line,) = verify(folder)
    assert f"gallery.json says otherwise of it ({name}: " in line and "\x1b" not in line


def test_a_removed_part_is_gone_from_kept_indexes_and_damage_is_found(days):
    folder, _, _ = days
    first, second = read_index(folder).parts
    (folder / "indexes").mkdir()
    (folder / "indexes/a.faiss").write_bytes(b"vectors")
    (folder / "indexes/a.json").write_text(json.dumps({"parts": [first.name, second.name]}))
    assert verify(folder) == []
    data = (folder / second.file).read_bytes()
    (folder / second.file).write_bytes(data[:-1] + b"x")
    assert [line.split(":")[0] for line in verify(folder)] == [second.file]
    assert remove(folder, parts=[second.name[:9]]).tracklets == 40
    assert not list((folder / "indexes").iterdir()) and verify(folder) == []
    with pytest.raises(KeyReIDError, match="no condition is given"):
        remove(folder)


def test_a_part_with_other_digests_than_the_index_says_is_named(tmp_path):
    add_two(tmp_path / "g")
    index = read_index(tmp_path / "g")
    assert len(Known.of(tmp_path / "g", index).contents) == 80
    for change in (lambda f: f.pop("stamp"), lambda f: f.__setitem__("stamp", np.zeros((40, 4), "u1"))):
        with h5py.File(tmp_path / "g" / index.parts[0].file, "r+") as file:
            change(file)
        with pytest.raises(KeyReIDError, match=r"damaged|not a whole file of embeddings"):
            Known.of(tmp_path / "g", index)


@pytest.mark.parametrize("text", ["30", "d", "-3d", "1.5d", "30 d", "9999999d"])
def test_an_age_is_a_number_and_a_unit(text):
    assert parse_age("30d") == 30 * parse_age("24h") == 2592000
    with pytest.raises(KeyReIDError, match="such as 12h, 30d or 4w"):
        parse_age(text)
