"""A gallery that grows day by day: nothing twice, nothing left behind, the answers of one built at once."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.datasets.times import write_times
from stages.pose.parts import Share
from stages.reid import Embedder, append, embed, embed_parts
from stages.reid.embed_config import EmbedConfig
from stages.reid.search import identity
from stages.reid.search.config import SearchConfig
from stages.reid.search.gallery import part_notes, read_gallery
from stages.reid.search.gallery_folder import verify, writing
from stages.reid.search.gallery_index import read_index
from stages.reid.search.removal import remove
from stages.reid.search.search import search
from tests.stages.pose import tiny
from tests.stages.reid.own import write_run

DAY = 86_400


def film(root: Path, camera: str, day: int, tracks: int = 3) -> Path:
    """A tree of tracklets as `keyreid track` leaves it: of one camera and day, two frames each."""
    rng, rows = np.random.default_rng([day, len(camera)]), []
    for track in range(tracks):
        name = f"{camera}-{track + 1:04d}/{camera}/000001-000002"
        (root / name).mkdir(parents=True)
        picture = cv2.resize(rng.integers(0, 240, (8, 4, 3), np.uint8), (64, 128))
        for frame in (1, 2):
            cv2.imwrite(str(root / name / f"{frame:06d}.jpg"), picture + np.uint8(frame))
        start = f"2026-11-{day:02d}T08:00:0{track}+01:00"
        rows.append((name, camera, 1, 2, start, start))
    write_times(root / f"{camera}.times.tsv", rows)
    (root / f"{camera}.track.json").write_text("{}")
    return root


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return Embedder(write_run(folder / "run", tiny.write_estimator(folder / "pose")), device="cpu")


@pytest.fixture
def add(embedder, tmp_path):
    """add(folder, share, **config): its tracklets into the gallery `people`."""

    def call(root: Path, share: Share | None = None, **config):
        data = load_dataset("folder", root)
        cache = tmp_path / "poses" / "+".join(root.relative_to(tmp_path).parts)
        return append.run(embedder, data, "all", cache, tmp_path / "people", EmbedConfig(**config), share)

    return call


@pytest.fixture
def days(tmp_path):
    return [film(tmp_path / day / "clips", "door", number) for number, day in ((23, "mon"), (24, "tue"))]


def test_a_second_day_is_added_to_the_first_and_a_second_call_adds_nothing(add, days, tmp_path):
    one, two, again = add(days[0]), add(days[1]), add(days[1])
    assert (one.tracklets, two.tracklets, again.tracklets, again.known) == (3, 3, 0, 3)
    whole = read_gallery(tmp_path / "people")
    assert len(whole) == 6 and len(set(whole.names)) == 3 and len(set(whole.part)) == 2
    assert [whole.when(row)[0][:19] for row in (0, 5)] == ["2026-11-23T08:00:00", "2026-11-24T08:00:02"]
    assert len({source["poses"]["path"] for source in whole.sources.values()}) == 2
    assert not whole.about["labelled"]  # a tracker's numbers are not persons


def test_answers_are_those_of_a_gallery_built_at_once(add, embedder, days, tmp_path):
    for day in days:
        add(day)
    (tmp_path / "all").mkdir()
    for day in days:
        shutil.copytree(day, tmp_path / "all" / day.parent.name)
    data = load_dataset("folder", tmp_path / "all")
    made = embed.run(embedder, data, "all", tmp_path / "poses/all", tmp_path / "all.h5")
    grown, once = read_gallery(tmp_path / "people"), read_gallery(made)
    assert np.allclose(grown.features, once.features, rtol=1e-4, atol=1e-5)
    for name in ("start", "end", "first", "camera_names"):
        assert np.array_equal(getattr(grown, name), getattr(once, name))
    found = [search(g, np.arange(4), np.arange(6), SearchConfig(top=3)).matches for g in (grown, once)]
    assert np.array_equal(*found)


def test_a_tracklet_is_known_by_its_frames_and_not_by_its_name(add, days, tmp_path):
    add(days[0])
    moved = shutil.copytree(days[0], tmp_path / "moved")
    (moved / "door-0001").rename(moved / "door-0009")
    film(tmp_path / "yard", "door", 25, tracks=1)
    shutil.move(tmp_path / "yard/door-0001", moved / "door-0001")  # an old name, new frames
    again = add(moved)
    assert (again.tracklets, again.known, again.retimed) == (1, 3, 1)


def test_only_new_frames_are_read_and_embedded(add, days, monkeypatch, tmp_path):
    add(days[0])
    film(tmp_path / "new", "door", 25, tracks=4)
    shutil.move(tmp_path / "new/door-0004", days[0] / "door-0004")
    read = []
    monkeypatch.setattr(identity, "load", lambda path, real=identity.load: (read.append(path), real(path))[1])
    added = add(days[0])
    assert (added.tracklets, added.known) == (1, 3)
    assert len(read) == 2 and all("door-0004" in path for path in read)
    assert len(list((tmp_path / "poses").iterdir())) == 2  # poses of the new frames alone


def test_parts_are_small_and_written_one_by_one(add, days, tmp_path):
    assert [part.tracklets for part in add(days[0], part_size=2).parts] == [2, 1]
    assert verify(tmp_path / "people") == []


def test_another_network_is_refused_before_it_runs(add, days, tmp_path):
    add(days[0])
    other = write_run(tmp_path / "run", tiny.write_estimator(tmp_path / "pose"), seed=1)
    with pytest.raises(KeyReIDError, match="its parts were made by checkpoint"):
        append.run(
            Embedder(other), load_dataset("folder", days[1]), "all", tmp_path / "p", tmp_path / "people"
        )
    assert not (tmp_path / "p").exists()


def test_parts_of_several_kinds_of_devices_are_noticed(add, days, monkeypatch, tmp_path):
    assert add(days[0]).notes == []
    real = embed_parts.made_with
    monkeypatch.setattr(
        embed_parts, "made_with", lambda device: real(device) | {"gpu": "H100", "cudnn": "91002"}
    )
    (note,) = add(days[1]).notes
    assert "2 kinds of devices: cpu" in note and "cudnn 91002 gpu H100" in note.replace("; ", " ")
    assert part_notes(read_gallery(tmp_path / "people")) == [note]
    assert [part.device.get("gpu") for part in read_index(tmp_path / "people").parts] == [None, "H100"]


def test_a_writer_at_work_is_named(add, days, tmp_path):
    with (
        writing(tmp_path / "people"),
        pytest.raises(KeyReIDError, match=rf"process {os.getpid()} .* is writing"),
    ):
        add(days[0])


def test_removal_leaves_no_feature(add, days, tmp_path):
    for day in days:
        add(day)
    folder = tmp_path / "people"
    end = read_gallery(folder).end
    gone = remove(folder, older_than=DAY, now=end[1] + DAY + 0.5)  # two of the first day's three
    left = read_gallery(folder)
    assert gone.tracklets == 2 and len(left) == 4 and left.end.min() == end[2]
    assert len(list(folder.glob("part-*"))) == 2 and verify(folder) == []
    assert add(days[0]).tracklets == 2  # gone is gone
    with pytest.raises(KeyReIDError, match=r"0 parts .* are named so"):
        remove(folder, parts=["part-x"])
    assert remove(folder, cameras=["yard"]).tracklets == 0
    assert remove(folder, cameras=["door"], parts=[read_index(folder).parts[0].name]).tracklets == 1
    assert remove(folder, cameras=["door"]).tracklets == 5
    assert not list(folder.glob("part-*"))
    with pytest.raises(KeyReIDError, match="without a part"):
        read_gallery(folder)
