"""Training states on disk."""

import json
import logging
import resource
import signal
from types import SimpleNamespace

import pytest
import torch

from cache.errors import KeyReIDError
from stages.reid.training import resume
from stages.reid.training.checkpoint import CheckpointFolder
from tests.stages.reid.steps import steps, trainer


def state(value=1.0, size=1000):
    return {"weights": torch.full((size,), value), "position": {"step": 3}, "names": ["a", "b"], "none": None}


def test_a_state_comes_back_as_it_was_and_is_read_without_running_code(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=2)
    path = folder.save(7, state(), {"epoch": 1})
    assert path == folder.newest() == tmp_path / "checkpoints" / "state-00000007.pt"
    loaded = folder.load(path)
    assert torch.equal(loaded["weights"], state()["weights"]) and loaded["position"] == {"step": 3}
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["step"] == 7 and record["epoch"] == 1 and record["bytes"] == path.stat().st_size
    assert not list(path.parent.glob("*.tmp"))


def test_the_newest_keep_and_the_best_stay(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (2, 4, 6, 8):
        folder.save(step, state(), {})
        folder.prune(best_step=2)
    assert [p.stem for p in folder.states()] == ["state-00000008", "state-00000006", "state-00000002"]
    assert len(list(tmp_path.glob("*.json"))) == 3


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def forget_json(path):
    path.with_suffix(".json").unlink()


def spoil_json(path):
    path.with_suffix(".json").write_text("{")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip_a_bit, forget_json, spoil_json, empty])
def test_a_broken_state_is_skipped_with_a_warning_that_names_it(tmp_path, caplog, damage):
    folder = CheckpointFolder(tmp_path, keep=3)
    good, broken = folder.save(1, state(), {}), folder.save(2, state(), {})
    damage(broken)
    with caplog.at_level(logging.WARNING):
        assert folder.newest() == good
    assert str(broken) in caplog.text and str(good) not in caplog.text


def test_broken_states_do_not_push_good_ones_out(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=1)
    good, broken = folder.save(1, state(), {}), folder.save(2, state(), {})
    cut(broken)
    (tmp_path / "state-00000003.pt.tmp").write_bytes(b"cut off by a kill")
    folder.prune()
    assert folder.newest() == good
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-00000001.json", "state-00000001.pt"]


def test_a_full_disk_keeps_the_previous_state_and_leaves_nothing_half_written(tmp_path, caplog):
    """The system refuses to write beyond a limit, as it does when a disk is full."""
    folder = CheckpointFolder(tmp_path, keep=2)
    good = folder.save(1, state(), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with caplog.at_level(logging.WARNING):
            assert folder.save(2, state(size=1_000_000), {}) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "state-00000002.pt could not be written" in caplog.text
    assert folder.newest() == good and sorted(p.name for p in tmp_path.iterdir()) == [
        "state-00000001.json",
        "state-00000001.pt",
    ]
    assert folder.save(3, state(), {}) == folder.newest()


def test_a_copy_of_a_state_does_not_change_with_training():
    trained = trainer()
    before = resume.copied(trained.state())
    kept = resume.copied(before)
    steps(trained, range(2))
    assert before.keys() == kept.keys()
    for name, value in before["objective"].items():
        assert torch.equal(value, kept["objective"][name])
    assert any(not torch.equal(v, before["objective"][k]) for k, v in trained.objective.state_dict().items())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_what_a_run_needs_on_disk_is_nearly_what_it_writes_and_refused_where_it_is_not_there(
    tmp_path, monkeypatch, name
):
    trained = trainer(optim={"name": name})
    steps(trained, range(2))
    path = CheckpointFolder(tmp_path / "checkpoints", 2).save(1, {"trainer": trained.state()}, {})
    assert path.stat().st_size == pytest.approx(resume.state_bytes(trained), rel=0.5)
    assert path.stat().st_size > resume.state_bytes(trained)
    resume.check_space(tmp_path, trained)
    monkeypatch.setattr(resume.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(KeyReIDError, match=r"the run needs 0\.00 GB .*0\.00 GB are free.*checkpoint\.keep=1"):
        resume.check_space(tmp_path, trained)
