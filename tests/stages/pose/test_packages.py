"""A cache's shards are all made with the same packages, on the same kind of CPU."""

import shutil
from dataclasses import replace

import pytest

from cache import PoseCache
from cache.differences import differences
from cache.errors import KeyReIDError
from stages.pose import plan as planning
from stages.pose.extract import run
from stages.pose.plan import other_packages
from tests.stages.pose.compare import assert_same_shards
from tests.stages.pose.tiny import config


def test_other_packages_do_not_finish_a_cache(frames, estimator, finished, tmp_path, monkeypatch):
    folder = tmp_path / "poses"
    shutil.copytree(finished, folder)
    monkeypatch.setattr("stages.pose.plan.zlib_ng.ZLIBNG_RUNTIME_VERSION", "0.9")
    run(frames, config(estimator), folder)  # complete: nothing would be mixed
    (folder / "shard-00001.h5").unlink()
    with pytest.raises(KeyReIDError, match=r"started with other packages \(zlib-ng: .* -> \"0.9\"\)"):
        run(frames, config(estimator), folder)
    for path in folder.glob("*.h5"):
        path.unlink()
    (folder / "manifest.json").unlink()
    run(frames, config(estimator), folder)  # nothing was made yet: it is started again with these
    assert PoseCache.open(folder).info.packages["zlib-ng"] == "0.9"


def test_another_kind_of_cpu_is_told_how_to_finish_and_throws_nothing_away(
    frames, estimator, finished, tmp_path, monkeypatch
):
    folder = tmp_path / "poses"
    shutil.copytree(finished, folder)
    (folder / "manifest.json").unlink()
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "OTHER")
    usual = PoseCache.open(finished).info.packages["cpu"]
    with pytest.raises(KeyReIDError, match=rf"cpu: .* set ATEN_CPU_CAPABILITY={usual.lower()} to finish"):
        run(frames, config(estimator), folder)
    (folder / "plan.json").unlink()  # the shards themselves say what they were made with
    with pytest.raises(KeyReIDError, match=r"started with other packages \(cpu: "):
        run(frames, config(estimator), folder)
    assert_same_shards(folder, finished)


@pytest.mark.parametrize("lost", ["manifest.json", "shard-00001.h5", "both records"])
def test_a_cache_that_was_packed_by_zlib_is_finished_as_it_is(frames, estimator, tmp_path, monkeypatch, lost):
    def before(device=None, now=planning.packages):
        old = {key: value for key, value in now(device).items() if key != "zlib-ng"}
        return old | {"zlib": "1.3.1"}

    small, folder = config(estimator, shard_frames=5), tmp_path / "poses"
    with monkeypatch.context() as patch:
        patch.setattr("stages.pose.plan.packages", before)
        patch.setattr("stages.pose.shard_task.packages", before)
        run(frames, small, folder)
    expected = shutil.copytree(folder, tmp_path / "expected")
    removed = ["manifest.json", "plan.json"] if lost == "both records" else [lost]
    for name in removed:
        (folder / name).unlink()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.h5")}
    run(frames, small, folder)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert_same_shards(folder, expected)
    assert "zlib" in PoseCache.open(folder).info.packages


def test_zlib_counts_as_zlib_ng_and_as_no_other_zlib():
    old, new = {"torch": "2", "zlib": "1.3"}, {"torch": "2", "zlib-ng": "2.2"}
    assert other_packages(old, new) == other_packages(new, old) == []
    assert other_packages(old, {**old, "zlib": "1.2"}) == ['zlib: "1.3" -> "1.2"']
    assert other_packages(old, {**new, "torch": "3"}) == ['torch: "2" -> "3"']


@pytest.mark.parametrize("key", ["torch", "cpu", "zlib-ng"])
def test_a_worker_with_other_packages_than_the_plans_refuses(key, frames, estimator, tmp_path, monkeypatch):
    make = planning.make_plan

    def altered(*given):
        plan = make(*given)
        return replace(plan, packages=dict(plan.packages) | {key: "other"})

    monkeypatch.setattr(planning, "make_plan", altered)
    with pytest.raises(KeyReIDError, match=rf"would not make the same bytes \({key}: \"other\" -> "):
        run(frames, config(estimator), tmp_path)
    assert not list(tmp_path.glob("shard-*"))


def test_imported_poses_need_no_cpu_in_their_record():
    assert "cpu" in planning.packages("cpu") and "cpu" not in planning.packages()


def test_mixed_gpus_and_versions_of_cudnn_are_noticed(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.backends.cudnn.version", lambda: 91002)
    found = {}
    for name in ("A100", "L4"):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda name=name: name)
        found[name] = planning.packages("cuda")
    assert differences(found["A100"], found["L4"]) == ['gpu: "A100" -> "L4"']
    assert found["L4"]["cudnn"] == "91002" and "mmcv-lite" in found["L4"]
    assert "gpu" not in planning.packages("cpu")
