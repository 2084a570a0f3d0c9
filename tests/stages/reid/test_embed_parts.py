"""Parts: cut by what is in them, found again by their keys, and refused by a worker of another kind."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cache.errors import KeyReIDError
from stages.datasets.tracklet import Tracklet
from stages.reid import Embedder, embed_parts
from stages.reid.embed_config import EmbedConfig
from stages.reid.embed_parts import Work, cut, run_part, sound_parts
from stages.reid.search.gallery_folder import writing
from stages.reid.search.gallery_index import part_file


@given(st.lists(st.integers(1, 40_000), max_size=30), st.integers(1, 5), st.data())
def test_without_whole_parts_the_others_are_cut_as_before(lengths, size, data):
    tracklets = [Tracklet(("f",) * length, 1, 1, str(n)) for n, length in enumerate(lengths)]
    parts = list(cut(tracklets, size))
    assert [t for part in parts for t in part] == tracklets and all(len(part) <= size for part in parts)
    kept = [part for part in parts if data.draw(st.booleans())]
    assert list(cut([t for part in kept for t in part], size)) == kept


@pytest.fixture
def task(setting, tmp_path):
    """A task of two tracklets whose parts go into tmp_path, whose lock is held."""
    run, dataset, poses = setting
    with writing(tmp_path) as writer:
        config = EmbedConfig(threads=1, workers=0)
        work = Work.of(Embedder(run, device="cpu"), dataset, tmp_path, writer.token, config, poses)
        yield work.task(0, dataset.gallery[:2], content=np.zeros((2, 16), np.uint8))


def test_a_part_is_found_by_its_key_unless_it_is_damaged(task, tmp_path):
    _, path = run_part(task)
    assert sound_parts(tmp_path.iterdir()) == {task.key: path}
    before = path.read_bytes()
    path.unlink()
    assert run_part(task)[1].read_bytes() == before
    path.write_bytes(before[:-1])
    (tmp_path / part_file("0" * 64)).write_bytes(before)
    assert sound_parts(tmp_path.iterdir()) == {}


def test_without_parts_nothing_is_started_and_of_processes_no_more_than_parts(task, setting, monkeypatch):
    embedder, asked = Embedder(setting[0], device="cpu"), []
    nobody = EmbedConfig(scheduler="tcp://127.0.0.1:1")
    assert list(embed_parts.embed_parts([], embedder, nobody)) == []
    monkeypatch.setattr(embed_parts, "run_tasks", lambda run, tasks, *how: (asked.append(how[0]), [])[1])
    assert list(embed_parts.embed_parts([task], embedder, EmbedConfig(processes=64))) == []
    assert asked == [1]
    with pytest.raises(ValidationError, match="less than or equal to 4096"):
        EmbedConfig(processes=5000)


def test_a_part_that_makes_its_own_poses_is_known_by_their_weights_and_starts_no_cluster(setting, tmp_path):
    run, dataset, _ = setting
    weights = Path(Embedder(run, device="cpu").pose.estimator).with_suffix(".safetensors")
    shutil.copy(weights, tmp_path / "pose.safetensors")
    embedder = Embedder(run, device="cpu")
    changes = {"weights": tmp_path / "pose.safetensors", "scheduler": "tcp://127.0.0.1:1"}
    embedder.pose = embedder.pose.model_copy(update=changes)
    keys = set()
    for more in (b"", b"1", b""):
        (tmp_path / "pose.safetensors").write_bytes(weights.read_bytes() + more)
        work = Work.of(embedder, dataset, tmp_path, "", EmbedConfig(processes=2), None)
        task = work.task(0, dataset.gallery, tmp_path / "poses")
        assert task.pose.scheduler is None
        keys.add(task.key)
    assert len(keys) == 2


def test_a_worker_of_another_kind_or_of_a_dead_run_refuses(task, tmp_path, monkeypatch):
    (tmp_path / "lock").write_text("{}")
    with pytest.raises(KeyReIDError, match="no longer holds"):
        run_part(task)
    real = embed_parts.made_with
    monkeypatch.setattr(
        embed_parts, "made_with", lambda device: real(device) | {"cpu": "OTHER", "cudnn": "1"}
    )
    with pytest.raises(KeyReIDError, match=r"would not make the same bytes \(cpu: .* -> .OTHER.; cudnn: "):
        run_part(task)
    assert not list(tmp_path.glob("part-*"))
