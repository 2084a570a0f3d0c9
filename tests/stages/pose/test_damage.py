"""Whatever happens to a cache on disk is found, named, repaired by a rerun and never read as good data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from safetensors.torch import load_file, save_file

from cache import PoseCache
from cache.errors import KeyReIDError
from cache.manifest import load_manifest
from cache.verify import verify
from stages.pose.extract import run
from tests.stages.pose.compare import assert_same_shards
from tests.stages.pose.tiny import config, write_estimator


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "poses")
    return tmp_path / "poses"


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(bytes(data))


def place_of(path: Path, what: str) -> int:
    """Where in a shard some bytes of a kind are."""
    data = path.read_bytes()
    if what == "heat":
        with h5py.File(path) as file:
            return file["heatmaps"].id.get_chunk_info(3).byte_offset + 700
    if what == "attribute":
        return data.index(b'"tiny"') + 2
    if what == "index":
        return data.index(b"FAHD") + 8  # the head of the array that says where chunks are
    with h5py.File(path) as file:
        return file[what].id.get_chunk_info(0).byte_offset + 9


DAMAGES = {
    "deleted": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 100),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    **{
        f"a byte of {what} flipped": lambda path, what=what: flip(path, place_of(path, what))
        for what in ("heat", "attribute", "index", "keypoints", "frame_size", "frames")
    },
}


@pytest.mark.parametrize("signed", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_shards_are_named_and_repaired(damage, signed, folder, finished, frames, estimator):
    DAMAGES[damage](folder / "shard-00001.h5")
    if not signed:
        (folder / "manifest.json").unlink()
    problems = [problem for problem in verify(folder) if not problem.startswith("manifest.json: missing")]
    assert len(problems) == 1 and problems[0].startswith("shard-00001.h5: ")
    run(frames, config(estimator), folder)
    assert verify(folder) == []
    assert_same_shards(folder, finished)


def test_a_shard_of_another_run_is_refused(folder, finished, frames, tmp_path):
    other = run(frames, config(write_estimator(tmp_path / "e", seed=1)), tmp_path / "other")
    shutil.copy(other / "shard-00001.h5", folder)
    assert "shard-00001.h5" in verify(folder)[0]
    (folder / "manifest.json").unlink()
    assert any("weights_sha256" in problem and "another run" in problem for problem in verify(folder))
    shutil.copy(finished / "shard-00000.h5", folder / "shard-00001.h5")
    assert any("from another run: shard differ" in problem for problem in verify(folder))


@pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
def test_a_record_of_another_run_is_named_and_replaced(name, folder, frames, estimator, finished, tmp_path):
    other = run(frames, config(write_estimator(tmp_path / "e", seed=1)), tmp_path / "other")
    shutil.copy(other / name, folder)
    (problem,) = verify(folder)
    assert problem.startswith(f"{name}: from another run than the shards (") and "weights: " in problem
    if name == "manifest.json":
        with pytest.raises(KeyReIDError, match=r"shard-00000.h5: .*manifest"):
            PoseCache.open(folder)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.h5")}
    run(frames, config(estimator), folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.h5")} == kept
    assert verify(folder) == [] and len(PoseCache.open(folder)) == 30
    assert_same_shards(folder, finished)
    assert load_manifest(folder / "plan.json") == load_manifest(finished / "plan.json")


EDITS = {"zeroed": ["x.jpg"], "created": "2001-01-01", "floor": 0.5, "joint_names": ["nose"] * 17}


@pytest.mark.parametrize("key", EDITS)
@pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
def test_an_edited_record_is_named_and_repaired(name, key, folder, frames, estimator):
    record = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(record | {key: EDITS[key]}))
    (problem,) = verify(folder)
    assert f"{folder / name}: not a whole record" in problem
    run(frames, config(estimator), folder)
    assert verify(folder) == [] and PoseCache.open(folder).info.zeroed == ()


@pytest.mark.parametrize("name", ["manifest.json", "plan.json", "sources.npy", "both"])
@pytest.mark.parametrize("damage", ["deleted", "truncated", "flipped"])
def test_damaged_records_are_repaired(name, damage, folder, frames, estimator, finished):
    for path in [folder / "manifest.json", folder / "plan.json"] if name == "both" else [folder / name]:
        if damage == "deleted":
            path.unlink()
        elif damage == "truncated":
            os.truncate(path, path.stat().st_size // 2)
        else:
            flip(path, path.stat().st_size // 2)
    if name in ("manifest.json", "both"):
        with pytest.raises(KeyReIDError):
            PoseCache.open(folder)
    if name != "sources.npy" and (name, damage) not in (("both", "deleted"), ("plan.json", "deleted")):
        assert any("plan" in line if name == "plan.json" else "manifest" in line for line in verify(folder))
    kept = (folder / "shard-00000.h5").stat().st_mtime_ns
    run(frames, config(estimator), folder)
    assert verify(folder) == []
    assert_same_shards(folder, finished)
    assert (folder / "shard-00000.h5").stat().st_mtime_ns == kept


def test_a_frame_that_turns_bad_after_opening_is_an_error(folder, frames):
    cache = PoseCache.open(folder)
    cache.read_heatmaps(frames.frames()[:1])  # opens the file
    flip(folder / "shard-00000.h5", place_of(folder / "shard-00000.h5", "heat"))
    with pytest.raises(KeyReIDError, match=r"heat of .*F003.* in shard-00000.h5 is damaged"):
        cache.read_heatmaps(frames.frames()[:10])
    os.truncate(folder / "shard-00000.h5", 100)
    with pytest.raises(KeyReIDError, match="is damaged"):
        cache.read_heatmaps(frames.frames()[:1])
    cache.close()
    with pytest.raises(KeyReIDError, match="not the file it was when the cache was opened"):
        cache.read_heatmaps(frames.frames()[:1])


def test_stray_shards_are_named_and_removed(folder, frames, estimator):
    shutil.copy(folder / "shard-00000.h5", folder / "shard-00007.h5")
    assert verify(folder) == ["shard-00007.h5: not in the manifest, from another run"]
    run(frames, config(estimator), folder)
    assert verify(folder) == []


def test_a_second_extraction_into_a_folder_names_the_first(frames, estimator, folder):
    code = f"""
import sys
from pathlib import Path
from cache.lock import lock_folder
with lock_folder(Path({str(folder)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(KeyReIDError, match=rf"process {holder.pid} on .* is writing to"):
            run(frames, config(estimator), folder)
    finally:
        holder.kill()
        holder.wait()
    run(frames, config(estimator), folder)  # a dead holder holds nothing


def test_a_manifest_is_readable_json_with_every_shards_digest(folder):
    record = json.loads((folder / "manifest.json").read_text())
    assert len(record["shards"]) == 3 and all(len(shard["sha256"]) == 64 for shard in record["shards"])
    assert record["fingerprint"] and record["created"] and record["packages"]["torch"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


@pytest.mark.parametrize("damage", ["deleted", "truncated"])
def test_a_cache_whose_records_cannot_be_read_is_kept_from_other_settings(damage, folder, frames, estimator):
    for name in ("manifest.json", "plan.json"):
        (folder / name).unlink() if damage == "deleted" else os.truncate(folder / name, 50)
    before = contents(folder)
    with pytest.raises(
        KeyReIDError, match=r"shard-00000.h5 was made with different settings. Nothing was touch"
    ):
        run(frames, config(estimator, padding=1.2), folder)
    assert contents(folder) == before
    for path in folder.glob("shard-*.h5"):
        path.write_bytes(b"damaged, too")
    before = contents(folder)
    with pytest.raises(KeyReIDError, match="its shards cannot be read either"):
        run(frames, config(estimator), folder)
    assert contents(folder) == before
    run(frames, config(estimator, force=True), folder)
    assert verify(folder) == []


def test_a_plan_that_cannot_be_read_is_written_again(folder, frames, estimator):
    plan = (folder / "plan.json").read_bytes()
    for spoil in (
        lambda path: os.truncate(path, 2**40),  # sparse
        lambda path: (path.unlink(), path.symlink_to("/proc/self/mem")),
        lambda path: path.write_bytes(b"[" * len(plan)),
    ):
        spoil(folder / "plan.json")
        run(frames, config(estimator), folder)
        assert (folder / "plan.json").read_bytes() == plan


def test_a_cache_of_a_newer_version_is_kept(folder, frames, estimator):
    record = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(record | {"schema": 2}))
    before = contents(folder)
    with pytest.raises(KeyReIDError, match="has schema 2, this program reads 1"):
        run(frames, config(estimator), folder)
    assert contents(folder) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_somebody_else_is_not_touched(frames, estimator, tmp_path, force):
    for name in ("thesis.tmp", "shard-00000.h5", "notes.txt"):
        (tmp_path / name).write_text(name)
    before = contents(tmp_path)
    with pytest.raises(KeyReIDError, match="nothing was changed"):
        run(frames, config(estimator, force=force), tmp_path)
    assert contents(tmp_path) == before


def test_a_network_whose_heat_is_not_finite_writes_nothing(frames, tmp_path):
    path = write_estimator(tmp_path / "e")
    state = load_file(path.with_suffix(".safetensors"))
    state["head.final_layer.bias"][3] = float("nan")
    save_file(state, path.with_suffix(".safetensors"))
    with pytest.raises(KeyReIDError, match=r"F000.jpg: the heat of tiny is not finite"):
        run(frames, config(path), tmp_path / "poses")
    assert not list((tmp_path / "poses").glob("shard-*"))
