"""Records of others, each key left out or of another type: read, or refused in one line."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from cache.errors import KeyReIDError
from cache.files import write_whole
from cache.folder import SOURCES
from cache.manifest import fingerprint, load_manifest
from cache.shard import frames_digest, read_rows, read_small
from cache.text_files import load_steps
from cache.writer import build_shard, write_cache
from stages.datasets.tracklet import Dataset
from stages.datasets.walkers.config import WalkersConfig
from stages.datasets.walkers.make import is_made
from stages.pose.parts import Share, merge
from stages.pose.plan import known_settings
from stages.pose.sources import RECORD, Sources, content_digest, known_records
from stages.reid.model.weights import load_model, save_model
from stages.reid.scoring.embeddings_file import read_about
from stages.reid.scoring.provenance import check_test, known_cameras
from stages.reid.search import calibration, gallery_folder, removal
from stages.reid.search.config import CalibrationConfig, LinkConfig
from stages.reid.search.footage import footage_note
from stages.reid.search.gallery import read_gallery
from stages.reid.search.link_calibration import link_thresholds
from tests.fuzzing import other_values
from tests.stages.reid.model.tiny import tiny_model
from tests.stages.reid.own import made_gallery
from tests.test_fuzz_formats import one_line

NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]


def part_of_a_cache(whole: Path, share: Share) -> Path:
    """A part as `keyreid extract-poses --part` leaves it, without heat."""
    names = [NAMES[row] for row in share.rows(len(NAMES))]
    sources = Sources(np.ones(len(names), RECORD), {})
    about = {
        "names": frames_digest(names),
        "content": content_digest(sources.records["digest"]),
        "unreadable": [1],
    }
    settings = {"device": "cpu", "precision": "fp32"}
    parts = {"frames": about, "network": "n", "settings": settings, "part": share.record(NAMES)}
    arrays = (np.zeros((2, 17, 64, 32), np.uint8), np.ones((2, 17, 3), np.float32), np.full((2, 2), 9))
    made = write_cache(share.path(whole), names, *arrays, parts=parts, packages={"torch": "2", "cpu": "A"})
    sources.save(made / SOURCES)
    return made


def forge(folder: Path, record: dict) -> None:
    """Write a manifest and what its shards say of it, with every digest that belongs to it."""
    record.pop("digest", None)
    record["fingerprint"] = fingerprint(record.get("parts") or {})
    shard = folder / "shard-00000.h5"
    rows, data = read_rows(shard), shard.read_bytes()
    chunks = [data[at : at + size] for at, size in zip(rows.offsets, rows.sizes, strict=True)]
    says = {key: record.get(key) for key in rows.attributes} | {"shard": 0}
    data = build_shard([name.decode() for name in rows.frames], chunks, *read_small(shard), says)
    write_whole(shard, data)
    record["shards"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_whole(folder / "manifest.json", json.dumps(record | {"digest": fingerprint(record)}).encode())


def test_caches_and_parts_whose_manifest_says_something_else(tmp_path):
    whole = tmp_path / "poses"
    first, _ = (part_of_a_cache(whole, Share(number, 2)) for number in (1, 2))
    record = json.loads((first / "manifest.json").read_text())
    forge(first, json.loads(json.dumps(record)))
    merge(whole)
    said = {name: record[name] for name in ("parts",)}
    for name, changed in other_values(said):
        rest = {key: value for key, value in record.items() if key not in said}
        forge(first, json.loads(json.dumps(rest | changed)))
        one_line(lambda: merge(whole))
        one_line(lambda: known_settings(load_manifest(first / "manifest.json")))
        one_line(lambda: known_records(first / SOURCES, load_manifest(first / "manifest.json"), NAMES[:2]))
        if name == "parts.network" and not changed["parts"].get("network"):
            with pytest.raises(KeyReIDError, match=r"part-1-of-2/manifest.json: network: "):
                merge(whole)


def renamed(folder: Path, path: Path, record: dict, header: dict) -> None:
    """A part whose header says something else, with the digest that belongs to it."""
    with h5py.File(path, "r+") as file:
        file.attrs["header"] = np.bytes_(json.dumps(header))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    part = record["parts"][0] | {"sha256": sha256, "bytes": path.stat().st_size}
    path.rename(folder / f"part-{sha256[:16]}.h5")
    (folder / "gallery.json").write_text(json.dumps(record | {"parts": [part]}))


def test_galleries_whose_parts_say_something_else_of_themselves(tmp_path):
    folder = tmp_path / "people"
    made = made_gallery(count=4)
    more = {name: np.zeros((4, 16), np.uint8) for name in ("content", "stamp")}
    with gallery_folder.writing(folder) as writer:
        writer.add(made, **more)
    record = json.loads((folder / "gallery.json").read_text())
    (path,) = folder.glob("part-*.h5")
    with h5py.File(path) as file:
        header = json.loads(file.attrs["header"])

    def take() -> None:
        with gallery_folder.writing(folder, keep_parts=True) as writer:
            writer.index = None
            writer.take(next(folder.glob("part-*.h5")))

    for _, changed in other_values(header):
        (path,) = folder.glob("part-*.h5")
        renamed(folder, path, record, changed)
        for act in (
            lambda: read_gallery([folder]),
            lambda: gallery_folder.verify(folder),
            lambda: read_about(next(folder.glob("part-*.h5"))).get("key"),
            lambda: removal.remove(folder, cameras=["nobody"], older_than=0, now=0),
            take,
        ):
            one_line(act)
    for _, changed in other_values(record):
        (folder / "gallery.json").write_text(json.dumps(changed))
        one_line(lambda: gallery_folder.verify(folder))


def test_parts_of_other_widths_are_not_one_gallery(tmp_path):
    files = [made_gallery(width=width).save(tmp_path / f"{width}.h5") for width in (12, 14)]
    with pytest.raises(KeyReIDError, match=r"14\.h5: 14 numbers and 2 parts .*12\.h5 has 12 and 2"):
        read_gallery(files)


@pytest.mark.parametrize("note", [{"parts": 5}, {"parts": [{}]}, {"parts": {"a": 1}}, {}])
def test_an_index_whose_note_says_something_else_counts_as_damaged(tmp_path, note):
    (tmp_path / "a.json").write_text(json.dumps(note))
    assert not gallery_folder.held(tmp_path / "a.json") <= {"part-1"}


def test_calibrations_that_say_something_else(tmp_path):
    gallery, path = made_gallery(), tmp_path / "calibration.json"
    entry = calibration.calibrate(gallery, CalibrationConfig(rates=(0.1,)))
    link = {"threshold": 0.5, "travel": False, "learned": False, "neighbours": 8, "shared": 3}
    calibration.save(path, entry | {"link": [link]})
    wanted = {"distance": "euclidean", "checkpoint_sha256": gallery.checkpoint}
    config = LinkConfig(neighbours=8, shared=3)
    assert calibration.threshold(path, 0.1, **wanted)[0] > 0
    assert link_thresholds(gallery, config, False, None, path)[0] == {False: 0.5}
    for _, changed in other_values(json.loads(path.read_text())):
        path.write_text(json.dumps(changed))
        one_line(lambda: footage_note(gallery, calibration.threshold(path, 0.1, **wanted)[1]))
        one_line(lambda: link_thresholds(gallery, config, False, None, path))


def test_checkpoints_that_say_something_else_of_their_training(tmp_path):
    about = {"tracklets": "t", "frames": "f"}
    extra = {"dataset": "folder", "split": None, "data": about, "pose_cache": "p", "cameras": [1, 2]}
    path = save_model(tiny_model(parts=4), tmp_path / "model.safetensors", **extra)
    record = json.loads(path.with_suffix(".json").read_text())
    data = Dataset("folder", tmp_path, (), (), ())
    info = SimpleNamespace(fingerprint="p", about_frames={"content": "f"})
    cache = SimpleNamespace(info=info, folder=tmp_path)

    def read() -> None:
        kept = load_model(path)[1]
        for camera in ("given", "number"):
            known_cameras(kept, data, 2, cache, camera)
        check_test(kept, data, cache)

    for _, changed in other_values({"extra": record["extra"]}):
        path.with_suffix(".json").write_text(json.dumps({**record, "extra": {}} | changed))
        one_line(read)


def test_walkers_and_logs_that_say_something_else(tmp_path):
    config = WalkersConfig()
    sound = {"fingerprint": config.fingerprint(), "info": ["a.txt"], "frame_bytes": 5}
    for _, changed in other_values(sound):
        (tmp_path / "walkers.json").write_text(json.dumps(changed))
        assert not is_made(config, tmp_path)
    lines = {"step": 1, "loss": 2.5, "accuracy": 0.5, "learning_rate": 0.1, "kind": "train"}
    for _, changed in other_values(lines):
        (tmp_path / "metrics.jsonl").write_text(json.dumps(changed) + "\n")
        for record in load_steps(tmp_path / "metrics.jsonl"):
            assert all(isinstance(value, int | float) for name, value in record.items() if name != "kind")
